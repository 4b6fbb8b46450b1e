//go:build linux

package machines

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/client"
	"sallyport/client/sallyport"
	"sallyport/test/faultproxy"
	"sallyport/test/sshd"
	"sallyport/test/stack"
)

// odd is a machine that behaves as few do.
type odd struct {
	name string
	o    sshd.Options
	// code is what every exec fails with, and started what is told of it; without a code
	// execs are exact, but for what the machine keeps for itself.
	code      sallyport.Code
	started   bool
	noStdout  bool
	noStderr  bool
	stdoutToo bool // stderr comes out on stdout
	stderrToo bool // stdout comes out on stderr
	isSwapped bool
	// waitsForStdin: it reads to the end of file before it does anything.
	waitsForStdin bool
}

func odds() []odd {
	bash := func(rc string) sshd.Options { return sshd.Options{LoginShell: "bash", RC: rc + "\n"} }
	forced := func(command string) sshd.Options { return sshd.Options{Config: []string{"ForceCommand " + command}} }
	return []odd{
		{name: "becomes zsh", o: bash("exec zsh"), code: "exec_transport"},
		{name: "becomes an interactive zsh", o: bash("exec zsh -i"), code: "exec_transport"},
		{name: "becomes bash", o: bash("exec bash --norc"), code: "exec_transport"},
		{name: "becomes sh", o: bash("exec sh"), code: "exec_transport"},
		{name: "becomes fish", o: bash("exec fish"), code: "exec_transport", waitsForStdin: true},
		{name: "becomes tcsh", o: bash("exec tcsh -f"), code: "exec_transport"},
		{name: "eats a line and becomes zsh", o: bash("read -r x; exec zsh"), code: "exec_transport"},
		{name: "eats a line", o: bash("read -r x"), code: "exec_transport"},
		{name: "eats some bytes and becomes sh", o: bash("read -r -N 20 x; exec sh"), code: "exec_transport"},
		{name: "ends", o: bash("exit 0"), code: "exec_transport"},
		{name: "prints", o: bash("echo out; echo err >&2; printf half; printf half >&2")},
		{name: "traces", o: bash("set -x; export SHELLOPTS"), noStderr: true},
		{name: "stderr to stdout", o: bash("exec 2>&1"), stdoutToo: true},
		{name: "stdout to stderr", o: bash("exec 1>&2"), stderrToo: true},
		{name: "streams swapped", o: bash("exec 3>&1 1>&2 2>&3 3>&-"), isSwapped: true},
		{name: "stderr to nothing", o: bash("exec 2>/dev/null"), noStderr: true},
		{name: "stderr closed", o: bash("exec 2>&-"), noStderr: true},
		{name: "stdout to nothing", o: bash("exec >/dev/null"), noStdout: true},
		{name: "stdout to a file", o: bash("exec >>$HOME/log"), noStdout: true},
		{name: "both to nothing", o: bash("exec >/dev/null 2>&1"), code: "exec_transport", started: true},
		{name: "both closed", o: bash("exec >&- 2>&-"), code: "exec_transport"},
		{name: "stdout through a program", o: bash("exec > >(cat)")},
		{name: "both through a program", o: bash("exec > >(tee -a $HOME/log) 2>&1"), stdoutToo: true},
		{name: "stderr through a program to stdout", o: bash("exec 2> >(tee -a $HOME/log)"), stdoutToo: true},
		{name: "forced to say something", o: forced("echo no commands here"), code: "exec_transport"},
		{name: "forced to do nothing", o: forced("/bin/false"), code: "exec_transport"},
		{name: "forced to run what was asked", o: forced(`/bin/sh -c "$SSH_ORIGINAL_COMMAND"`)},
		{name: "rekeys often", o: sshd.Options{Config: []string{"RekeyLimit 1M"}}},
	}
}

// A machine that behaves oddly runs exactly what it was sent, or nothing and says so; what it
// prints of our own reaches no caller; stdin is never run.
func TestOddMachines(t *testing.T) {
	// Many of them at once are slow, and a machine that is too slow says nothing of what is
	// odd. One that waits for stdin is waited for to the end.
	within := func(d string) *stack.Stack {
		return stack.Start(t, stack.Options{Env: map[string]string{"SALLYPORT_LIMITS_CONNECT_TIMEOUT": d}})
	}
	patient, quick := within("2m"), within("6s")
	for _, tt := range odds() {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := patient
			if tt.waitsForStdin {
				s = quick
			}
			m := newMachine(t, s, tt.o)
			for range 2 { // the second goes over what was learned from the first
				tt.run(t, m)
				tt.runStdin(t, m)
			}
		})
	}
}

// Neither is stdin run, or waited for in vain, where the machine is far and the command stands
// in the command line.
func TestOddMachinesFar(t *testing.T) {
	s := stack.Start(t, stack.Options{Env: map[string]string{"SALLYPORT_LIMITS_CONNECT_TIMEOUT": "2m"}})
	for _, tt := range odds() {
		if !strings.HasPrefix(tt.name, "eats") && !strings.HasPrefix(tt.name, "becomes") || tt.waitsForStdin {
			continue
		}
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, s, tt.o)
			m.behind(t, faultproxy.Faults{Delay: 2 * time.Millisecond})
			for range 2 {
				tt.runStdin(t, m)
			}
		})
	}
}

