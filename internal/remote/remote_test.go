package remote_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"sallyport/client/sallyport"
	"sallyport/internal/connector"
	"sallyport/internal/connector/local"
	"sallyport/internal/id"
	"sallyport/internal/limits"
	"sallyport/internal/remote"
	"sallyport/internal/sshpool"
	_ "sallyport/test/apart"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// machine is an embedded SSH host behind a pool, with a login shell.
type machine struct {
	pool   *sshpool.Pool
	target sshpool.Target
	need   sshpool.Need
}

// newMachine returns a machine on which shells start all commands, as on any that isn't our
// own.
func newMachine(t testing.TB, shell, home string) *machine {
	m := newHost(t, shell, home)
	dial := m.need.By.Dial
	m.need.By.Dial = func(ctx context.Context) (*connector.Link, error) {
		link, err := dial(ctx)
		if err == nil {
			link.DirectStart = false
		}
		return link, err
	}
	return m
}

// roads are the two ways to start a command on a host of our own.
var roads = map[string]func(t testing.TB, shell, home string) *machine{"by a shell": newMachine, "by the host": newHost}

// newHost returns a machine that starts commands itself, if its login shell lets it.
func newHost(t testing.TB, shell, home string) *machine {
	t.Helper()
	host, err := local.New(local.Config{Shell: shell, Home: home})
	if err != nil {
		t.Fatal(err)
	}
	pool := &sshpool.Pool{}
	t.Cleanup(func() {
		pool.Close()
		host.Close()
	})
	dial := func(ctx context.Context) (*connector.Link, error) { return host.Dial(ctx, connector.Target{}) }
	return &machine{pool: pool, target: sshpool.Target{Key: shell}, need: sshpool.Need{By: sshpool.Dialer{Dial: dial}}}
}

// result is what a command did.
type result struct {
	remote.Outcome
	stdout, stderr string
	started        bool
	err            error
}

// buffer is a bytes.Buffer for a writer that may come late.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func (m *machine) run(ctx context.Context, cmd remote.Command) result {
	session, err := m.pool.Open(ctx, m.target, m.need)
	if err != nil {
		return result{err: err}
	}
	var stdout, stderr buffer
	r := result{}
	if cmd.Stdout == nil {
		cmd.Stdout = &stdout
	}
	if cmd.Stderr == nil {
		cmd.Stderr = &stderr
	}
	if cmd.Gate == nil {
		cmd.Gate = func() error { return nil }
	}
	if cmd.Timeout == 0 {
		cmd.Timeout = 20 * time.Second
	}
	if cmd.ExecID == "" {
		cmd.ExecID = id.New()
	}
	onStart := cmd.Started
	cmd.Started = func(p remote.Process) {
		r.started = true
		if onStart != nil {
			onStart(p)
		}
	}
	cmd.ConnectBy = time.Now().Add(limits.ConnectTime)
	if cmd.OutputGrace == 0 {
		cmd.OutputGrace = limits.OutputGrace
	}
	r.Outcome, r.err = remote.Exec(ctx, session, cmd)
	r.stdout, r.stderr = stdout.String(), stderr.String()
	return r
}

func (m *machine) sh(t *testing.T, script string) result {
	return m.run(t.Context(), remote.Command{Argv: []string{"/bin/sh", "-c", script}})
}

// shells are the login shells of this machine that the wrapper must get through.
func shells(t testing.TB) []string {
	var found []string
	for _, name := range []string{"dash", "bash", "zsh", "fish", "tcsh"} {
		if path, err := exec.LookPath(name); err == nil {
			found = append(found, path)
		}
	}
	if len(found) < 2 {
		t.Fatalf("only %v of the login shells are here", found)
	}
	return found
}

// argvGen draws elements of an argv: nasty ones, and any UTF-8.
func argvGen() *rapid.Generator[[]string] {
	nasty := []string{"", "-", "--", "-n", "'", `"`, `\`, "`", "$HOME", "$(id)", "!", "!!", "*", "?", "~", "\n", "\n\n", "a\nb\n",
		"\r", "\t", " ", "  a  ", "#", ";", "&", "|", "(", "}", "\\n", "%s", "é€😀", "\u2028", "\x7f", "\x01", "$'x'", "'\"'\"'", "{a,b}"}
	element := rapid.OneOf(
		rapid.SampledFrom(nasty),
		rapid.Map(rapid.StringN(0, 40, -1), func(s string) string { return strings.ReplaceAll(s, "\x00", "") }),
		rapid.Map(rapid.SliceOfN(rapid.SampledFrom(nasty), 0, 6), func(s []string) string { return strings.Join(s, "") }),
	)
	return rapid.SliceOfN(element, 0, 12)
}

