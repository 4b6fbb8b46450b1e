package sshhost

import (
	"errors"
	"os"
	"syscall"
	"testing"
)

// sleeper starts a process that ends when it is told to.
func sleeper(t *testing.T) *process {
	t.Helper()
	p, err := startProcess("/bin/sleep", []string{"sleep", "1000"}, nil, "/", [3]*os.File{os.Stdin, os.Stdout, os.Stderr}, false)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestProcessAbandoned: a process that cannot be killed, because it has become
// another user's, does not hold up the host.
func TestProcessAbandoned(t *testing.T) {
	checkLeaks(t)
	p := sleeper(t)
	waited := make(chan error)
	go func() {
		_, err := p.wait()
		waited <- err
	}()
	p.exit.abandon()
	if err := <-waited; err == nil {
		t.Error("given up without an error")
	}
	if err := p.signal(syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	if _, err := p.child.Wait(); err != nil {
		t.Error(err)
	}
}

// TestProcessWithoutPidfd: an old kernel's processes are waited for by a
// thread each.
func TestProcessWithoutPidfd(t *testing.T) {
	checkLeaks(t)
	p := sleeper(t)
	p.exit.close()
	p.exit = &exitWatch{pid: p.child.Pid}
	if err := p.signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	status, err := p.wait()
	if err != nil || status.Signal() != syscall.SIGTERM {
		t.Errorf("%v, %v", status, err)
	}
	if err := p.signal(syscall.SIGTERM); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("signal after the end: %v", err)
	}
}

// TestProcessStopped: a stopped process has not ended.
func TestProcessStopped(t *testing.T) {
	checkLeaks(t)
	p := sleeper(t)
	for _, sig := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGCONT, syscall.SIGTERM} {
		if err := p.signal(sig); err != nil {
			t.Error(err)
		}
	}
	if status, err := p.wait(); err != nil || !status.Signaled() || status.Signal() != syscall.SIGTERM {
		t.Errorf("%v, %v", status, err)
	}
}
