package sshhost

import (
	"errors"
	"os"
	"sync"
	"syscall"
)

// process is a child that leads its own session and process group. Its pid
// names the group until it is reaped, and nothing else before: signals go out
// under the lock under which it is reaped.
type process struct {
	child *os.Process
	exit  *exitWatch

	mu     sync.Mutex // guards reaped
	reaped bool
}

// startProcess starts argv by the program at path. files become its stdin,
// stdout and stderr, and stay the caller's to close. onTerminal makes the first its session's
// terminal.
func startProcess(path string, argv, env []string, dir string, files [3]*os.File, onTerminal bool) (*process, error) {
	child, err := os.StartProcess(path, argv, &os.ProcAttr{
		Dir:   dir,
		Env:   env,
		Files: files[:],
		Sys:   &syscall.SysProcAttr{Setsid: true, Setctty: onTerminal},
	})
	if err != nil {
		return nil, err
	}
	return &process{child: child, exit: watchExit(child.Pid)}, nil
}

// signal sends sig to the whole group. It fails once the leader has been
// reaped: as with sshd, the rest of the group is out of reach then.
func (p *process) signal(sig syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		return os.ErrProcessDone
	}
	return syscall.Kill(-p.child.Pid, sig)
}

// end kills the group. A leader that may not be killed, because it has become
// another user's, is given up: wait returns.
func (p *process) end() {
	if errors.Is(p.signal(syscall.SIGKILL), syscall.EPERM) {
		p.exit.abandon()
	}
}

// wait returns when the leader has ended and is reaped, or with an error when
// it was given up. It is called once.
func (p *process) wait() (syscall.WaitStatus, error) {
	defer p.exit.close()
	if err := p.exit.wait(); err != nil {
		return 0, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	state, err := p.child.Wait() // at once: it has ended
	p.reaped = true
	if err != nil {
		return 0, err
	}
	return state.Sys().(syscall.WaitStatus), nil
}
