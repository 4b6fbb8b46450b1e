// Package contract holds a running server to the contract of its HTTP API.
package contract

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
	"testing"

	"go.uber.org/goleak"

	_ "sallyport/test/apart"
	"sallyport/test/pg"
	"sallyport/test/stack"
)

func TestMain(m *testing.M) {
	// Where somebody has set this a server keeps no memory back for its collector, which a
	// hundred of them would clear one after another.
	debug.SetGCPercent(400)
	goleak.VerifyTestMain(pg.Main(m))
}

// long is a string of n characters.
func long(n int) string { return strings.Repeat("a", n) }

func quote(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// Every malformed body gets its 4xx, runs nothing and leaves no row.
func TestExecRefusesBadBodies(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	tests := []struct {
		body   string
		status int
		code   string
	}{
		{``, 400, "invalid_json"},
		{`x`, 400, "invalid_json"},
		{`null`, 400, "invalid_json"},
		{`[]`, 400, "invalid_json"},
		{`"ls"`, 400, "invalid_json"},
		{`{"cmd":["true"]`, 400, "invalid_json"},
		{`{"cmd":["true"]} x`, 400, "invalid_json"},
		{`{"cmd":["true"]}{}`, 400, "invalid_json"},
		{`{"cmd":["true"],"cmd":["true"]}`, 400, "invalid_json"},
		{`{"cmd":["true"],"env":{"A":"1","A":"2"}}`, 400, "invalid_json"},
		{"\xef\xbb\xbf" + `{"cmd":["true"]}`, 400, "invalid_json"},
		{"{\"cmd\":[\"\xff\"]}", 400, "invalid_json"},
		{`{"cmd":["\ud800"]}`, 400, "invalid_json"},
		{`{"cmd":["true"],"timeout_s":NaN}`, 400, "invalid_json"},
		{`{"cmd":["true"] /* */}`, 400, "invalid_json"},
		{`{"cmd":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}`, 400, "invalid_json"},

		{`{}`, 400, "invalid_argv"},
		{`{"cmd":null}`, 400, "invalid_argv"},
		{`{"cmd":"ls -l"}`, 400, "invalid_argv"},
		{`{"cmd":[]}`, 400, "invalid_argv"},
		{`{"cmd":[null]}`, 400, "invalid_argv"},
		{`{"cmd":["true",1]}`, 400, "invalid_argv"},
		{`{"cmd":[["true"]]}`, 400, "invalid_argv"},
		{`{"cmd":{}}`, 400, "invalid_argv"},
		{`{"cmd":[""]}`, 400, "invalid_argv"},
		{`{"cmd":[" \t"]}`, 400, "invalid_argv"},
		{`{"cmd":["a\u0000"]}`, 400, "invalid_argv"},
		{`{"cmd":` + quote(append([]string{"true"}, make([]string, 4096)...)) + `}`, 400, "argv_too_large"},
		{`{"cmd":["true","` + long(128<<10-5) + `"]}`, 400, "argv_too_large"},

		{`{"cmd":["true"],"timeout_s":1.5}`, 400, "invalid_timeout"},
		{`{"cmd":["true"],"timeout_s":1.0}`, 400, "invalid_timeout"},
		{`{"cmd":["true"],"timeout_s":1e1}`, 400, "invalid_timeout"},
		{`{"cmd":["true"],"timeout_s":1e400}`, 400, "invalid_timeout"},
		{`{"cmd":["true"],"timeout_s":"30"}`, 400, "invalid_timeout"},
		{`{"cmd":["true"],"timeout_s":true}`, 400, "invalid_timeout"},

		{`{"cmd":["true"],"stream":"yes"}`, 400, "invalid_stream"},
		{`{"cmd":["true"],"stream":1}`, 400, "invalid_stream"},
		{`{"cmd":["true"],"stdin":1}`, 400, "invalid_stdin"},
		{`{"cmd":["true"],"stdin":"a","stdin_base64":"YQ=="}`, 400, "invalid_stdin"},
		{`{"cmd":["true"],"stdin":"` + long(1<<20+1) + `"}`, 400, "invalid_stdin"},
		{`{"cmd":["true"],"stdin_base64":"!"}`, 400, "invalid_stdin_base64"},
		{`{"cmd":["true"],"stdin_base64":"YQ"}`, 400, "invalid_stdin_base64"},
		{`{"cmd":["true"],"stdin_base64":[]}`, 400, "invalid_stdin_base64"},
		{`{"cmd":["true"],"stdin_base64":"` + base64.StdEncoding.EncodeToString(make([]byte, 1<<20+1)) + `"}`, 400, "invalid_stdin_base64"},

		{`{"cmd":["true"],"env":[]}`, 400, "invalid_env"},
		{`{"cmd":["true"],"env":{"A":1}}`, 400, "invalid_env"},
		{`{"cmd":["true"],"env":{"A":null}}`, 400, "invalid_env"},
		{`{"cmd":["true"],"env":{"":"x"}}`, 400, "invalid_env"},
		{`{"cmd":["true"],"env":{"1A":"x"}}`, 400, "invalid_env"},
		{`{"cmd":["true"],"env":{"A-B":"x"}}`, 400, "invalid_env"},
		{`{"cmd":["true"],"env":{"é":"x"}}`, 400, "invalid_env"},
		{`{"cmd":["true"],"env":{"A":"\u0000"}}`, 400, "invalid_env"},
		{`{"cmd":["true"],"env":{"UID":"0"}}`, 400, "invalid_env"},
		{`{"cmd":["true"],"env":{"_":"0"}}`, 400, "invalid_env"},
		{`{"cmd":["true"],"env":{"BASH_ENV":"x"}}`, 400, "invalid_env"},
		{`{"cmd":["true"],"env":{"OPTIND":"x"}}`, 400, "invalid_env"},
		{`{"cmd":["true"],"env":{"SALLYPORT_EXEC_ID":"x"}}`, 400, "invalid_env"},
		{`{"cmd":["true"],"env":{"A":"` + long(64<<10) + `"}}`, 400, "invalid_env"},
		{`{"cmd":["true"],"env":` + quote(names(65)) + `}`, 400, "invalid_env"},

		{`{"cmd":["true"],"cwd":1}`, 400, "invalid_cwd"},
		{`{"cmd":["true"],"cwd":"a\u0000"}`, 400, "invalid_cwd"},
		{`{"cmd":["true"],"max_output_bytes":-1}`, 400, "invalid_max_output_bytes"},
		{`{"cmd":["true"],"max_output_bytes":16777217}`, 400, "invalid_max_output_bytes"},
		{`{"cmd":["true"],"max_output_bytes":1073741825,"stream":true}`, 400, "invalid_max_output_bytes"},
		{`{"cmd":["true"],"max_output_bytes":99999999999999999999999}`, 400, "invalid_max_output_bytes"},
		{`{"cmd":["true"],"max_output_bytes":1.5}`, 400, "invalid_max_output_bytes"},

		{`{"cmd":["true"],"timeout":5}`, 400, "unknown_field"},
		{`{"cmd":["true"],"timeout":null}`, 400, "unknown_field"},
		{`{"CMD":["true"]}`, 400, "unknown_field"},
		{`{"cmd":["true"],"":1}`, 400, "unknown_field"},

		{`{"cmd":["true"],"stdin":"` + long(2<<20) + `"}`, 413, "body_too_large"},
	}
	for _, tt := range tests {
		a := s.Exec(t, tt.body)
		if a.Status != tt.status || a.Code() != tt.code {
			t.Errorf("%.80s: got %d %.200s, want %d %s", tt.body, a.Status, a.Body, tt.status, tt.code)
		}
	}
	if rows := s.Execs(t); len(rows) != 0 {
		t.Errorf("%d rows of refused execs", len(rows))
	}
}

func names(n int) map[string]string {
	env := map[string]string{}
	for i := range n {
		env[fmt.Sprintf("V%d", i)] = ""
	}
	return env
}

// What the contract allows at its very borders runs.
func TestExecTakesTheBorders(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	tests := []struct{ name, body, stdout string }{
		{"most elements", `{"cmd":` + quote(append([]string{"echo"}, make([]string, 4095)...)) + `}`, strings.Repeat(" ", 4094) + "\n"},
		{"longest argv", `{"cmd":["printf","%s","` + long(128<<10-11) + `"]}`, long(128<<10 - 11)},
		{"largest stdin", `{"cmd":["wc","-c"],"stdin":"` + long(1<<20) + `"}`, "1048576\n"},
		{"largest env", `{"cmd":["sh","-c","echo ${#A}"],"env":{"A":"` + long(64<<10-1) + `"}}`, "65535\n"},
		{"most names", `{"cmd":["true"],"env":` + quote(names(64)) + `}`, ""},
		{"nulls are missing", `{"cmd":["cat"],"timeout_s":null,"stream":null,"stdin":null,"stdin_base64":null,"env":null,"cwd":null,"max_output_bytes":null}`, ""},
		{"null and the other", `{"cmd":["cat"],"stdin":"x","stdin_base64":null}`, "x"},
		{"base64 stdin", `{"cmd":["wc","-c"],"stdin_base64":"AP8="}`, "2\n"},
		{"zero cap", `{"cmd":["echo"],"max_output_bytes":0}`, "\n"},
		{"most output buffered", `{"cmd":["echo"],"max_output_bytes":16777216}`, "\n"},
		{"empty cwd", `{"cmd":["pwd"],"cwd":"/"}`, "/\n"},
		{"space before", " \n\t" + `{"cmd":["echo"]}` + "\r\n ", "\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := s.Exec(t, tt.body)
			got := parse(t, a)
			if got.exit == nil || *got.exit != 0 || got.stdout != tt.stdout {
				t.Errorf("got %d %.300s", a.Status, a.Body)
			}
		})
	}
}

