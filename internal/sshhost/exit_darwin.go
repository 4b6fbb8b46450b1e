package sshhost

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// exitWatch waits for a child's end without reaping it. waitid cannot do it
// here: macOS's returns for stopped children too.
type exitWatch struct {
	pid int
}

// watchExit watches a child that nobody has reaped.
func watchExit(pid int) *exitWatch { return &exitWatch{pid: pid} }

// wait returns when the child has ended. The child stays a zombie.
func (w *exitWatch) wait() error {
	queue, err := unix.Kqueue()
	if err != nil {
		return os.NewSyscallError("kqueue", err)
	}
	defer unix.Close(queue)
	unix.CloseOnExec(queue)
	exit := []unix.Kevent_t{{
		Ident:  uint64(w.pid),
		Filter: unix.EVFILT_PROC,
		Flags:  unix.EV_ADD | unix.EV_ONESHOT,
		Fflags: unix.NOTE_EXIT,
	}}
	for {
		// A child that has ended already is told of as ESRCH, in the event or
		// as the error.
		_, err := unix.Kevent(queue, exit, make([]unix.Kevent_t, 1), nil)
		switch err {
		case nil, syscall.ESRCH:
			return nil
		case syscall.EINTR:
		default:
			return os.NewSyscallError("kevent", err)
		}
	}
}

// abandon cannot end wait here.
func (w *exitWatch) abandon() {}

func (w *exitWatch) close() {}
