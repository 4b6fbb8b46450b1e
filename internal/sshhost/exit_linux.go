package sshhost

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// exitWatch waits for a child's end without reaping it.
type exitWatch struct {
	pid int
	// pidfd is in the runtime's poller, so that a running command holds no
	// thread: ten thousand blocked threads end a Go process. It is nil where
	// the kernel is older than 5.10 or a sandbox forbids it.
	pidfd *os.File
}

// watchExit watches a child that nobody has reaped.
func watchExit(pid int) *exitWatch {
	w := &exitWatch{pid: pid}
	if fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK); err == nil {
		w.pidfd = os.NewFile(uintptr(fd), "pidfd")
	}
	return w
}

// wait returns when the child has ended, or with an error when abandon or
// close was called. The child stays a zombie.
func (w *exitWatch) wait() error {
	if w.pidfd == nil {
		return waitid(unix.P_PID, w.pid)
	}
	conn, err := w.pidfd.SyscallConn()
	if err != nil {
		return err
	}
	var ended error
	err = conn.Read(func(fd uintptr) bool {
		ended = waitid(unix.P_PIDFD, int(fd))
		return ended != syscall.EAGAIN // not yet
	})
	if err != nil {
		return err
	}
	return ended
}

func waitid(idType, id int) error {
	for {
		err := unix.Waitid(idType, id, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err != syscall.EINTR {
			return err
		}
	}
}

// abandon ends wait; without a pidfd it cannot.
func (w *exitWatch) abandon() { w.close() }

func (w *exitWatch) close() {
	if w.pidfd != nil {
		w.pidfd.Close()
	}
}
