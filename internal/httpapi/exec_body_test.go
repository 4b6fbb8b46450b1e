package httpapi_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"sallyport/client/sallyport"
	"sallyport/internal/access"
	"sallyport/internal/gateway"
	"sallyport/internal/limits"
)

// bodyCodes is what an exec's body may be refused with.
var bodyCodes = []sallyport.Code{
	sallyport.CodeInvalidJSON, sallyport.CodeUnknownField, sallyport.CodeInvalidArgv, sallyport.CodeArgvTooLarge,
	sallyport.CodeInvalidTimeout, sallyport.CodeInvalidStream, sallyport.CodeInvalidStdin, sallyport.CodeInvalidStdinBase64,
	sallyport.CodeInvalidEnv, sallyport.CodeInvalidCwd, sallyport.CodeInvalidMaxOutputBytes, sallyport.CodeInvalidOutput,
}

// execCode sends a body for a workspace that there isn't, so that nothing runs:
// the body is checked first. "" is a body that was taken.
func execCode(t reporter, a *api, body string) sallyport.Code {
	t.Helper()
	w := a.answer(a.request(http.MethodPost, "/workspaces/absent/exec", body))
	code := codeOf(t, w)
	switch {
	case code == sallyport.CodeWorkspaceNotFound && w.Code == http.StatusNotFound:
		return ""
	case code == sallyport.CodeBodyTooLarge && w.Code == http.StatusRequestEntityTooLarge && len(body) > limits.BodyBytesMax:
		return code
	case w.Code == http.StatusBadRequest && slices.Contains(bodyCodes, code) && len(body) <= limits.BodyBytesMax:
		return code
	}
	t.Fatalf("%.200q: %d %s", body, w.Code, w.Body)
	return ""
}

// FuzzExecBody: whatever the body, it is refused with one of the known codes, or
// it keeps to the contract in all that it says.
func FuzzExecBody(f *testing.F) {
	// No large ones: the fuzzer would spend its time on making them small.
	for _, s := range []string{
		``, `{}`, `{"cmd":["ls","-l"]}`, `{"cmd":"ls"}`, `{"cmd":["a"],"cmd":["b"]}`, `{"cmd":["a"],"c\u006dd":["b"]}`, `{"CMD":["a"]}`,
		`{"cmd":["é\ud83d\ude00"],"cwd":"/tmp","stream":true,"max_output_bytes":1073741824,"timeout_s":-0}`,
		`{"cmd":["\ud800"]}`, "{\"cmd\":[\"\xff\"]}", "{\"cmd\":[\"\u00a0\"]}", `{"cmd":["a\u0000"]}`, `{"cmd":[null]}`, `{"cmd":["a"]}x`,
		`{"cmd":["a"],"stdin":"x","stdin_base64":null}`, `{"cmd":["a"],"stdin_base64":"AP8="}`, `{"cmd":["a"],"stdin_base64":"AP8"}`,
		`{"cmd":["a"],"env":{"LANG":"C","X":"\n"}}`, `{"cmd":["a"],"env":{"BASH_ENV":"x"}}`, `{"cmd":["a"],"env":{"A":"1","\u0041":"2"}}`,
		`{"cmd":["a"],"timeout_s":1e2}`, `{"cmd":["a"],"timeout_s":99999999999999999999}`, `{"cmd":["a"],"max_output_bytes":16777217}`, `{"cmd":["a"],"max_output_bytes":-1}`,
		`{"cmd":["a"],"output":{"head_bytes":1,"tail_bytes":null}}`, `{"cmd":["a"],"output":{},"max_output_bytes":1}`, `{"cmd":["a"],"output":[]}`,
		`{"cmd":["a"],"":null}`, `{"cmd":["a"],"env":{"A":` + strings.Repeat("[", 12) + `}}`, " \r\n{ \"cmd\" : [ \"a\" ] } ",
	} {
		f.Add(s)
	}
	// Nothing behind the body's check is reached, so that nothing need be there.
	a := serve(&gateway.Gateway{Access: &access.Access{}}, nil, nil)
	f.Fuzz(func(t *testing.T, body string) {
		if execCode(t, a, body) != "" {
			return
		}
		if fault := faultOf(body); fault != "" {
			t.Errorf("taken, and %s: %.1000q", fault, body)
		}
	})
}

var (
	envName   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	shellName = regexp.MustCompile(`^(_|UID|EUID|PPID|OPTIND|RANDOM|SECONDS|LINENO|SHLVL|SHELLOPTS|BASHOPTS|BASH_.*|SALLYPORT_.*)$`)
	integer   = regexp.MustCompile(`^-?[0-9]+$`)
)