func TestTimeoutInForce(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	tests := []struct{ timeout, want string }{
		{"", "30"}, {`,"timeout_s":0`, "30"}, {`,"timeout_s":-5`, "30"}, {`,"timeout_s":null`, "30"},
		{`,"timeout_s":7`, "7"}, {`,"timeout_s":120`, "120"}, {`,"timeout_s":121`, "120"},
		{`,"timeout_s":99999999999999999999999999`, "120"}, {`,"timeout_s":-99999999999999999999999999`, "30"},
	}
	for _, tt := range tests {
		a := s.Exec(t, `{"cmd":["true"]`+tt.timeout+`}`)
		if got := a.Header.Get("Sallyport-Timeout-S"); a.Status != 200 || got != tt.want {
			t.Errorf("%s: got %q, want %q: %s", tt.timeout, got, tt.want, a.Body)
		}
	}
}

// parsed is an answer of NDJSON, put together.
type parsed struct {
	frames         []map[string]any
	stdout, stderr string
	exit           *int
	last           map[string]any
}

func parse(t testing.TB, a stack.Answer) parsed {
	t.Helper()
	if a.Status != http.StatusOK || a.Header.Get("Content-Type") != "application/x-ndjson" {
		t.Fatalf("answer %d %s: %.300s", a.Status, a.Header.Get("Content-Type"), a.Body)
	}
	var p parsed
	for _, line := range strings.Split(strings.TrimSuffix(a.Body, "\n"), "\n") {
		if line == "" {
			continue
		}
		f := map[string]any{}
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Fatalf("frame %.200q: %v", line, err)
		}
		p.frames, p.last = append(p.frames, f), f
		data, _ := f["data"].(string)
		if f["encoding"] == "base64" {
			raw, err := base64.StdEncoding.DecodeString(data)
			if err != nil {
				t.Fatal(err)
			}
			data = string(raw)
		}
		switch f["stream"] {
		case "stdout":
			p.stdout += data
		case "stderr":
			p.stderr += data
		}
	}
	if code, ok := p.last["exit_code"].(float64); ok {
		n := int(code)
		p.exit = &n
	}
	return p
}

