//go:build linux

package machines

import (
	"context"
	"errors"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sallyport/client"
	"sallyport/client/sallyport"
	"sallyport/test/faultproxy"
	"sallyport/test/sshd"
	"sallyport/test/stack"
)

// endTime is how long an answer waits for the end of a command where the row is to know what
// is left: a machine that is busy takes longer than a caller is to wait.
const endTime = time.Minute

// everywhere runs a test on every login shell as an ordinary user, and on the common
// one as root, all on one server of ours.
func everywhere(t *testing.T, test func(t *testing.T, m *machine)) {
	s := stack.Start(t, stack.Options{EndTime: endTime})
	on := func(name string, o sshd.Options) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newMachine(t, s, o))
		})
	}
	for _, shell := range sshd.Shells() {
		on(shell, sshd.Options{LoginShell: shell})
	}
	on("root", sshd.Options{LoginShell: "bash", User: sshd.Root})
}

// nasty is text that shells trip over, as JSON can carry it.
var nasty = rapid.StringOfN(rapid.OneOf(
	rapid.SampledFrom([]rune("'\"\\$`!*?[]{}()<>|&;#~%^= \t\n\r-")),
	rapid.Rune(),
), 0, 40, -1)

// An argv arrives byte for byte, whatever the login shell and whatever the bytes.
func TestArgv(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, m *machine) {
		rapid.Check(t, func(rt *rapid.T) {
			args := rapid.SliceOfN(nasty.Filter(func(s string) bool { return !strings.Contains(s, "\x00") }), 0, 30).Draw(rt, "args")
			out, err := m.exec(t.Context(), client.Exec{
				Cmd: append([]string{"/bin/sh", "-c", `for a in "$@"; do printf '%s\0' "$a"; done`, "-"}, args...),
			})
			if err != nil || out.ExitCode != 0 {
				rt.Fatalf("%v, %+v, %q", err, out.ExecDone, out.stderr.String())
			}
			got := strings.Split(out.stdout.String(), "\x00")
			if !slices.Equal(got[:len(got)-1], args) {
				rt.Fatalf("got %q, want %q", got[:len(got)-1], args)
			}
		})
	})
}

// plain is text that may stand in a command line: all that is printable and means the
// same to every shell between single quotes.
var plain = rapid.StringOfN(rapid.RuneFrom([]rune(" \"#$%&()*+,-./0123456789:;<=>?@ABCXYZ[]^_`abcxyz{|}~")), 0, 30, -1)

// So does it on a machine that is far, where an exec takes another way if it can.
func TestArgvFar(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, m *machine) {
		m.behind(t, faultproxy.Faults{Delay: 2 * time.Millisecond})
		rapid.Check(t, func(rt *rapid.T) {
			// One that is not plain keeps all from the command line.
			of := rapid.SampledFrom([]*rapid.Generator[string]{plain, rapid.OneOf(plain, nasty.Filter(func(s string) bool { return !strings.Contains(s, "\x00") }))}).Draw(rt, "kind")
			args := rapid.SliceOfN(of, 0, 25).Draw(rt, "args")
			stdin := rapid.SampledFrom([]string{"", "in\n"}).Draw(rt, "stdin")
			out, err := m.exec(t.Context(), client.Exec{
				Cmd:   append([]string{"/bin/sh", "-c", "cat; printf \"%s\" \"$SALLYPORT_EXEC_ID\" >&2; for a in \"$@\"; do printf \"%s,\" \"$a\"; done; exit 9", "-"}, args...),
				Stdin: strings.NewReader(stdin), Cwd: rapid.SampledFrom([]string{"", "/usr/bin"}).Draw(rt, "cwd"),
			})
			want := stdin
			for _, a := range args {
				want += a + ","
			}
			if err != nil || out.ExitCode != 9 || out.stdout.String() != want || out.stderr.String() != out.ExecID {
				rt.Fatalf("%v, %+v, %q, want %q, stderr %q", err, out.ExecDone, out.stdout.String(), want, out.stderr.String())
			}
		})
		for _, tt := range execCases() {
			out, err := m.exec(t.Context(), tt.exec)
			if err != nil || out.ExitCode != tt.exit || out.Signal != tt.signal || out.stdout.String() != tt.stdout {
				t.Errorf("%s: %v, %+v, %.100q", tt.name, err, out.ExecDone, out.stdout.String())
			}
		}
		_, err := m.exec(t.Context(), client.Exec{Cmd: []string{"true"}, Cwd: "/no/such/dir"})
		if sallyport.CodeOf(err) != sallyport.CodeInvalidCwd {
			t.Errorf("cwd: %v", err)
		}
	})
}