// Any argv reaches the program byte for byte, whatever the login shell.
func TestArgvRoundTrip(t *testing.T) {
	for _, shell := range shells(t) {
		t.Run(filepath.Base(shell), func(t *testing.T) {
			m := newMachine(t, shell, "")
			rapid.Check(t, func(rt *rapid.T) {
				checkArgv(rt, t.Context(), m, argvGen().Draw(rt, "argv"))
			})
		})
	}
}

func FuzzArgv(f *testing.F) {
	f.Add("a\x00b c\x00'\n\\")
	f.Add("-x\x00\x00!\x00$(x)")
	m := newMachine(f, "/bin/bash", "")
	f.Fuzz(func(t *testing.T, joined string) {
		args := strings.Split(strings.ToValidUTF8(joined, "?"), "\x00")
		checkArgv(t, t.Context(), m, args)
	})
}

func checkArgv(t interface{ Fatalf(string, ...any) }, ctx context.Context, m *machine, args []string) {
	args = append([]string{"end"}, args...) // printf prints something for no arguments
	r := m.run(ctx, remote.Command{Argv: append([]string{"/usr/bin/printf", `%s\0`}, args...)})
	if r.err != nil || r.ExitCode != 0 || r.stderr != "" {
		t.Fatalf("%q: %+v", args, r)
	}
	got := strings.Split(strings.TrimSuffix(r.stdout, "\x00"), "\x00")
	if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", args) {
		t.Fatalf("sent %q, got %q", args, got)
	}
}

func TestLargeArgv(t *testing.T) {
	m := newMachine(t, "/bin/bash", "")
	many := make([]string, 4000)
	for i := range many {
		many[i] = fmt.Sprintf("'%d'\n", i)
	}
	checkArgv(t, t.Context(), m, many)
	checkArgv(t, t.Context(), m, []string{strings.Repeat("'", 100<<10)})
	checkArgv(t, t.Context(), m, []string{strings.Repeat("\n", 50<<10)})
}

// The program's own name arrives too, also one that a shell would take for an option.
func TestProgramNames(t *testing.T) {
	dir := t.TempDir()
	script := "#!/bin/sh\nprintf '%s|' \"${0##*/}\" \"$@\"\n"
	for _, name := range []string{"-x", "--", "-", "a b", "é'\n$x", "=", "a=b", "exec", "!"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		for _, shell := range shells(t) {
			m := newMachine(t, shell, "")
			r := m.run(t.Context(), remote.Command{
				Argv: []string{name, "arg"}, Env: []remote.Var{{Name: "PATH", Value: dir + ":/usr/bin:/bin"}},
			})
			if want := name + "|arg|"; r.err != nil || r.stdout != want {
				t.Errorf("%s: %q: got %q, %q, %v", shell, name, r.stdout, r.stderr, r.err)
			}
		}
	}
}

func TestStdinIsExact(t *testing.T) {
	m := newMachine(t, "/bin/bash", "")
	for _, n := range []int{0, 1, 100, 16 << 10, 1 << 20} {
		in := make([]byte, n)
		for i := range in {
			in[i] = byte(i * 7)
		}
		r := m.run(t.Context(), remote.Command{Argv: []string{"cat"}, Stdin: in})
		if r.err != nil || r.stdout != string(in) {
			t.Errorf("%d bytes: got %d, %v", n, len(r.stdout), r.err)
		}
	}
}

func TestStdinThatNobodyReads(t *testing.T) {
	m := newMachine(t, "/bin/bash", "")
	r := m.run(t.Context(), remote.Command{Argv: []string{"true"}, Stdin: make([]byte, 1<<20)})
	if r.err != nil || r.ExitCode != 0 {
		t.Errorf("%+v", r)
	}
}

func TestEnv(t *testing.T) {
	for _, shell := range shells(t) {
		m := newMachine(t, shell, "")
		env := []remote.Var{{"A", "x'\n\"$é\\"}, {"EMPTY", ""}, {"IFS", "x"}, {"HOME", "/nowhere"}, {"LC_ALL", "C.UTF-8"}, {"PS4", "$(id)"}, {"h", "1"}, {"n", "2"}}
		r := m.run(t.Context(), remote.Command{Argv: []string{"env", "-0"}, Env: env, ExecID: "the-id"})
		got := map[string]string{}
		for _, entry := range strings.Split(r.stdout, "\x00") {
			name, value, _ := strings.Cut(entry, "=")
			got[name] = value
		}
		for _, v := range append(env, remote.Var{Name: "SALLYPORT_EXEC_ID", Value: "the-id"}) {
			if got[v.Name] != v.Value {
				t.Errorf("%s: %s is %q, want %q (%v)", shell, v.Name, got[v.Name], v.Value, r.err)
			}
		}
		for name := range got {
			if strings.HasPrefix(name, "SALLYPORT_") && name != "SALLYPORT_EXEC_ID" {
				t.Errorf("%s: %s leaked into the environment", shell, name)
			}
		}
	}
}

