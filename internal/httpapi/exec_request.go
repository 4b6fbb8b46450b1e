package httpapi

import (
	"encoding/base64"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"sallyport/client/sallyport"
	"sallyport/internal/gateway"
	"sallyport/internal/limits"
)

// execBody is the body of an exec as it came.
type execBody struct {
	Cmd            argv                 `json:"cmd"`
	TimeoutS       optional[integer]    `json:"timeout_s"`
	Stream         bool                 `json:"stream"`
	Stdin          optional[string]     `json:"stdin" want:"stdin must be a string; send other bytes as stdin_base64"`
	StdinBase64    optional[string]     `json:"stdin_base64"`
	Env            environment          `json:"env"`
	Cwd            string               `json:"cwd"`
	MaxOutputBytes optional[integer]    `json:"max_output_bytes"`
	Output         optional[outputBody] `json:"output" want:"output must be an object, for example {\"head_bytes\":4096,\"tail_bytes\":12288}"`
	Detach         bool                 `json:"detach"`
	KeepS          optional[integer]    `json:"keep_s"`
}

// outputBody is how much of each output stream is wanted.
type outputBody struct {
	HeadBytes optional[integer] `json:"head_bytes"`
	TailBytes optional[integer] `json:"tail_bytes"`
}

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (b *outputBody) UnmarshalJSONFrom(dec *jsontext.Decoder) error { return readObject(dec, b) }

const argvExample = `for example "cmd":["ls","-l"]`

// exec checks the body against the contract, and fills in the defaults. most is the longest
// time-out.
func (b execBody) exec(most time.Duration) (gateway.Exec, error) {
	e := gateway.Exec{Argv: b.Cmd, Env: b.Env, Cwd: b.Cwd, Stream: b.Stream, TimeoutS: int(sallyport.DefaultTimeout.Seconds())}
	if len(b.Cmd) == 0 {
		return e, sallyport.Errorf(sallyport.CodeInvalidArgv, "cmd is needed: the argv as an array of strings, %s", argvExample)
	}
	if b.Detach {
		most, e.TimeoutS = limits.DetachedTimeout, int(limits.DetachedDefault.Seconds())
	}
	if n := b.TimeoutS.value; n > 0 {
		e.TimeoutS = int(min(n, integer(most.Seconds())))
	}
	if b.Detach && (b.Stream || b.Output.is()) {
		return e, invalidDetach()
	}
	var err error
	if e.Stdin, err = b.stdin(); err != nil {
		return e, err
	}
	if err := checkCwd(b.Cwd); err != nil {
		return e, err
	}
	if b.Output.is() {
		e.Output, err = b.outputSize()
	} else {
		e.MaxOutputBytes, err = b.maxOutput()
	}
	if err != nil {
		return e, err
	}
	return e, b.detached(&e)
}

func invalidDetach() *sallyport.Error {
	return sallyport.Errorf(sallyport.CodeInvalidDetach, "detach goes with none of stream, output and a streamed stdin: the output is read when the command has started")
}

// detached fills in what is a detached exec's alone.
func (b execBody) detached(e *gateway.Exec) error {
	keep := int64(b.KeepS.value)
	switch most := int64(limits.DetachedKeep.Seconds()); {
	case keep < 0, b.KeepS.is() && !b.Detach:
		return sallyport.Errorf(sallyport.CodeInvalidKeepS, "keep_s must be 0 to %d, and goes with detach", most)
	case b.Detach && keep == 0:
		e.KeepS = int(limits.DetachedDefault.Seconds())
	case b.Detach:
		e.KeepS = int(min(keep, most))
	}
	e.Detached = b.Detach
	return nil
}

func (b execBody) outputSize() (*sallyport.OutputSize, error) {
	const code = sallyport.CodeInvalidOutput
	if b.MaxOutputBytes.is() {
		return nil, sallyport.Errorf(code, "output and max_output_bytes can't both be given")
	}
	size := &sallyport.OutputSize{HeadBytes: int64(b.Output.value.HeadBytes.value), TailBytes: int64(b.Output.value.TailBytes.value)}
	for _, part := range []struct {
		name  string
		bytes int64
	}{{"head_bytes", size.HeadBytes}, {"tail_bytes", size.TailBytes}} {
		if part.bytes < 0 || part.bytes > sallyport.OutputPartBytesMax {
			return nil, sallyport.Errorf(code, "output.%s must be 0 to %d", part.name, sallyport.OutputPartBytesMax)
		}
	}
	return size, nil
}

func checkCwd(cwd string) error {
	if strings.Contains(cwd, "\x00") || len(cwd) > limits.CwdBytesMax {
		return sallyport.Errorf(sallyport.CodeInvalidCwd, "cwd must be a path of at most %d bytes without NUL bytes", limits.CwdBytesMax)
	}
	return nil
}