// What an exec promises, on every machine.
func TestExec(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, m *machine) {
		for _, tt := range execCases() {
			out, err := m.exec(t.Context(), tt.exec)
			switch {
			case err != nil:
				t.Errorf("%s: %v", tt.name, err)
			case out.ExitCode != tt.exit || out.Signal != tt.signal || out.OutputOpen:
				t.Errorf("%s: %+v, stderr %q", tt.name, out.ExecResult, out.stderr.String())
			case out.stdout.String() != tt.stdout || tt.stderr != "" && out.stderr.String() != tt.stderr:
				t.Errorf("%s: stdout %.200q, stderr %.200q", tt.name, out.stdout.String(), out.stderr.String())
			}
			if row := m.row(t); err == nil && (row.ID != out.ExecID || *row.ExitCode != tt.exit || *row.StdoutBytes != int64(len(tt.stdout))) {
				t.Errorf("%s: row %+v", tt.name, row)
			}
		}
	})
}

type execCase struct {
	name           string
	exec           client.Exec
	exit           int
	signal         string
	stdout, stderr string
}

func execCases() []execCase {
	sh := func(script string) client.Exec { return client.Exec{Cmd: []string{"/bin/sh", "-c", script}} }
	with := func(e client.Exec, change func(*client.Exec)) client.Exec {
		change(&e)
		return e
	}
	binary := strings.Repeat("\x00\xff\x01\n'", 50_000)
	return []execCase{
		{name: "true", exec: client.Exec{Cmd: []string{"true"}}},
		{name: "255", exec: sh("exit 255"), exit: 255},
		{name: "both streams", exec: sh("echo out; echo err >&2; exit 3"), exit: 3, stdout: "out\n", stderr: "err\n"},
		{name: "signal", exec: sh("kill -KILL $$"), exit: 137, signal: "KILL"},
		{name: "TERM", exec: sh("kill -TERM $$"), exit: 143, signal: "TERM"},
		{name: "no such program", exec: client.Exec{Cmd: []string{"/no/such/program"}}, exit: 127},
		{name: "no such name", exec: client.Exec{Cmd: []string{"no-such-program-anywhere"}}, exit: 127},
		{name: "not a program", exec: client.Exec{Cmd: []string{"/etc/passwd"}}, exit: 126},
		{name: "stdin", exec: with(client.Exec{Cmd: []string{"cat"}}, func(e *client.Exec) { e.Stdin = strings.NewReader(binary) }), stdout: binary},
		{name: "no stdin", exec: client.Exec{Cmd: []string{"cat"}}},
		{name: "env", exec: with(sh(`printf %s "$A|$B|$C"`), func(e *client.Exec) { e.Env = map[string]string{"A": "x y", "B": "'\n$HOME", "C": ""} }),
			stdout: "x y|'\n$HOME|"},
		{name: "cwd", exec: with(client.Exec{Cmd: []string{"/bin/pwd"}}, func(e *client.Exec) { e.Cwd = "/usr/bin" }), stdout: "/usr/bin\n"},
		{name: "name like an option", exec: client.Exec{Cmd: []string{"-x"}}, exit: 127},
		{name: "much output", exec: client.Exec{Cmd: []string{"head", "-c", "1000000", "/dev/zero"}}, stdout: strings.Repeat("\x00", 1000000)},
	}
}