// Env values, argv and stdin are in no command line while the shell waits.
func TestNothingShowsInPs(t *testing.T) {
	m := newMachine(t, "/bin/bash", "")
	const canary = "canary-in-env-4711"
	r := m.run(t.Context(), remote.Command{
		Argv: []string{"/bin/sh", "-c", `cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' '\n'`},
		Env:  []remote.Var{{"SECRET", canary}}, Stdin: []byte(canary),
	})
	if r.err != nil || strings.Contains(r.stdout, canary) {
		t.Errorf("the canary shows: %v", r.err)
	}
}

func TestCwd(t *testing.T) {
	home := t.TempDir()
	m := newMachine(t, "/bin/bash", home)
	for _, dir := range []string{"-", "a b'\n", "-P", "é"} {
		if err := os.Mkdir(filepath.Join(home, dir), 0o755); err != nil {
			t.Fatal(err)
		}
		r := m.run(t.Context(), remote.Command{Argv: []string{"pwd"}, Dir: dir})
		if want := filepath.Join(home, dir) + "\n"; r.err != nil || r.stdout != want {
			t.Errorf("%q: got %q, %v", dir, r.stdout, r.err)
		}
	}
	r := m.run(t.Context(), remote.Command{Argv: []string{"touch", filepath.Join(home, "ran")}, Dir: "/nowhere"})
	if sallyport.CodeOf(r.err) != sallyport.CodeInvalidCwd || r.started {
		t.Errorf("got %+v", r)
	}
	if _, err := os.Stat(filepath.Join(home, "ran")); err == nil {
		t.Error("the command ran in a directory that isn't there")
	}
}

func TestExits(t *testing.T) {
	m := newMachine(t, "/bin/bash", t.TempDir())
	plain := filepath.Join(t.TempDir(), "plain")
	os.WriteFile(plain, nil, 0o644)
	tests := []struct {
		argv   []string
		code   int
		signal string
	}{
		{[]string{"true"}, 0, ""},
		{[]string{"sh", "-c", "exit 255"}, 255, ""},
		{[]string{"sh", "-c", "exit 137"}, 137, ""},
		{[]string{"sh", "-c", "kill -KILL $$"}, 137, "KILL"},
		{[]string{"sh", "-c", "kill -TERM $$"}, 143, "TERM"},
		{[]string{"sh", "-c", "kill -SEGV $$"}, 139, "SEGV"},
		{[]string{"no-such-program"}, 127, ""},
		{[]string{"/no/such/program"}, 127, ""},
		{[]string{plain}, 126, ""},
		{[]string{"/tmp"}, 126, ""},
	}
	for _, tt := range tests {
		r := m.run(t.Context(), remote.Command{Argv: tt.argv})
		if r.err != nil || r.End != remote.Exited || r.ExitCode != tt.code || r.Signal != tt.signal {
			t.Errorf("%q: got %+v", tt.argv, r)
		}
	}
}

func TestGateThatFailsRunsNothing(t *testing.T) {
	for name, road := range roads {
		for _, shell := range []string{"/bin/bash", "/bin/sh"} {
			m := road(t, shell, t.TempDir())
			refused := errors.New("refused")
			r := m.run(t.Context(), remote.Command{Argv: []string{"touch", "ran"}, Gate: func() error { return refused }})
			if !errors.Is(r.err, refused) || r.started {
				t.Errorf("%s, %s: got %+v", name, shell, r)
			}
			// The next one waits for nothing, and shows that the machine still works.
			if r := m.sh(t, "ls"); r.stdout != "" {
				t.Errorf("%s, %s: it ran: %q", name, shell, r.stdout)
			}
		}
	}
}

