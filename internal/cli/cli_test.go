package cli

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	_ "sallyport/test/apart"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestScripts runs what a user types, in this process. Each script has a server of
// its own, at FAKE_URL, and an empty home.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			fake := newFake()
			env.Defer(fake.Close)
			env.Setenv("FAKE_URL", fake.URL)
			env.Setenv("ESC", "\x1b")
			env.Setenv("CR", "\r")
			env.Setenv("LF", "\n")
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("XDG_CONFIG_HOME", env.WorkDir+"/config")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"sallyport": func(ts *testscript.TestScript, neg bool, args []string) {
				scriptExits(ts, neg, append([]string{"0", "sallyport"}, args...))
			},
			"exits": scriptExits,
			"mode":  scriptMode,
		},
	})
}

// scriptExits is exits CODE sallyport ARGS...: it ends with that very code. A last
// argument <FILE is stdin. File names in ARGS are absolute: the directory of
// a process is not the script's.
func scriptExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || args[1] != "sallyport" {
		ts.Fatalf("usage: exits CODE sallyport [ARGS...] [<FILE]")
	}
	want, args := args[0], args[2:]
	stdin := ""
	if n := len(args) - 1; n >= 0 && strings.HasPrefix(args[n], "<") {
		stdin = ts.ReadFile(args[n][1:])
		args = args[:n]
	}
	code := Run(context.Background(), Program{
		Version: "v1.2.3", Args: args,
		Env: func(name string) (string, bool) {
			value := ts.Getenv(name)
			return value, value != ""
		},
		Stdin: strings.NewReader(stdin), Stdout: ts.Stdout(), Stderr: ts.Stderr(),
	})
	if got := strconv.Itoa(code); got != want {
		ts.Fatalf("exit code %s, want %s", got, want)
	}
}

// scriptMode is mode MODE FILE: the file has those permissions.
func scriptMode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: mode MODE FILE")
	}
	info, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := fmt.Sprintf("%04o", info.Mode().Perm()); got != args[0] {
		ts.Fatalf("%s has mode %s, want %s", args[1], got, args[0])
	}
}

// ran is what a run of the program in this process did.
type ran struct {
	code           int
	stdout, stderr string
}

// run runs the program in this process, with nothing but env in its environment.
func run(t *testing.T, p Program, args ...string) ran {
	t.Helper()
	var stdout, stderr bytes.Buffer
	p.Args = args
	if p.Stdin == nil {
		p.Stdin = strings.NewReader("")
	}
	if p.Stdout == nil {
		p.Stdout = &stdout
	}
	p.Stderr = &stderr
	code := Run(t.Context(), p)
	return ran{code, stdout.String(), stderr.String()}
}

// environ is an environment of these variables alone.
func environ(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}
