package cli

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"

	"sallyport/client"
	"sallyport/client/sallyport"
)

func fakeProgram(t *testing.T) Program {
	t.Helper()
	fake := newFake()
	t.Cleanup(fake.Close)
	return Program{Env: environ("SALLYPORT_URL", fake.URL, "SALLYPORT_TOKEN", fakeOrgToken, "HERE", "of the caller")}
}

// Every way in which an exec can end, and how the program tells.
func TestExecEnds(t *testing.T) {
	tests := []struct {
		name, argv string
		want       ran
	}{
		{"exit 0", "exec w -- both", ran{0, "out\n", "err\n"}},
		{"exit 3", "exec w -- exit 3", ran{3, "out\n", ""}},
		{"exit 125, the command's own", "exec w -- exit 125", ran{125, "out\n", ""}},
		{"exit 255", "exec w -- exit 255", ran{255, "out\n", ""}},
		{"an exit code that would come out as 0", "exec w -- exit 256", ran{255, "out\n",
			"sallyport: warning: the command's exit code is 256, for which 255 stands\n"}},
		{"a negative exit code", "exec w -- exit -1", ran{255, "out\n",
			"sallyport: warning: the command's exit code is -1, for which 255 stands\n"}},
		{"a signal", "exec w -- kill", ran{137, "", ""}},
		{"a signal, told", "exec -v w -- kill", ran{137, "",
			"sallyport: exec 0198-exec: exit code 137, signal KILL after 12 ms, with a time-out of 1 s\n" +
				"sallyport: a child of the command still holds its output open, and was left alone\n"}},
		{"cut output", "exec w -- cap", ran{0, "out\n[output truncated at 4 bytes]",
			"sallyport: warning: stdout was cut after 1073741824 bytes\n"}},
		{"a time-out", "exec w -- timeout", ran{124, "out\n",
			"sallyport: exec on workspace w: the deadline of 2 s passed\nhint: give it more time with --timeout (120s is the most)\n"}},
		{"a clamped time-out, in days, and nothing said of it", "exec -q --timeout 1d w -- both", ran{0, "out\n", "err\n"}},
		{"a clamped time-out, with frames", "exec --json --timeout 1w w -- exit 0", ran{0,
			`{"stream":"stdout","data":"out\n","truncated":false}` + "\n" + `{"exit_code":0,"duration_ms":12}` + "\n",
			"sallyport: warning: the time-out is 2m0s, the most that the server gives\n"}},
		{"frames of a refusal", "exec --json gone -- both", ran{125,
			`{"error":"no such workspace","code":"workspace_not_found"}` + "\n",
			"sallyport: exec on workspace gone: no such workspace\nhint: sallyport workspaces list shows those that this token may see (with the admin token, add --org)\n"}},
		{"frames of a wrong use", "exec --json w", ran{125,
			`{"error":"the command is missing","code":"usage"}` + "\n",
			"sallyport: the command is missing\nhint: the form is: sallyport exec [flags] WORKSPACE [flags] [--] COMMAND [ARG...]\n"}},
		{"a drain that ended it", "exec w -- drained", ran{125, "out\n",
			"sallyport: exec on workspace w: the server is ending, and ended the command\n" +
				"hint: it had started, and may have done a part of its work; sallyport ps --all w shows how it ended: exec 0198-exec\n"}},
		{"a machine that can't be reached", "exec down -- x", ran{125, "",
			"sallyport: exec on workspace down: nothing answers\nhint: sallyport doctor down shows which step on the way to the machine fails\n"}},
		{"a clamped time-out", "exec --timeout 5m w -- both", ran{0, "out\n",
			"sallyport: warning: the time-out is 2m0s, the most that the server gives\nerr\n"}},
		{"an error in the stream", "exec w -- revoked", ran{125, "out\n",
			"sallyport: exec on workspace w: the token was revoked\nhint: put a valid token into SALLYPORT_TOKEN, or unset it and SALLYPORT_URL to use a profile\n"}},
		{"a refusal", "exec gone -- both", ran{125, "",
			"sallyport: exec on workspace gone: no such workspace\nhint: sallyport workspaces list shows those that this token may see (with the admin token, add --org)\n"}},
		{"a cut stream", "exec w -- cut", ran{125, "out\n",
			"sallyport: exec on workspace w: the answer was cut off, and how the command ended is not known: unexpected EOF\n" +
				"hint: sallyport ps --all w shows how it ended: exec 0198-exec\n"}},

		{"frames", "exec --json w -- both", ran{0,
			`{"stream":"stdout","data":"out\n","truncated":false}` + "\n" +
				`{"stream":"stderr","data":"err\n","truncated":false}` + "\n" +
				`{"exit_code":0,"duration_ms":12}` + "\n", ""}},
		{"frames of an exit", "exec -o json w -- exit 3", ran{3,
			`{"stream":"stdout","data":"out\n","truncated":false}` + "\n" + `{"exit_code":3,"duration_ms":12}` + "\n", ""}},
		{"frames of a time-out", "--json exec w -- timeout", ran{124,
			`{"stream":"stdout","data":"out\n","truncated":false}` + "\n" +
				`{"error":"the deadline of 2 s passed","code":"exec_timeout","timeout_s":2}` + "\n",
			"sallyport: exec on workspace w: the deadline of 2 s passed\nhint: give it more time with --timeout (120s is the most)\n"}},
		{"frames of a cut stream", "exec --json w -- cut", ran{125,
			`{"stream":"stdout","data":"out\n","truncated":false}` + "\n",
			"sallyport: exec on workspace w: the answer was cut off, and how the command ended is not known: unexpected EOF\n" +
				"hint: sallyport ps --all w shows how it ended: exec 0198-exec\n"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := run(t, fakeProgram(t), strings.Fields(tt.argv)...); got != tt.want {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

// What the flags of exec become, as the server sees it.
func TestExecRequest(t *testing.T) {
	const maximum = `,"stream":true,"max_output_bytes":1073741824}`
	file := t.TempDir() + "/in"
	if err := os.WriteFile(file, []byte("from a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	envFile := t.TempDir() + "/env"
	if err := os.WriteFile(envFile, []byte("\ufeff# a comment\n\nA=of the file\n  B=x y # z\r\nHERE\nNOWHERE\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		stdin string
		args  []string
		want  string
	}{
		{"nothing but the command", "not read", []string{"w", "--", "request", "a b", "", "--", "-x"},
			`/workspaces/w/exec {"cmd":["request","a b","","--","-x"]` + maximum},
		{"a time-out, rounded up", "", []string{"--timeout", "1500ms", "w", "--", "request"},
			`/workspaces/w/exec {"cmd":["request"],"timeout_s":2` + maximum},
		{"stdin", "hello", []string{"-i", "w", "--", "request"},
			`/workspaces/w/exec {"cmd":["request"],"stream":true,"stdin_base64":"aGVsbG8=","max_output_bytes":1073741824}`},
		{"stdin, spelled out", "hello", []string{"--stdin", "-", "w", "--", "request"},
			`/workspaces/w/exec {"cmd":["request"],"stream":true,"stdin_base64":"aGVsbG8=","max_output_bytes":1073741824}`},
		{"a file", "", []string{"--stdin", file, "w", "--", "request"},
			`/workspaces/w/exec {"cmd":["request"],"stream":true,"stdin_base64":"ZnJvbSBhIGZpbGU=","max_output_bytes":1073741824}`},
		{"environment", "", []string{"--env", "A=b=c", "--env", "HERE", "--env", "NOWHERE", "--env", "EMPTY=", "w", "--", "request"},
			`/workspaces/w/exec {"cmd":["request"],"stream":true,"env":{"A":"b=c","EMPTY":"","HERE":"of the caller"},"max_output_bytes":1073741824}`},
		{"a directory", "", []string{"--cwd", "/srv", "w", "--", "request"},
			`/workspaces/w/exec {"cmd":["request"],"stream":true,"cwd":"/srv","max_output_bytes":1073741824}`},
		{"an organisation", "", []string{"--org", "acme", "w", "--", "request"},
			`/workspaces/w/exec?org=acme {"cmd":["request"]` + maximum},
		{"flags after the workspace", "", []string{"--env", "A=1", "w", "--cwd", "/srv", "--env", "B=2", "--", "request", "--cwd", "x"},
			`/workspaces/w/exec {"cmd":["request","--cwd","x"],"stream":true,"env":{"A":"1","B":"2"},"cwd":"/srv","max_output_bytes":1073741824}`},
		{"no dashes: all from the command's first word on is the command's", "", []string{"w", "--cwd", "/srv", "request", "-i", "--json", "--", "-x"},
			`/workspaces/w/exec {"cmd":["request","-i","--json","--","-x"],"stream":true,"cwd":"/srv","max_output_bytes":1073741824}`},
		{"docker's short flags", "", []string{"-e", "A=1", "--env-file", envFile, "-q", "-w", "/srv", "w", "request"},
			`/workspaces/w/exec {"cmd":["request"],"stream":true,"env":{"A":"1","B":"x y # z","HERE":"of the caller"},"cwd":"/srv","max_output_bytes":1073741824}`},
		{"no dashes where nothing looks like a flag", "", []string{"w", "request", "a", "-"},
			`/workspaces/w/exec {"cmd":["request","a","-"]` + maximum},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := fakeProgram(t)
			p.Stdin = strings.NewReader(tt.stdin)
			got := run(t, p, append([]string{"exec"}, tt.args...)...)
			want := ran{0, fakeOrgToken + " " + tt.want + "\n", ""}
			if got != want {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

func TestExecUsedWrongly(t *testing.T) {
	const hint = "hint: the form is: sallyport exec [flags] WORKSPACE [flags] [--] COMMAND [ARG...]\n"
	tests := []struct{ argv, stderr string }{
		{"exec", "sallyport: the workspace is missing\n" + hint},
		{"exec --", "sallyport: the workspace is missing\n" + hint},
		{"exec -- both", "sallyport: the workspace is missing before --\n" + hint},
		{"exec w", "sallyport: the command is missing\n" + hint},
		{"exec w --", "sallyport: the command is missing\n" + hint},
		{"exec w --tmeout 3s -- x", "sallyport: unknown flag: --tmeout\nhint: did you mean --timeout? see sallyport exec --help\n"},
		{"exec --stdn x w -- x", "sallyport: unknown flag: --stdn\nhint: did you mean --stdin? see sallyport exec --help\n"},
		{"exec --timeout 5 w -- x", "sallyport: invalid argument \"5\" for \"--timeout\" flag: it is a number with a unit, such as 30s, 5m, 2h or 7d\nhint: see sallyport exec --help\n"},
		{"exec --timeout -5s w -- x", "sallyport: --timeout -5s is in the past\nhint: for example: --timeout 30s\n"},
		{"exec --env =x w -- x", "sallyport: --env: an assignment names no variable\nhint: for example: STAGE=blue\n"},
		{"exec -it --stdin file w x", "sallyport: -t takes its stdin from here, and not --stdin\nhint: leave out -t, or use shell\n"},
		{"exec -t --idempotency-key k w x", "sallyport: a terminal has no --idempotency-key\nhint: leave out -t, or use shell\n"},
		{"exec w -dt x", "sallyport: --detach leaves the command to itself, and -t sits at it\nhint: leave out one of them\n"},
		{"exec -d --tail-bytes 5 w x", "sallyport: --detach prints no output\nhint: see its output later: sallyport logs --tail BYTES WORKSPACE EXEC\n"},
		{"exec --keep 1h w x", "sallyport: --keep is how long the output of a detached exec is kept\nhint: add --detach\n"},
		{"exec -d --keep -1h w x", "sallyport: --keep -1h0m0s is in the past\nhint: for example: --keep 24h\n"},
		{"logs w x --since 5", "sallyport: --since \"5\" has one offset, and there are two streams\nhint: give one for each, OUT,ERR, or add --stream\n"},
		{"logs w x --since 5,6 --stream stdout", "sallyport: --since \"5,6\" has offsets of two streams, and --stream names one\nhint: give one offset, or leave --stream out\n"},
		{"logs w x --since 5,-6", "sallyport: --since \"5,-6\" is no offset in bytes\nhint: for example: --since 4096 --stream stdout, or --since 4096,0\n"},
		{"logs w x --tail 0", "sallyport: --tail 0 is no number of bytes, 1 or more\nhint: for example: --tail 4096\n"},
		{"logs w x --stream stdin", "sallyport: --stream \"stdin\" is neither stdout nor stderr\nhint: for example: --stream stderr\n"},
		{"exec -u root w x", "sallyport: -u: a command runs as its workspace's login user; sudo can change that: sallyport exec WORKSPACE sudo -n -u USER COMMAND\n"},
		{"exec --env-file /dev/zero w x", "sallyport: --env-file /dev/zero has a line of more than 2097152 bytes\nhint: it takes one K=V a line\n"},
		{"exec -x w x", "sallyport: unknown shorthand flag: 'x' in -x\nhint: see sallyport exec --help\n"},
		{"exec --env-file /does/not/exist w x", "sallyport: --env-file: open /does/not/exist: no such file or directory\n"},
		{"exec -i --stdin file w -- x", "sallyport: there are two stdins: -i and --stdin file\nhint: -i is --stdin -\n"},
		{"exec --output xml w -- x", "sallyport: invalid argument \"xml\" for \"-o, --output\" flag: it is table or json\nhint: see sallyport exec --help\n"},
		{"exec --stdin /does/not/exist w -- x", "sallyport: open /does/not/exist: no such file or directory\n"},
	}
	for _, tt := range tests {
		t.Run(tt.argv, func(t *testing.T) {
			want := ran{125, "", tt.stderr}
			if got := run(t, fakeProgram(t), strings.Fields(tt.argv)...); got != want {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

// A signal closes the connection, which cancels the exec, and is told by the exit
// code alone.
func TestExecSignals(t *testing.T) {
	for signal, want := range map[os.Signal]int{os.Interrupt: 130, syscall.SIGTERM: 143} {
		for _, format := range []string{"table", "json"} {
			signals := make(chan os.Signal, 1)
			gone := make(chan struct{})
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				w.Header().Set("Content-Type", sallyport.MediaNDJSON)
				w.(http.Flusher).Flush()
				signals <- signal
				<-r.Context().Done()
				close(gone)
			}))
			p := Program{Env: environ("SALLYPORT_URL", srv.URL, "SALLYPORT_TOKEN", "x"), Signals: signals}
			if got := run(t, p, "exec", "-o", format, "w", "--", "sleep", "60"); got != (ran{code: want}) {
				t.Errorf("%v, %s: %+v", signal, format, got)
			}
			<-gone
			srv.Close()
		}
	}
}

// A second signal ends what the first could not.
func TestExecSecondSignal(t *testing.T) {
	p := fakeProgram(t)
	signals := make(chan os.Signal, 2)
	stuck := make(chan struct{})
	p.Signals = signals
	p.Stdout = writerFunc(func(p []byte) (int, error) {
		signals <- os.Interrupt
		signals <- os.Interrupt
		<-stuck
		return len(p), nil
	})
	if got := run(t, p, "exec", "w", "--", "hang"); got.code != 130 {
		t.Errorf("%+v", got)
	}
	close(stuck)
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestStdoutThatFails(t *testing.T) {
	full := writerFunc(func([]byte) (int, error) { return 0, syscall.ENOSPC })
	for argv, want := range map[string]ran{
		"exec w -- both":          {125, "", "sallyport: write stdout: no space left on device\n"},
		"exec --json w -- both":   {125, "", "sallyport: write stdout: no space left on device\n"},
		"workspaces list":         {1, "", "sallyport: write stdout: no space left on device\n"},
		"workspaces get w --json": {1, "", "sallyport: write stdout: no space left on device\n"},
		"exec --help":             {125, "", "sallyport: write stdout: no space left on device\n"},
	} {
		p := fakeProgram(t)
		p.Stdout = full
		if got := run(t, p, strings.Fields(argv)...); got != want {
			t.Errorf("%s: %+v", argv, got)
		}
	}
}

func TestCodeOf(t *testing.T) {
	tests := []struct {
		err         error
		exec, other int
	}{
		{sallyport.Errorf(sallyport.CodeExecTimeout, "x"), 124, 1},
		{sallyport.Errorf(sallyport.CodeUnauthenticated, "x"), 125, 1},
		{&client.CutError{Err: io.ErrUnexpectedEOF}, 125, 1},
		{&client.StatusError{StatusCode: 502}, 125, 1},
		{usagef("", "x"), 125, 2},
		{errors.New("x"), 125, 1},
	}
	for _, tt := range tests {
		if exec, other := codeOf(true, tt.err), codeOf(false, tt.err); exec != tt.exec || other != tt.other {
			t.Errorf("%v: %d and %d, want %d and %d", tt.err, exec, other, tt.exec, tt.other)
		}
	}
}
