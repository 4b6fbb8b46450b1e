package httpapi

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"sallyport/client/sallyport"
)

// many is text that begins with head, goes on with piece for ever, and counts what was read.
type many struct {
	head, piece string
	read        int
}

func (m *many) Read(p []byte) (int, error) {
	text := m.head
	if text == "" {
		text = m.piece
	}
	n := copy(p, text)
	m.head = text[n:]
	m.read += n
	return n, nil
}

// The reading of a body ends at the first member that is unknown, and at the first of its
// values that is too many: what stands behind costs nothing.
func TestParseEndsEarly(t *testing.T) {
	names := func(value string) string {
		var b strings.Builder
		for i := range 100_000 {
			fmt.Fprintf(&b, `"N%d":%s,`, i, value)
		}
		return b.String()
	}
	const small = 16 << 10
	for name, tt := range map[string]struct {
		body any
		text many
		code sallyport.Code
		most int
	}{
		"unknown names":            {&execBody{}, many{head: "{" + names("0")}, sallyport.CodeUnknownField, small},
		"unknown names in a value": {&execBody{}, many{head: `{"x":{` + names("0")}, sallyport.CodeUnknownField, small},
		"unknown names in one":     {&workspaceBody{}, many{head: `{"connector":{` + names("0")}, sallyport.CodeUnknownField, small},
		"names in a wrong value":   {&execBody{}, many{head: `{"cmd":{` + names("0")}, sallyport.CodeInvalidArgv, small},
		"elements":                 {&execBody{}, many{head: `{"cmd":["x"`, piece: `,""`}, sallyport.CodeArgvTooLarge, 64 << 10},
		"bytes of elements":        {&execBody{}, many{head: `{"cmd":["x"`, piece: `,"` + strings.Repeat("y", 4000) + `"`}, sallyport.CodeArgvTooLarge, 512 << 10},
		"variables":                {&execBody{}, many{head: `{"env":{` + names(`""`)}, sallyport.CodeInvalidEnv, small},
		"labels":                   {&workspaceBody{}, many{head: `{"labels":{` + names(`""`)}, sallyport.CodeInvalidLabels, small},
		"labels to take away":      {&workspacePatch{}, many{head: `{"labels":{` + names(`null`)}, sallyport.CodeInvalidLabels, small},
		"scopes":                   {&tokenBody{}, many{head: `{"scopes":["x"`, piece: `,"exec"`}, sallyport.CodeInvalidScopes, small},
		"limits":                   {&orgBody{}, many{head: `{"limits":{` + names("1")}, sallyport.CodeUnknownField, small},
	} {
		var known *sallyport.Error
		err := parse(&tt.text, tt.body)
		if !errors.As(err, &known) || known.Code != tt.code {
			t.Errorf("%s: %v, want %s", name, err, tt.code)
		}
		if tt.text.read > tt.most {
			t.Errorf("%s: %d bytes were read, want at most %d", name, tt.text.read, tt.most)
		}
	}
}

// What is wrong with a member is said in our words, with the place where it stands.
func TestMemberErrors(t *testing.T) {
	for _, tt := range []struct {
		body any
		text string
		want string
	}{
		{&execBody{}, `{"cmd":["a"],"timeout":5}`, `unknown_field: unknown field "timeout"; there are cmd, timeout_s, stream, stdin, stdin_base64, env, cwd, max_output_bytes, output, detach, keep_s`},
		{&execBody{}, `{"cmd":["a"],"stream":1}`, `invalid_stream: stream must be true or false`},
		{&execBody{}, `{"cmd":["a"],"timeout_s":1.5}`, `invalid_timeout: timeout_s must be an integer, without a fraction or an exponent`},
		{&execBody{}, `{"cmd":["a"],"stdin":[]}`, `invalid_stdin: stdin must be a string; send other bytes as stdin_base64`},
		{&execBody{}, `{"cmd":["a"],"cwd":{"x":1}}`, `invalid_cwd: cwd must be a string`},
		{&workspaceBody{}, `{"connector":"local"}`, `invalid_connector: connector must be an object, for example {"type":"local"}`},
		{&workspaceBody{}, `{"connector":{"auth":[]}}`, `invalid_connector: connector.auth must be an object`},
		{&workspaceBody{}, `{"connector":{"auth":{"a/b.c":1}}}`, `unknown_field: unknown field "connector.auth.a/b.c"; there are type, private_key`},
		{&workspaceBody{}, `{"connector":{"port":"22"}}`, `invalid_connector: connector.port must be an integer, without a fraction or an exponent`},
		{&orgBody{}, `{"aws":{"role_arn":7}}`, `invalid_aws: aws.role_arn must be a string`},
	} {
		var known *sallyport.Error
		if err := parse(io.MultiReader(strings.NewReader(tt.text)), tt.body); !errors.As(err, &known) {
			t.Errorf("%s: %v", tt.text, err)
		} else if got := string(known.Code) + ": " + known.Message; got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.text, got, tt.want)
		}
	}
}
