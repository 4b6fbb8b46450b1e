//go:build linux

package faults

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"sallyport/test/stack"
)

// programDir holds the program, once a test has built it.
var programDir = filepath.Join(os.TempDir(), fmt.Sprint("sallyport-faults-", os.Getpid()))

// programVersion is what a release is built with.
const programVersion = "v9.8.7-test"

// buildProgram builds the program as users have it, once for all tests.
var buildProgram = sync.OnceValues(func() (string, error) {
	file := filepath.Join(programDir, "sallyport")
	out, err := exec.Command("go", "build", "-ldflags", "-X main.version="+programVersion, "-o", file, "sallyport/cmd/sallyport").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("build: %w: %s", err, out)
	}
	return file, err
})

func removeProgram() { _ = os.RemoveAll(programDir) } // it may not be there

// program is the program in a process of its own.
type program struct {
	server *stack.Stack
	caller *caller
	cmd    *exec.Cmd
	log    string        // the file that stderr goes to, unless the test has another
	gone   chan struct{} // closed when the process is gone
}

type programOptions struct {
	// args are sallyport's arguments: by default those of dev.
	args []string
	env  []string
	// stderr is a file by default.
	stderr *os.File
	// through is a program, with its arguments, that runs sallyport: nohup.
	through []string
}

// startProgram starts the program and waits until it can serve.
func startProgram(t *testing.T, o programOptions) *program {
	t.Helper()
	p := launchProgram(t, o)
	c := &child{Stack: p.server, ready: filepath.Join(filepath.Dir(p.log), "ready")}
	await(t, startTimeMax, "the ready file", func() bool {
		select {
		case <-p.gone:
			log, _ := os.ReadFile(p.log)
			t.Fatalf("the program ended at its start:\n%s", log)
		default:
		}
		return c.readReady()
	})
	p.caller = newCaller(t, p.server)
	return p
}

// launchProgram starts the program and doesn't wait. It is killed with its test at
// the latest.
func launchProgram(t *testing.T, o programOptions) *program {
	t.Helper()
	file, err := buildProgram()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	p := &program{
		server: &stack.Stack{DataDir: filepath.Join(home, "data")},
		log:    filepath.Join(home, "log"), gone: make(chan struct{}),
	}
	if o.args == nil {
		o.args = []string{"dev", "--drain-timeout", "10m"}
	}
	args := append(o.through, file)
	args = append(args, o.args...)
	args = append(args, "--listen", "127.0.0.1:0", "--data-dir", p.server.DataDir, "--ready-file", filepath.Join(home, "ready"))
	p.cmd = exec.Command(args[0], args[1:]...)
	p.cmd.Env = append([]string{"HOME=" + home, "PATH=" + os.Getenv("PATH")}, o.env...)
	if o.stderr == nil {
		if o.stderr, err = os.Create(p.log); err != nil {
			t.Fatal(err)
		}
		defer o.stderr.Close()
	}
	p.cmd.Stderr = o.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.gone)
		_ = p.cmd.Wait() // its state says how it ended
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may have ended
		<-p.gone
	})
	return p
}

func (p *program) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// awaitEnd returns the program's exit code; -1 when a signal has killed it.
func (p *program) awaitEnd() int {
	<-p.gone
	return p.cmd.ProcessState.ExitCode()
}
