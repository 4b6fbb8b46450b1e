package sshd

import (
	"testing"

	"golang.org/x/sys/unix"
)

// LimitProcesses bounds the processes that the user may have, for connections made from
// now on; 0 is no bound. What is beyond it can't be forked.
func (s *Server) LimitProcesses(t testing.TB, n uint64) {
	t.Helper()
	pid := s.cmd.Process.Pid
	var limit unix.Rlimit
	err := unix.Prlimit(pid, unix.RLIMIT_NPROC, nil, &limit)
	if limit.Cur = n; n == 0 {
		limit.Cur = limit.Max
	}
	if err == nil {
		err = unix.Prlimit(pid, unix.RLIMIT_NPROC, &limit, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
}