// argv is an argv within the contract's bounds. It is nil for none: null counts as missing,
// which cmd may not be.
type argv []string

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (a *argv) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	if dec.PeekKind() == 'n' {
		_, err := dec.ReadToken()
		return err
	}
	notArgv := sallyport.Errorf(sallyport.CodeInvalidArgv,
		"cmd must be an array of strings, %s; a shell runs only when it is named: [\"sh\",\"-c\",\"…\"]", argvExample)
	total := 0
	err := eachString(dec, notArgv, func(arg string) error {
		total += len(arg) + 1
		switch {
		case len(*a) == limits.ArgvElementsMax:
			return sallyport.Errorf(sallyport.CodeArgvTooLarge, "cmd has more than %d elements", limits.ArgvElementsMax)
		case total > limits.ArgvBytesMax:
			return sallyport.Errorf(sallyport.CodeArgvTooLarge, "cmd has more than %d bytes: send data through stdin", limits.ArgvBytesMax)
		case len(*a) == 0 && strings.TrimSpace(arg) == "":
			return sallyport.Errorf(sallyport.CodeInvalidArgv, "cmd[0] is blank: it must name a program, %s", argvExample)
		case strings.Contains(arg, "\x00"):
			return sallyport.Errorf(sallyport.CodeInvalidArgv, "an element of cmd holds a NUL byte, which no program can be given")
		}
		*a = append(*a, arg)
		return nil
	})
	if err == nil && len(*a) == 0 {
		return sallyport.Errorf(sallyport.CodeInvalidArgv, "cmd is empty: it needs a program at least, %s", argvExample)
	}
	return err
}

func (b execBody) stdin() ([]byte, error) {
	switch {
	case b.Stdin.is() && b.StdinBase64.is():
		return nil, sallyport.Errorf(sallyport.CodeInvalidStdin, "stdin and stdin_base64 can't both be given")
	case b.StdinBase64.is():
		return stdinOfBase64(b.StdinBase64.value)
	case len(b.Stdin.value) > limits.StdinBytesMax:
		return nil, sallyport.Errorf(sallyport.CodeInvalidStdin, "stdin has %d bytes; at most %d are allowed", len(b.Stdin.value), limits.StdinBytesMax)
	}
	if !b.Stdin.is() {
		return nil, nil // not empty bytes: an idempotency key stands for one or the other
	}
	return []byte(b.Stdin.value), nil
}

func stdinOfBase64(text string) ([]byte, error) {
	const code = sallyport.CodeInvalidStdinBase64
	data, err := base64.StdEncoding.DecodeString(text)
	switch {
	case err != nil:
		return nil, sallyport.Errorf(code, "stdin_base64 is not standard base64 with padding (RFC 4648, section 4)").Because(err)
	case len(data) > limits.StdinBytesMax:
		return nil, sallyport.Errorf(code, "stdin_base64 holds %d bytes; at most %d are allowed", len(data), limits.StdinBytesMax)
	}
	return data, nil
}

// environment are variables within the contract's bounds.
type environment []gateway.Var

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (e *environment) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	if dec.PeekKind() == 'n' {
		_, err := dec.ReadToken()
		return err
	}
	notEnv := sallyport.Errorf(sallyport.CodeInvalidEnv, `env must be an object of strings, for example {"LANG":"C.UTF-8"}`)
	total := 0
	return eachMember(dec, notEnv, func(name string) error {
		if len(*e) == limits.EnvNamesMax {
			return sallyport.Errorf(sallyport.CodeInvalidEnv, "env has more than %d names", limits.EnvNamesMax)
		}
		if err := checkEnvName(name); err != nil {
			return err
		}
		notValue := sallyport.Errorf(sallyport.CodeInvalidEnv, "the value of env %s must be a string without NUL bytes", name)
		value, err := readString(dec, notValue)
		switch total += len(name) + len(value); {
		case err != nil:
			return err
		case strings.Contains(value, "\x00"):
			return notValue
		case total > limits.EnvBytesMax:
			return sallyport.Errorf(sallyport.CodeInvalidEnv, "env has more than %d bytes", limits.EnvBytesMax)
		}
		*e = append(*e, gateway.Var{Name: name, Value: value})
		return nil
	})
}

func (b execBody) maxOutput() (int64, error) {
	if b.Detach {
		return b.keptOutput()
	}
	most, kind := int64(limits.OutputBytesBufferedMax), "when buffered; ask for a stream to get more"
	if b.Stream {
		most, kind = limits.OutputBytesStreamedMax, "in a stream"
	}
	switch n := int64(b.MaxOutputBytes.value); {
	case n == 0:
		return limits.OutputBytesDefault, nil
	case n < 0 || n > most:
		return 0, sallyport.Errorf(sallyport.CodeInvalidMaxOutputBytes, "max_output_bytes must be 1 to %d %s", most, kind)
	default:
		return n, nil
	}
}

// keptOutput is how much of each stream is kept of a detached exec.
func (b execBody) keptOutput() (int64, error) {
	switch n := int64(b.MaxOutputBytes.value); {
	case n == 0:
		return limits.DetachedOutputBytesDefault, nil
	case n < limits.DetachedOutputBytesMin || n > limits.DetachedOutputBytesMax:
		return 0, sallyport.Errorf(sallyport.CodeInvalidMaxOutputBytes, "max_output_bytes must be %d to %d of a detached exec", limits.DetachedOutputBytesMin, limits.DetachedOutputBytesMax)
	default:
		return n, nil
	}
}