// A directory that can't be entered has run nothing, and is told apart from a program
// that fails.
func TestCwdThatIsNone(t *testing.T) {
	everywhere(t, func(t *testing.T, m *machine) {
		_, err := m.exec(t.Context(), client.Exec{Cmd: []string{"true"}, Cwd: "/no/such/dir"})
		var known *sallyport.Error
		if !errors.As(err, &known) || known.Code != sallyport.CodeInvalidCwd || known.Started == nil || *known.Started {
			t.Errorf("got %v", err)
		}
		if row := m.row(t); row.Status != "error" || row.Code != sallyport.CodeInvalidCwd {
			t.Errorf("row %+v", row)
		}
	})
}

// A time-out ends the whole group, also of a root login, where sshd ignores signals,
// and what ignores TERM; and the row says that nothing is left.
func TestTimeout(t *testing.T) {
	everywhere(t, func(t *testing.T, m *machine) {
		row := m.timeOut(t)
		if row.Status != "timeout" || row.Survivors == nil || *row.Survivors != 0 {
			t.Errorf("row %+v, survivors %s", row.Status, survivors(row))
		}
	})
}

// timeOut runs a group that ignores TERM into its time-out, and returns its row.
func (m *machine) timeOut(t *testing.T) sallyport.Activity {
	t.Helper()
	out, err := m.exec(t.Context(), client.Exec{
		Cmd: []string{"/bin/sh", "-c", "trap '' TERM; sleep 600 & echo $!; sleep 600 & echo $!; wait; wait; sleep 600"}, Timeout: time.Second,
	})
	if sallyport.CodeOf(err) != sallyport.CodeExecTimeout {
		t.Errorf("got %v", err)
	}
	mustBeGone(t, strings.Fields(out.stdout.String()))
	return m.row(t)
}