func TestBufferedAnswer(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	tests := []struct{ name, body, want string }{
		{"both streams, fixed order", `{"cmd":["sh","-c","echo err >&2; echo out; exit 3"]}`,
			`{"stream":"stdout","data":"out\n","truncated":false}` + "\n" + `{"stream":"stderr","data":"err\n","truncated":false}` + "\n" + `{"exit_code":3,"duration_ms":N}` + "\n"},
		{"silent", `{"cmd":["true"]}`, `{"exit_code":0,"duration_ms":N}` + "\n"},
		{"a signal", `{"cmd":["sh","-c","kill -9 $$"]}`, `{"exit_code":137,"duration_ms":N,"signal":"KILL"}` + "\n"},
		{"255 is 255", `{"cmd":["sh","-c","exit 255"]}`, `{"exit_code":255,"duration_ms":N}` + "\n"},
		{"binary", `{"cmd":["printf","\\377"]}`, `{"stream":"stdout","data":"/w==","truncated":false,"encoding":"base64"}` + "\n" + `{"exit_code":0,"duration_ms":N}` + "\n"},
		{"cut", `{"cmd":["printf","aé"],"max_output_bytes":2}`, `{"stream":"stdout","data":"a\n[output truncated at 2 bytes]","truncated":true}` + "\n" + `{"exit_code":0,"duration_ms":N}` + "\n"},
		{"fits", `{"cmd":["printf","abcdef"],"output":{"head_bytes":2,"tail_bytes":4}}`,
			`{"stream":"stdout","data":"abcdef","truncated":false}` + "\n" + `{"exit_code":0,"duration_ms":N,"stdout_bytes":6,"stderr_bytes":0}` + "\n"},
		{"sized", `{"cmd":["sh","-c","printf aéxyzé1; printf 123456 >&2; exit 2"],"output":{"head_bytes":2,"tail_bytes":2}}`,
			`{"stream":"stdout","data":"a\n[7 bytes omitted]\n1","truncated":true,"omitted":7}` + "\n" + `{"stream":"stderr","data":"12\n[2 bytes omitted]\n56","truncated":true,"omitted":2}` + "\n" +
				`{"exit_code":2,"duration_ms":N,"stdout_bytes":9,"stderr_bytes":6}` + "\n"},
		{"nothing wanted", `{"cmd":["printf","\\377a"],"output":{}}`,
			`{"stream":"stdout","data":"\n[2 bytes omitted]\n","truncated":true,"omitted":2}` + "\n" + `{"exit_code":0,"duration_ms":N,"stdout_bytes":2,"stderr_bytes":0}` + "\n"},
		{"sized and binary", `{"cmd":["printf","\\377abc"],"output":{"head_bytes":1,"tail_bytes":1}}`,
			`{"stream":"stdout","data":"/wpbMiBieXRlcyBvbWl0dGVkXQpj","truncated":true,"omitted":2,"encoding":"base64"}` + "\n" + `{"exit_code":0,"duration_ms":N,"stdout_bytes":4,"stderr_bytes":0}` + "\n"},
		{"sized, in a stream", `{"cmd":["printf","abcdefgh"],"stream":true,"output":{"head_bytes":2,"tail_bytes":3}}`,
			`{"stream":"stdout","data":"ab","truncated":false}` + "\n" + `{"stream":"stdout","offset":2,"omitted":3}` + "\n" + `{"stream":"stdout","data":"fgh","truncated":false}` + "\n" +
				`{"exit_code":0,"duration_ms":N,"stdout_bytes":8,"stderr_bytes":0}` + "\n"},
		{"no shell", `{"cmd":["echo","$HOME","*","a b"]}`, `{"stream":"stdout","data":"$HOME * a b\n","truncated":false}` + "\n" + `{"exit_code":0,"duration_ms":N}` + "\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := s.Exec(t, tt.body)
			if got := withoutDuration(a.Body); a.Status != 200 || got != tt.want {
				t.Errorf("got %d %s\nwant %s", a.Status, got, tt.want)
			}
		})
	}
}

