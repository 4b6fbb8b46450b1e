package httpapi

import (
	"encoding/base64"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"sallyport"
	"sallyport/internal/gateway"
	"sallyport/internal/limits"
)

// execRequest is the body of an exec, checked, with its defaults filled in.
type execRequest struct {
	gateway.Exec
	stream bool
}

const argvExample = `for example "cmd":["ls","-l"]`

// parseExec checks the body of an exec against the contract.
func parseExec(body []byte) (execRequest, error) {
	o, err := parseObject(body)
	if err != nil {
		return execRequest{}, err
	}
	if err := o.only("", "cmd", "timeout_s", "stream", "stdin", "stdin_base64", "env", "cwd", "max_output_bytes"); err != nil {
		return execRequest{}, err
	}
	var req execRequest
	for _, read := range []func(object, *execRequest) error{
		readArgv, readTimeout, readStream, readStdin, readEnv, readCwd, readMaxOutput,
	} {
		if err := read(o, &req); err != nil {
			return execRequest{}, err
		}
	}
	return req, nil
}

func readArgv(o object, req *execRequest) error {
	v, ok := o.get("cmd")
	if !ok {
		return sallyport.Errorf(sallyport.CodeInvalidArgv, "cmd is needed: the argv as an array of strings, %s", argvExample)
	}
	argv, ok := asStrings(v)
	switch {
	case !ok:
		return sallyport.Errorf(sallyport.CodeInvalidArgv,
			"cmd must be an array of strings, %s; a shell runs only when it is named: [\"sh\",\"-c\",\"…\"]", argvExample)
	case len(argv) == 0:
		return sallyport.Errorf(sallyport.CodeInvalidArgv, "cmd is empty: it needs a program at least, %s", argvExample)
	case len(argv) > limits.ArgvElementsMax:
		return sallyport.Errorf(sallyport.CodeArgvTooLarge, "cmd has %d elements; at most %d are allowed", len(argv), limits.ArgvElementsMax)
	case strings.TrimSpace(argv[0]) == "":
		return sallyport.Errorf(sallyport.CodeInvalidArgv, "cmd[0] is blank: it must name a program, %s", argvExample)
	}
	total := 0
	for _, arg := range argv {
		if strings.Contains(arg, "\x00") {
			return sallyport.Errorf(sallyport.CodeInvalidArgv, "an element of cmd holds a NUL byte, which no program can be given")
		}
		total += len(arg) + 1
	}
	if total > limits.ArgvBytesMax {
		return sallyport.Errorf(sallyport.CodeArgvTooLarge, "cmd has %d bytes; at most %d are allowed: send data through stdin", total, limits.ArgvBytesMax)
	}
	req.Argv = argv
	return nil
}

func readTimeout(o object, req *execRequest) error {
	n, err := o.integer("timeout_s", sallyport.CodeInvalidTimeout)
	if err != nil {
		return err
	}
	req.TimeoutS = int(sallyport.DefaultTimeout.Seconds())
	if n != nil && *n > 0 {
		req.TimeoutS = int(min(*n, int64(sallyport.MaxTimeout.Seconds())))
	}
	return nil
}

func readStream(o object, req *execRequest) (err error) {
	req.stream, err = o.boolean("stream", sallyport.CodeInvalidStream)
	return err
}

func readStdin(o object, req *execRequest) error {
	text, hasText := o.get("stdin")
	encoded, hasEncoded := o.get("stdin_base64")
	switch {
	case hasText && hasEncoded:
		return sallyport.Errorf(sallyport.CodeInvalidStdin, "stdin and stdin_base64 can't both be given")
	case hasText:
		s, ok := asString(text)
		if !ok {
			return sallyport.Errorf(sallyport.CodeInvalidStdin, "stdin must be a string; send other bytes as stdin_base64")
		}
		req.Stdin = []byte(s)
	case hasEncoded:
		return req.readStdinBase64(encoded)
	}
	if len(req.Stdin) > limits.StdinBytesMax {
		return sallyport.Errorf(sallyport.CodeInvalidStdin, "stdin has %d bytes; at most %d are allowed", len(req.Stdin), limits.StdinBytesMax)
	}
	return nil
}

func (req *execRequest) readStdinBase64(v jsontext.Value) error {
	const code = sallyport.CodeInvalidStdinBase64
	s, ok := asString(v)
	if !ok {
		return sallyport.Errorf(code, "stdin_base64 must be a string")
	}
	data, err := base64.StdEncoding.DecodeString(s)
	switch {
	case err != nil:
		return sallyport.Errorf(code, "stdin_base64 is not standard base64 with padding (RFC 4648, section 4)").Because(err)
	case len(data) > limits.StdinBytesMax:
		return sallyport.Errorf(code, "stdin_base64 holds %d bytes; at most %d are allowed", len(data), limits.StdinBytesMax)
	}
	req.Stdin = data
	return nil
}

func readEnv(o object, req *execRequest) error {
	v, ok := o.get("env")
	if !ok {
		return nil
	}
	if v.Kind() != '{' {
		return sallyport.Errorf(sallyport.CodeInvalidEnv, `env must be an object of strings, for example {"LANG":"C.UTF-8"}`)
	}
	env, err := parseObject(v)
	if err != nil {
		return err
	}
	if len(env) > limits.EnvNamesMax {
		return sallyport.Errorf(sallyport.CodeInvalidEnv, "env has %d names; at most %d are allowed", len(env), limits.EnvNamesMax)
	}
	total := 0
	for name, v := range env {
		if err := checkEnvName(name); err != nil {
			return err
		}
		value, ok := asString(v)
		if !ok || strings.Contains(value, "\x00") {
			return sallyport.Errorf(sallyport.CodeInvalidEnv, "the value of env %s must be a string without NUL bytes", name)
		}
		total += len(name) + len(value)
		req.Env = append(req.Env, gateway.Var{Name: name, Value: value})
	}
	if total > limits.EnvBytesMax {
		return sallyport.Errorf(sallyport.CodeInvalidEnv, "env has %d bytes; at most %d are allowed", total, limits.EnvBytesMax)
	}
	return nil
}

func readCwd(o object, req *execRequest) (err error) {
	req.Cwd, err = o.str("cwd", sallyport.CodeInvalidCwd)
	if err != nil {
		return err
	}
	if strings.Contains(req.Cwd, "\x00") || len(req.Cwd) > limits.CwdBytesMax {
		return sallyport.Errorf(sallyport.CodeInvalidCwd, "cwd must be a path of at most %d bytes without NUL bytes", limits.CwdBytesMax)
	}
	return nil
}

func readMaxOutput(o object, req *execRequest) error {
	n, err := o.integer("max_output_bytes", sallyport.CodeInvalidMaxOutputBytes)
	if err != nil {
		return err
	}
	most, kind := int64(limits.OutputBytesBufferedMax), "when buffered; ask for a stream to get more"
	if req.stream {
		most, kind = limits.OutputBytesStreamedMax, "in a stream"
	}
	req.MaxOutputBytes = limits.OutputBytesDefault
	switch {
	case n == nil || *n == 0:
	case *n < 0 || *n > most:
		return sallyport.Errorf(sallyport.CodeInvalidMaxOutputBytes, "max_output_bytes must be 1 to %d %s", most, kind)
	default:
		req.MaxOutputBytes = *n
	}
	return nil
}