// faultOf says what of the contract a body breaks, by another reading of both
// than the product's; "" is nothing.
func faultOf(body string) string {
	members := map[string]json.RawMessage{}
	if !utf8.ValidString(body) || json.Unmarshal([]byte(body), &members) != nil {
		return "it is no JSON object"
	}
	for name, value := range members {
		if string(value) == "null" && name != "cmd" {
			delete(members, name)
		}
	}
	faults := []string{faultOfArgv(members["cmd"]), faultOfStdin(members), faultOfEnv(members["env"]), faultOfNumbers(members)}
	for name, value := range members {
		switch name {
		case "cmd", "stdin", "stdin_base64", "env", "timeout_s", "max_output_bytes":
		case "stream":
			if s := string(value); s != "true" && s != "false" {
				faults = append(faults, "stream is no boolean")
			}
		case "cwd":
			var cwd *string
			if json.Unmarshal(value, &cwd) != nil || strings.Contains(*cwd, "\x00") || len(*cwd) > limits.CwdBytesMax {
				faults = append(faults, "cwd is no path")
			}
		case "output":
			faults = append(faults, faultOfOutput(value, members))
		default:
			faults = append(faults, fmt.Sprintf("there is no field %q", name))
		}
	}
	return strings.Join(slices.DeleteFunc(faults, func(s string) bool { return s == "" }), ", ")
}

func faultOfArgv(v json.RawMessage) string {
	var argv []*string
	if json.Unmarshal(v, &argv) != nil || len(argv) == 0 || len(argv) > limits.ArgvElementsMax || slices.Contains(argv, nil) {
		return "cmd is no array of strings"
	}
	total := 0
	for _, arg := range argv {
		total += len(*arg) + 1
		if strings.Contains(*arg, "\x00") {
			return "cmd holds a NUL"
		}
	}
	if total > limits.ArgvBytesMax || strings.TrimSpace(*argv[0]) == "" {
		return "cmd is too long, or names no program"
	}
	return ""
}

func faultOfStdin(members map[string]json.RawMessage) string {
	text, hasText := members["stdin"]
	encoded, hasEncoded := members["stdin_base64"]
	var stdin string
	switch {
	case hasText && hasEncoded:
		return "stdin is there twice"
	case hasText && json.Unmarshal(text, &stdin) != nil:
		return "stdin is no string"
	case hasEncoded:
		var data []byte // encoding/json takes base64 for it
		if json.Unmarshal(encoded, &data) != nil || encoded[0] != '"' {
			return "stdin_base64 is no base64"
		}
		stdin = string(data)
	}
	if len(stdin) > limits.StdinBytesMax {
		return "stdin is too long"
	}
	return ""
}

func faultOfEnv(v json.RawMessage) string {
	if v == nil {
		return ""
	}
	var env map[string]*string
	if json.Unmarshal(v, &env) != nil || len(env) > limits.EnvNamesMax {
		return "env is no object of strings"
	}
	total := 0
	for name, value := range env {
		if !envName.MatchString(name) || shellName.MatchString(name) || value == nil || strings.Contains(*value, "\x00") {
			return fmt.Sprintf("env has %q", name)
		}
		total += len(name) + len(*value)
	}
	if total > limits.EnvBytesMax {
		return "env is too long"
	}
	return ""
}

func faultOfOutput(v json.RawMessage, members map[string]json.RawMessage) string {
	var parts map[string]json.RawMessage
	if _, both := members["max_output_bytes"]; both || json.Unmarshal(v, &parts) != nil {
		return "output is no object, or one cap too many"
	}
	for name, value := range parts {
		var n int64
		switch isPart := name == "head_bytes" || name == "tail_bytes"; {
		case !isPart:
			return "output has a field that there is not"
		case string(value) == "null":
		case !integer.Match(value) || json.Unmarshal(value, &n) != nil || n < 0 || n > sallyport.OutputPartBytesMax:
			return "a part of the output is out of bounds"
		}
	}
	return ""
}

func faultOfNumbers(members map[string]json.RawMessage) string {
	if v, ok := members["timeout_s"]; ok && !integer.Match(v) {
		return "timeout_s is no integer"
	}
	v, ok := members["max_output_bytes"]
	if !ok {
		return ""
	}
	most := int64(limits.OutputBytesBufferedMax)
	if string(members["stream"]) == "true" {
		most = limits.OutputBytesStreamedMax
	}
	var n int64
	if !integer.Match(v) || json.Unmarshal(v, &n) != nil || n < 0 || n > most {
		return "max_output_bytes is out of bounds"
	}
	return ""
}