// withoutDuration replaces the one number that changes.
func withoutDuration(body string) string {
	before, after, found := strings.Cut(body, `"duration_ms":`)
	if !found {
		return body
	}
	return before + `"duration_ms":N` + strings.TrimLeft(after, "0123456789")
}

func TestProgramsThatDoNotRun(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	for body, want := range map[string]int{
		`{"cmd":["no-such-program"]}`: 127,
		`{"cmd":["/etc/passwd"]}`:     126,
	} {
		got := parse(t, s.Exec(t, body))
		if got.exit == nil || *got.exit != want {
			t.Errorf("%s: %+v", body, got)
		}
	}
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	a := s.Exec(t, `{"cmd":["sh","-c","echo out; sleep 600"],"timeout_s":1}`)
	if a.Status != http.StatusGatewayTimeout || a.Code() != "exec_timeout" || strings.Contains(a.Body, "out\\n") {
		t.Errorf("got %d %s", a.Status, a.Body)
	}
	var body map[string]any
	a.Decode(t, &body)
	if body["timeout_s"] != 1.0 {
		t.Errorf("timeout_s: %s", a.Body)
	}
	row := s.Execs(t)[0]
	if row.Status != "timeout" || row.Code != "exec_timeout" || leavesSome(row) || row.ExitCode != nil {
		t.Errorf("row %s", quote(row))
	}

	p := parse(t, s.Exec(t, `{"cmd":["sh","-c","echo out; sleep 600"],"timeout_s":1,"stream":true}`))
	if p.stdout != "out\n" || p.exit != nil || p.last["code"] != "exec_timeout" || p.last["timeout_s"] != 1.0 {
		t.Errorf("streamed: %v", p.frames)
	}
}