const nastyArg = "a'b\"c $HOME `x` \\ ! * \n end"

// run runs a command whose argument and variable must arrive exactly.
func (tt odd) run(t *testing.T, m *machine) {
	t.Helper()
	ran := filepath.Join(m.sshd.Home, "ran")
	_ = os.Remove(ran)
	out, err := m.exec(t.Context(), client.Exec{
		Cmd: []string{"sh", "-c", `printf %s "$1$X" >"$2"; printf %s "$1"; printf %s "$X" >&2; exit 3`, "-", nastyArg, ran}, Env: map[string]string{"X": nastyArg + "X"},
	})
	got, readErr := os.ReadFile(ran)
	if readErr == nil && string(got) != nastyArg+nastyArg+"X" {
		t.Errorf("what ran was %q", got)
	}
	if tt.code != "" {
		tt.check(t, m, err, readErr == nil)
		return
	}
	if err != nil || out.ExitCode != 3 {
		t.Fatalf("%s, %+v", quote(err), out.ExecDone)
	}
	stdout, stderr := nastyArg, nastyArg+"X"
	switch {
	case tt.stdoutToo:
		stdout, stderr = stdout+stderr, ""
	case tt.stderrToo:
		stdout, stderr = "", stdout+stderr
	case tt.isSwapped:
		stdout, stderr = stderr, stdout
	}
	if got := out.stdout.String(); got != stdout && !(tt.noStdout && got == "") && !(tt.stdoutToo && len(got) == len(stdout)) {
		t.Errorf("stdout %q, want %q", got, stdout)
	}
	if got := out.stderr.String(); got != stderr && !tt.noStderr {
		t.Errorf("stderr %q, want %q", got, stderr)
	}
}

// runStdin runs a command whose stdin is code to whoever takes it for that.
func (tt odd) runStdin(t *testing.T, m *machine) {
	t.Helper()
	taken := filepath.Join(m.sshd.Home, "taken")
	stdin := strings.Repeat("touch "+taken+"\n", 3)
	out, err := m.exec(t.Context(), client.Exec{Cmd: []string{"cat"}, Stdin: strings.NewReader(stdin)})
	if _, err := os.Stat(taken); err == nil {
		t.Error("stdin was run")
	}
	if tt.waitsForStdin {
		tt.code = sallyport.CodeConnectTimeout
	}
	if tt.code != "" {
		tt.started = false // it waits for stdin, which is sent when it has been seen to start
		tt.check(t, m, err, false)
		return
	}
	if got := out.stdout.String() + out.stderr.String(); err != nil || out.ExitCode != 0 || got != stdin && !tt.noStdout && !tt.noStderr {
		t.Errorf("%s, %q", quote(err), got)
	}
}

// check looks at an error, and at the row.
func (tt odd) check(t *testing.T, m *machine, err error, ran bool) {
	t.Helper()
	var known *sallyport.Error
	if !errors.As(err, &known) || known.Code != tt.code || known.Started == nil || *known.Started != tt.started {
		t.Errorf("got %s, want %s, started %t", quote(err), tt.code, tt.started)
	}
	if ran != tt.started {
		t.Errorf("it ran: %t", ran)
	}
	if row := m.row(t); row.Status != "error" || row.Code != tt.code {
		t.Errorf("row %s %s", row.Status, row.Code)
	}
}

// Output is whole, or the exec has failed: also where a connection is broken by our side, as
// over a machine that renews its keys too often.
func TestRekeyLosesNothing(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	m := newMachine(t, s, sshd.Options{Config: []string{"RekeyLimit 64K"}})
	const size = 3_000_000
	for range 3 {
		out, err := m.exec(t.Context(), client.Exec{Cmd: []string{"sh", "-c", "head -c 3000000 /dev/zero; exit 3"}, MaxOutputBytes: 4 << 20})
		switch {
		case err == nil && (out.ExitCode != 3 || len(out.stdout.String()) != size):
			t.Errorf("exit code %d and %d bytes of %d", out.ExitCode, len(out.stdout.String()), size)
		case err != nil && (sallyport.CodeOf(err) != sallyport.CodeExecTransport || !strings.Contains(quote(err), `"started":true`)):
			t.Errorf("got %s", quote(err))
		}
		if row := m.row(t); err == nil && (row.StdoutBytes == nil || *row.StdoutBytes != size) || err != nil && row.ExitCode != nil {
			t.Errorf("row %+v, and %s", row, quote(err))
		}
	}
}

// A forced command that never ends is given up within the budget for reaching a machine.
func TestForcedCommandWithoutEnd(t *testing.T) {
	const budget = 5 * time.Second
	s := stack.Start(t, stack.Options{Env: map[string]string{"SALLYPORT_LIMITS_CONNECT_TIMEOUT": budget.String()}})
	m := newMachine(t, s, sshd.Options{Config: []string{"ForceCommand exec sleep 600"}})
	_, err := m.exec(t.Context(), client.Exec{Cmd: []string{"true"}})
	if sallyport.CodeOf(err) != sallyport.CodeConnectTimeout {
		t.Errorf("got %s", quote(err))
	}
	row := m.row(t)
	if took := row.CompletedAt.Sub(row.CreatedAt); took > budget+time.Second { // some for a busy machine; it was seven more
		t.Errorf("it took %s", took)
	}
}