// An rc file that prints is dropped; one that reads stdin, or ends the shell,
// starts nothing.
func TestLoginShellsThatMisbehave(t *testing.T) {
	tests := []struct {
		name, script string
		code         sallyport.Code
	}{
		{"prints", "echo motd; echo motd >&2; printf half; exec /bin/sh \"$@\"", ""},
		{"eats the header", "read -r x; exec /bin/sh \"$@\"", sallyport.CodeExecTransport},
		{"ends", "echo no login; exit 1", sallyport.CodeExecTransport},
		{"is killed", "kill -KILL $$", sallyport.CodeExecTransport},
		{"prints without end", "exec yes", sallyport.CodeExecTransport},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			shell := filepath.Join(dir, "shell")
			if err := os.WriteFile(shell, []byte("#!/bin/sh\n"+tt.script+"\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			m := newMachine(t, shell, dir)
			r := m.run(t.Context(), remote.Command{Argv: []string{"echo", "out"}, Stdin: []byte("touch ran\n")})
			if tt.code == "" {
				if r.err != nil || r.stdout != "out\n" || r.stderr != "" {
					t.Errorf("got %+v", r)
				}
				return
			}
			var e *sallyport.Error
			if !errors.As(r.err, &e) || e.Code != tt.code || e.Started == nil || *e.Started || r.started {
				t.Errorf("got %+v", r)
			}
		})
	}
}