// field is one field of a body, with values that are taken and such that aren't.
type field struct {
	name      string
	good, bad *rapid.Generator[any]
	code      sallyport.Code
}

func fields() []field {
	text := rapid.Map(rapid.StringN(0, 50, -1), func(s string) string { return strings.ReplaceAll(s, "\x00", "") })
	env := rapid.MapOfN(rapid.StringMatching(`[A-Za-z][A-Za-z0-9]{3,9}x`), text, 0, 5)
	wrong := rapid.SampledFrom([]any{-1.5, "x", true, []any{1}, map[string]any{"A": nil}})
	not := func(kinds ...string) *rapid.Generator[any] {
		return wrong.Filter(func(v any) bool { return !slices.Contains(kinds, fmt.Sprintf("%T", v)) })
	}
	return []field{
		{"cmd", rapid.Map(rapid.SliceOfN(text, 0, 5), func(more []string) any { return append([]string{"ls"}, more...) }),
			rapid.OneOf(wrong, rapid.SampledFrom([]any{[]string{}, []string{" \u2003"}, []string{"a\x00"}, nil})), sallyport.CodeInvalidArgv},
		{"timeout_s", rapid.Int64().AsAny(), wrong, sallyport.CodeInvalidTimeout},
		{"stream", rapid.Bool().AsAny(), not("bool"), sallyport.CodeInvalidStream},
		{"stdin", text.AsAny(), not("string"), sallyport.CodeInvalidStdin},
		{"stdin_base64", rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) any { return base64.StdEncoding.EncodeToString(b) }),
			not("none"), sallyport.CodeInvalidStdinBase64},
		{"env", env.AsAny(), wrong, sallyport.CodeInvalidEnv},
		{"cwd", text.AsAny(), not("string"), sallyport.CodeInvalidCwd},
		{"max_output_bytes", rapid.Int64Range(0, limits.OutputBytesBufferedMax).AsAny(),
			rapid.OneOf(wrong, rapid.Int64Range(-1<<62, -1).AsAny(), rapid.Int64Range(limits.OutputBytesStreamedMax+1, 1<<62).AsAny()), sallyport.CodeInvalidMaxOutputBytes},
		{"nope", nil, wrong, sallyport.CodeUnknownField},
	}
}

// A body of good fields is taken, in whatever order they stand; one with bad ones
// is refused for one of those.
func TestExecBody(t *testing.T) {
	a := serve(&gateway.Gateway{Access: &access.Access{}}, nil, nil)
	all := fields()
	rapid.Check(t, func(t *rapid.T) {
		var members []string
		var codes []sallyport.Code
		for _, f := range rapid.Permutation(all).Draw(t, "fields") {
			how := rapid.SampledFrom([]string{"good", "good", "good", "missing", "null", "bad"}).Draw(t, f.name)
			value := any(nil)
			switch {
			case f.good == nil && how != "bad", how == "missing" && f.name != "cmd":
				continue
			case how == "good":
				value = f.good.Draw(t, "value")
			case how == "bad":
				value = f.bad.Draw(t, "value")
			}
			if how == "bad" || value == nil && f.name == "cmd" {
				codes = append(codes, f.code)
			}
			encoded, err := json.Marshal(value)
			if err != nil {
				t.Fatal(err)
			}
			members = append(members, fmt.Sprintf(" %q :\t%s ", f.name, encoded))
		}
		if isGiven(members, "stdin") && isGiven(members, "stdin_base64") {
			codes = append(codes, sallyport.CodeInvalidStdin)
		}
		body := "{" + strings.Join(members, ",") + "}"
		code := execCode(t, a, body)
		if len(codes) == 0 && code != "" || len(codes) > 0 && !slices.Contains(codes, code) {
			t.Fatalf("%s: got %q, want one of %v", body, code, codes)
		}
		if code == "" && faultOf(body) != "" {
			t.Fatalf("%s: %s", body, faultOf(body))
		}
	})
}

// isGiven tells whether a field is there and not null.
func isGiven(members []string, name string) bool {
	return slices.ContainsFunc(members, func(m string) bool {
		return strings.HasPrefix(m, fmt.Sprintf(" %q :", name)) && !strings.HasSuffix(m, "\tnull ")
	})
}
