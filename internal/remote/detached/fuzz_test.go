package detached_test

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"sallyport/internal/id"
	"sallyport/internal/remote/detached"
)

// liar is a machine that prints a text, whatever it is asked.
type liar string

func (l liar) Run(_ context.Context, _ []string, _ io.Reader, stdout io.Writer) error {
	_, err := io.WriteString(stdout, string(l))
	return err
}

const liedID = "0192f0c1-0000-7000-8000-000000000001"

// FuzzAsk has a machine say what it likes: what is believed of it is possible, and was asked for.
func FuzzAsk(f *testing.F) {
	for _, text := range []string{
		"", ".\n", liedID + " runs\n.\n", liedID + " never\n" + liedID + " gone\n.\n", liedID + " lost x\n.\n", "else runs\n.\n",
		liedID + " ended 0 60 0 0 1500 10 0 0 0 0 10 20\n.\n", liedID + " ended 1 60 143 1 60000 - - 5 0 1 - - sig.TERM sig.x\n.\n",
		liedID + " ended 0 60 300 0 1 1 1 0 0 0 0 0\n.\n", liedID + " ended 0 60 0 1 59999 1 1 0 0 0 0 0\n.\n", liedID + " ended 0 60 0 0 1 1 1 2 0 0 0 0\n.\n",
		strings.Repeat("x", 5000) + "\n.\n",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		states, err := detached.Execs{Machine: liar(text)}.Ask(t.Context(), []detached.Asked{{ID: liedID}})
		if err != nil && states != nil || len(states) > 1 {
			t.Fatalf("%v, %v", states, err)
		}
		for execID, s := range states {
			if execID != liedID || !possible(s) {
				t.Fatalf("%s: %+v", execID, s)
			}
		}
	})
}

// possible reports whether a state can be true.
func possible(s detached.State) bool {
	counted := func(n *int64) bool { return n == nil || *n >= 0 && *n <= 1<<53 }
	spent := func(d *time.Duration) bool { return d == nil || *d >= 0 }
	switch s.Phase {
	case detached.Ended:
		return s.ExitCode >= 0 && s.ExitCode <= 255 && s.Duration >= 0 && (s.Signal == "" || s.ExitCode > 128) &&
			counted(s.StdoutBytes) && counted(s.StderrBytes) && spent(s.UserCPU) && spent(s.SystemCPU)
	case detached.Running, detached.NeverStarted, detached.SupervisorLost, detached.MachineRestarted, detached.SpoolLost, detached.SpoolInvalid:
		return s == detached.State{Phase: s.Phase}
	}
	return false
}

// What a machine says of an end is believed only where it can be true.
func TestAskIsNotFooled(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]detached.Phase{
		"ended 0 60 0 0 1500 10 0 0 0 0 10 20":               detached.Ended,
		"ended 0 60 0 1 60000 10 - 0 0 0 - -":                detached.Ended,
		"ended 0 60 0 1 59990 10 0 0 0 0 10 20":              detached.SpoolInvalid, // before its time
		"ended 0 60 256 0 1500 10 0 0 0 0 10 20":             detached.SpoolInvalid,
		"ended 0 60 - 0 1500 10 0 0 0 0 10 20":               detached.SpoolInvalid,
		"ended 0 60 0 2 1500 10 0 0 0 0 10 20":               detached.SpoolInvalid,
		"ended 0 60 0 0 -1500 10 0 0 0 0 10 20":              detached.SpoolInvalid,
		"ended 0 60 0 0 1500 10 0 11 0 0 10 20":              detached.SpoolInvalid, // more is gone than came
		"ended 0 60 0 0 1500 99999999999999999999 0 0 0 0 1": detached.SpoolInvalid,
		"ended 0 60 0 0 1500 10 0 0 0 0 10":                  detached.SpoolInvalid,
		"runs":                                               detached.Running,
		"runs now":                                           detached.SpoolInvalid,
		"invalid":                                            detached.SpoolInvalid,
		"x":                                                  detached.SpoolInvalid,
	} {
		m := liar(id.New() + " ended 0 60 0 0 1 1 1 0 0 0 0 0\n" + liedID + " " + line + "\n" + liedID + " never\n.\n")
		states, err := detached.Execs{Machine: m}.Ask(t.Context(), []detached.Asked{{ID: liedID}})
		if err != nil || len(states) != 1 || states[liedID].Phase != want {
			t.Errorf("%q: %+v, %v", line, states, err)
		}
	}
	for _, text := range []string{"", "x", liedID + " runs\n", strings.Repeat("x", 1<<20)} {
		if states, err := (detached.Execs{Machine: liar(text)}).Ask(t.Context(), []detached.Asked{{ID: liedID}}); err == nil {
			t.Errorf("%.20q: %v", text, states)
		}
	}
}