func TestBackgroundChildDoesNotHold(t *testing.T) {
	m := newMachine(t, "/bin/bash", "")
	began := time.Now()
	r := m.sh(t, "sleep 600 & echo $!")
	defer killPID(t, r.stdout)
	if r.err != nil || r.End != remote.Exited || !r.OutputOpen || r.ExitCode != 0 {
		t.Fatalf("got %+v", r)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
	if !alive(t, r.stdout) {
		t.Error("the child was ended")
	}
}

// endTime is how long an answer waits for the end of a command where a test wants to know what
// is left of it: a busy machine takes longer than a caller is to wait.
const endTime = time.Minute

// What has left the group is found by the exec's id, and ended too; what ignores TERM
// is killed; each gets TERM once.
func TestTimeoutEndsWhatHasLeftTheGroup(t *testing.T) {
	m := newMachine(t, "/bin/bash", "")
	file := filepath.Join(t.TempDir(), "terms")
	for _, script := range []string{
		"setsid sleep 600 & echo $!; wait",
		"(setsid sleep 600 & echo $!) & wait; sleep 600",
		"setsid sh -c \"trap '' TERM; echo \\$\\$; while :; do sleep 0.1; done\" & wait",
		"trap 'echo term >>" + file + "' TERM; sleep 600 & echo $!; wait; exit",
	} {
		_ = os.Remove(file)
		r := m.run(t.Context(), remote.Command{Argv: []string{"/bin/sh", "-c", script}, Timeout: 500 * time.Millisecond, EndTime: endTime})
		if r.End != remote.TimedOut || !r.Survivors.Known || r.Survivors.Count != 0 {
			t.Errorf("%s: got %+v", script, r)
		}
		if alive(t, r.stdout) {
			t.Errorf("%s: the child lives", script)
		}
		if terms, err := os.ReadFile(file); err == nil && string(terms) != "term\n" {
			t.Errorf("TERM came as %q", terms)
		}
	}
}

func TestTimeoutEndsTheGroup(t *testing.T) {
	m := newMachine(t, "/bin/bash", "")
	for _, script := range []string{
		"sleep 600 & echo $!; wait",
		"(trap '' TERM; sleep 600 & echo $!; wait; sleep 600)",
		"trap '' TERM HUP INT; sleep 600 & echo $!; wait; while :; do sleep 1; done",
	} {
		r := m.run(t.Context(), remote.Command{Argv: []string{"/bin/sh", "-c", script}, Timeout: 300 * time.Millisecond, EndTime: endTime})
		if r.End != remote.TimedOut || !r.Survivors.Known || r.Survivors.Count != 0 {
			t.Errorf("%s: got %+v", script, r)
		}
		if alive(t, r.stdout) {
			t.Errorf("%s: the child lives", script)
		}
	}
}

func TestTermComesFirst(t *testing.T) {
	m := newMachine(t, "/bin/bash", "")
	mark := filepath.Join(t.TempDir(), "mark")
	r := m.run(t.Context(), remote.Command{
		Argv:    []string{"/bin/sh", "-c", "trap 'echo term >" + mark + "; exit 0' TERM; while :; do sleep 0.05; done"},
		Timeout: 300 * time.Millisecond,
	})
	if got, _ := os.ReadFile(mark); r.End != remote.TimedOut || string(got) != "term\n" {
		t.Errorf("got %q, %+v", got, r)
	}
}

func TestChattyChildIsEndedByTheDeadline(t *testing.T) {
	m := newMachine(t, "/bin/bash", "")
	r := m.run(t.Context(), remote.Command{
		Argv:    []string{"/bin/sh", "-c", "(while :; do echo x; sleep 0.02; done) & exit 0"},
		Timeout: 700 * time.Millisecond, EndTime: endTime,
	})
	if r.End != remote.TimedOut || !r.Survivors.Known || r.Survivors.Count != 0 {
		t.Errorf("got %+v", r)
	}
}

func TestCancelEndsTheGroup(t *testing.T) {
	m := newMachine(t, "/bin/bash", "")
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("gone")
	r := m.run(ctx, remote.Command{Argv: []string{"/bin/sh", "-c", "echo $$; sleep 600"}, EndTime: endTime, Stdout: writerFunc(func(p []byte) (int, error) {
		cancel(why)
		return len(p), nil
	})})
	if r.End != remote.Canceled || !errors.Is(r.Cause, why) || !r.Survivors.Known || r.Survivors.Count != 0 {
		t.Errorf("got %+v", r)
	}
}

func TestWriteThatFailsEndsTheCommand(t *testing.T) {
	m := newMachine(t, "/bin/bash", "")
	gone := errors.New("gone")
	r := m.run(t.Context(), remote.Command{Argv: []string{"yes"}, Stdout: writerFunc(func([]byte) (int, error) { return 0, gone })})
	if r.End != remote.Canceled || !errors.Is(r.Cause, gone) || r.Survivors.Count != 0 {
		t.Errorf("got %+v", r)
	}
}

// A reader that doesn't read slows the command down: what it wrote stays within
// the window and the pipes, and the deadline still ends it.
func TestBackPressure(t *testing.T) {
	m := newMachine(t, "/bin/bash", "")
	block := make(chan struct{})
	defer close(block)
	r := m.run(t.Context(), remote.Command{
		Argv: []string{"yes"}, Timeout: 700 * time.Millisecond,
		Stdout: writerFunc(func(p []byte) (int, error) { <-block; return len(p), nil }),
	})
	if r.End != remote.TimedOut || r.Survivors.Count != 0 {
		t.Errorf("got %+v", r)
	}
	if r.StdoutBytes > 4<<20 {
		t.Errorf("%d bytes came while nobody read", r.StdoutBytes)
	}
}

// Time in which the reader holds the output back is no silence: nothing is lost.
func TestSlowReaderLosesNothing(t *testing.T) {
	m := newMachine(t, "/bin/bash", "")
	slow, total := 0, 0
	r := m.run(t.Context(), remote.Command{
		Argv: []string{"/bin/sh", "-c", "sleep 30 & head -c 1000000 /dev/zero; echo $! >&2"},
		Stdout: writerFunc(func(p []byte) (int, error) {
			if slow++; slow <= 3 {
				<-time.After(2 * limits.OutputGrace)
			}
			total += len(p)
			return len(p), nil
		}),
	})
	defer killPID(t, r.stderr)
	if r.err != nil || !r.OutputOpen || total != 1000000 || r.StdoutBytes != 1000000 {
		t.Errorf("%d bytes, %+v", total, r.Outcome)
	}
}

func TestEndAllFindsByExecID(t *testing.T) {
	m := newMachine(t, "/bin/bash", "")
	execID := id.New()
	r := m.run(t.Context(), remote.Command{ExecID: execID, Argv: []string{"/bin/sh", "-c", "setsid sleep 600 & echo $!"}})
	if r.err != nil || !alive(t, r.stdout) {
		t.Fatalf("got %+v", r)
	}
	session, err := m.pool.Open(t.Context(), m.target, m.need)
	if err != nil {
		t.Fatal(err)
	}
	left, err := remote.EndAll(t.Context(), session, []string{id.New(), execID})
	if err != nil || !left.Known || left.Count != 0 {
		t.Errorf("got %+v, %v", left, err)
	}
	// One that was killed has lost its environment a moment before it is gone.
	gone := time.After(10 * time.Second)
	for alive(t, r.stdout) {
		select {
		case <-gone:
			t.Fatal("it lives")
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func TestManyAtOnce(t *testing.T) {
	m := newMachine(t, "/bin/sh", "")
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			r := m.run(t.Context(), remote.Command{Argv: []string{"echo", fmt.Sprint(i)}})
			if r.err != nil || r.stdout != fmt.Sprintf("%d\n", i) {
				t.Errorf("%d: %+v", i, r)
			}
		})
	}
	wg.Wait()
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func pid(t *testing.T, text string) int {
	t.Helper()
	var n int
	if _, err := fmt.Sscan(text, &n); err != nil || n < 2 {
		t.Fatalf("no pid in %q", text)
	}
	return n
}

func alive(t *testing.T, text string) bool {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid(t, text)))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func killPID(t *testing.T, text string) {
	t.Helper()
	unix.Kill(pid(t, text), unix.SIGKILL)
}