// So does a caller who goes away.
func TestCancel(t *testing.T) {
	everywhere(t, func(t *testing.T, m *machine) {
		ctx, cancel := context.WithCancel(t.Context())
		out := &buffer{}
		_, err := m.exec(ctx, client.Exec{
			Cmd: []string{"/bin/sh", "-c", "sleep 600 & echo $! $$; wait"},
			Stdout: writerFunc(func(p []byte) (int, error) {
				defer cancel()
				return out.Write(p)
			}),
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		await(t, "the row", func() bool { return m.row(t).Status != "running" })
		if row := m.row(t); row.Status != "canceled" || row.Survivors == nil || *row.Survivors != 0 {
			t.Errorf("row %+v", row)
		}
		mustBeGone(t, strings.Fields(out.String()))
	})
}

// A background child that keeps the output open doesn't hold the exec, and is left
// alone.
func TestBackgroundChild(t *testing.T) {
	everywhere(t, func(t *testing.T, m *machine) {
		out, err := m.exec(t.Context(), client.Exec{Cmd: []string{"/bin/sh", "-c", "sleep 600 & echo $!; head -c 300000 /dev/zero; exit 5"}})
		if err != nil || out.ExitCode != 5 || !out.OutputOpen {
			t.Fatalf("%v, %+v", err, out.ExecDone)
		}
		pid, rest, _ := strings.Cut(out.stdout.String(), "\n")
		if len(rest) != 300000 {
			t.Errorf("%d bytes of the command's own", len(rest))
		}
		if !alive(t, pid) {
			t.Error("the child was ended")
		}
	})
}

// One connection carries execs one after the other, and many at once more.
func TestConnectionsAreShared(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	m := newMachine(t, s, sshd.Options{})
	for range 100 {
		if out, err := m.exec(t.Context(), client.Exec{Cmd: []string{"true"}}); err != nil || out.ExitCode != 0 {
			t.Fatal(err)
		}
	}
	if got := strings.Count(m.sshd.Log(), "Accepted publickey"); got != 1 {
		t.Errorf("%d connections for 100 execs in turn", got)
	}
}

// The first key that is seen is pinned and told in the log; another one is refused,
// told, and never pinned by itself.
func TestHostKey(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	m := newMachine(t, s, sshd.Options{})
	if _, err := m.exec(t.Context(), client.Exec{Cmd: []string{"true"}}); err != nil {
		t.Fatal(err)
	}
	var ws sallyport.Workspace
	m.Do(t, http.MethodGet, "/workspaces/"+m.name, m.Token, "").Decode(t, &ws)
	pinned := ws.Connector.HostKey
	if !strings.HasPrefix(pinned, "ssh-ed25519 AAAA") {
		t.Errorf("pinned %q", pinned)
	}
	other := newMachine(t, s, sshd.Options{})
	if _, err := other.exec(t.Context(), client.Exec{Cmd: []string{"true"}}); err != nil {
		t.Fatal(err)
	}
	other.Do(t, http.MethodGet, "/workspaces/"+other.name, m.Token, "").Decode(t, &ws)
	a := m.Do(t, http.MethodPatch, "/workspaces/"+m.name, m.Token, `{"connector":{"host_key":"`+ws.Connector.HostKey+`"}}`)
	if a.Status != http.StatusOK {
		t.Fatalf("patch: %d %s", a.Status, a.Body)
	}
	for range 2 {
		if _, err := m.exec(t.Context(), client.Exec{Cmd: []string{"true"}}); sallyport.CodeOf(err) != sallyport.CodeHostKeyMismatch {
			t.Errorf("got %v", err)
		}
	}
	var rows sallyport.List[sallyport.Activity]
	m.Do(t, http.MethodGet, "/workspaces/"+m.name+"/activity", m.Token, "").Decode(t, &rows)
	kinds := map[string]int{}
	for _, row := range rows.Items {
		kinds[row.Type+" "+row.Status]++
	}
	if kinds["host_key_pinned ok"] != 1 || kinds["host_key_mismatch error"] == 0 {
		t.Errorf("rows %v", kinds)
	}
	if a := m.Do(t, http.MethodPatch, "/workspaces/"+m.name, m.Token, `{"connector":{"host_key":null}}`); a.Status != http.StatusOK {
		t.Fatalf("patch: %d %s", a.Status, a.Body)
	}
	if _, err := m.exec(t.Context(), client.Exec{Cmd: []string{"true"}}); err != nil {
		t.Errorf("trusted anew: %v", err)
	}
}

// Diagnose walks the way, and changes nothing.
func TestDiagnose(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	m := newMachine(t, s, sshd.Options{})
	found, err := m.client.Diagnose(t.Context(), m.name)
	if err != nil || !found.OK {
		t.Fatalf("%v, %+v", err, found)
	}
	for i, step := range found.Steps {
		want := sallyport.StepOK
		if step.Name == sallyport.StepHostKey {
			want = sallyport.StepWarn // nobody has trusted it
		}
		if names := []string{"name", "address", "port", "banner", "host_key", "login", "shell", "sftp"}; step.Name != names[i] || step.Status != want && step.Name != "sftp" {
			t.Errorf("step %+v", step)
		}
	}
	m.sshd.Kill()
	found, err = m.client.Diagnose(t.Context(), m.name)
	if err != nil || found.OK || found.Steps[2].Status != sallyport.StepFail || found.Steps[7].Status != sallyport.StepSkipped {
		t.Errorf("%v, %+v", err, found)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func alive(t testing.TB, pid string) bool {
	t.Helper()
	if _, err := strconv.Atoi(pid); err != nil {
		t.Fatalf("%q is no process", pid)
	}
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func mustBeGone(t testing.TB, pids []string) {
	t.Helper()
	if len(pids) == 0 {
		t.Error("no processes to look at")
	}
	for _, pid := range pids {
		await(t, "process "+pid+" to be gone", func() bool { return !alive(t, pid) })
	}
}

func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	awaitFor(t, 30*time.Second, what, ok)
}

func awaitFor(t testing.TB, most time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(most)
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