func TestCwdThatCanNotBeEntered(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	for _, stream := range []string{"false", "true"} {
		a := s.Exec(t, `{"cmd":["true"],"cwd":"/no/such/dir","stream":`+stream+`}`)
		if a.Status != http.StatusUnprocessableEntity || a.Code() != "invalid_cwd" {
			t.Errorf("got %d %s", a.Status, a.Body)
		}
	}
	rows := s.Execs(t)
	if len(rows) != 2 || rows[0].Status != "error" || rows[0].Code != "invalid_cwd" || rows[0].ExitCode != nil {
		t.Errorf("rows %s", quote(rows))
	}
}

func TestOutputOpen(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	for _, stream := range []string{"false", "true"} {
		p := parse(t, s.Exec(t, `{"cmd":["sh","-c","sleep 3 & echo out"],"stream":`+stream+`}`))
		if p.stdout != "out\n" || p.exit == nil || *p.exit != 0 || p.last["output_open"] != true {
			t.Errorf("got %v", p.frames)
		}
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	a := s.Exec(t, `{"cmd":["sh","-c","printf %s $SALLYPORT_EXEC_ID"]}`)
	execID := a.Header.Get("Sallyport-Exec-Id")
	if execID == "" || parse(t, a).stdout != execID {
		t.Errorf("id %q, answer %s", execID, a.Body)
	}
	if row := s.Execs(t)[0]; row.ID != execID {
		t.Errorf("row %s", row.ID)
	}
	if a.Header.Get("X-Request-Id") == "" {
		t.Error("no X-Request-Id")
	}
	// A client of the base contract sends what it likes.
	for _, contentType := range []string{"", "text/plain", "application/x-www-form-urlencoded"} {
		req := s.Request(t, "POST", "/workspaces/local/exec", s.Token, `{"cmd":["true"]}`)
		req.Header.Set("Content-Type", contentType)
		req.Header.Set("Accept", "text/html")
		if a := s.Send(t, req); a.Status != 200 {
			t.Errorf("%q: %d %s", contentType, a.Status, a.Body)
		}
	}
	req := s.Request(t, "POST", "/workspaces/local/exec", s.Token, `{"cmd":["true"]}`)
	req.Header.Set("Content-Encoding", "gzip")
	if a := s.Send(t, req); a.Status != 415 || a.Code() != "unsupported_media_type" {
		t.Errorf("got %d %s", a.Status, a.Body)
	}
}

func TestRow(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	s.Exec(t, `{"cmd":["sh","-c","echo out; echo err >&2; exit 2","--password=hunter2"],"env":{"B":"x","A":"y"},"cwd":"/tmp","stdin":"12345","timeout_s":9}`)
	rows := s.Execs(t)
	if len(rows) != 1 {
		t.Fatalf("%d rows", len(rows))
	}
	got := map[string]any{}
	if err := json.Unmarshal([]byte(quote(rows[0])), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"type": "workspace_exec", "status": "error", "org_id": s.OrgID, "workspace_id": s.WorkspaceID,
		"argv": []any{"sh", "-c", "echo out; echo err >&2; exit 2", "--password=[redacted]"}, "cwd": "/tmp",
		"env_names": []any{"A", "B"}, "stdin_bytes": 5.0, "timeout_s": 9.0, "exit_code": 2.0,
		"stdout_bytes": 4.0, "stderr_bytes": 4.0, "stdout_truncated": false, "stderr_truncated": false, "client_addr": "127.0.0.1",
	}
	for key, value := range want {
		if quote(got[key]) != quote(value) {
			t.Errorf("%s: got %v, want %v", key, got[key], value)
		}
	}
	for _, key := range []string{"id", "seq", "actor", "summary", "created_at", "completed_at", "duration_ms"} {
		if got[key] == nil {
			t.Errorf("%s is missing", key)
		}
	}
	for _, key := range []string{"signal", "survivors", "survivors_unknown", "code", "reason"} {
		if _, there := got[key]; there {
			t.Errorf("%s is there: %v", key, got[key])
		}
	}
}
