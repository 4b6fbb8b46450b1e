package sshd

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// Kill kills sshd and the processes of all its connections, as a crash would.
// What their sessions ran is left alone.
func (s *Server) Kill() {
	s.killAll(s.processes)
	<-s.ended
}

// KillConnections kills the processes of the connections; sshd goes on listening.
func (s *Server) KillConnections() { s.killAll(s.connections) }

// killAll kills what list finds, and what that is just now forking: a child whose
// parent has gone would be found no more. Who is stopped forks nothing.
func (s *Server) killAll(list func() []int) {
	for {
		before := list()
		s.signal(before, syscall.SIGSTOP)
		after := list()
		slices.Sort(before)
		slices.Sort(after)
		if slices.Equal(before, after) {
			s.signal(after, syscall.SIGKILL)
			return
		}
	}
}

// Stop stops sshd and its connections in their tracks: the kernel goes on
// accepting and acknowledging, and nobody answers.
func (s *Server) Stop() { s.signal(s.processes(), syscall.SIGSTOP) }

// StopConnections stops the connections that there are; new ones are served.
func (s *Server) StopConnections() { s.signal(s.connections(), syscall.SIGSTOP) }

// Cont lets go on what was stopped.
func (s *Server) Cont() { s.signal(s.processes(), syscall.SIGCONT) }

// Restart starts the server again that was killed, on its address.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.run(t)
}

// Left are the processes that its sessions have left, the connections' own
// not among them.
func (s *Server) Left() []int {
	own := s.processes()
	return slices.DeleteFunc(marked("SALLYPORT_TEST_SSHD="+s.mark), func(pid int) bool { return slices.Contains(own, pid) })
}

// end ends the server and whatever its sessions left.
func (s *Server) end() {
	if s.cmd == nil || s.cmd.Process == nil {
		return
	}
	s.Kill()
	s.signal(s.Left(), syscall.SIGKILL)
}

func (s *Server) signal(pids []int, signal syscall.Signal) {
	for _, pid := range pids {
		_ = syscall.Kill(pid, signal) // it may have ended just now
	}
}

// processes are sshd's own: the listener, and two or so for each connection.
func (s *Server) processes() []int {
	return append([]int{s.cmd.Process.Pid}, s.connections()...)
}

// connections are the descendants of the listener that are sshd too.
func (s *Server) connections() []int {
	parents := map[int]int{}
	for _, pid := range numbers() {
		if name, parent, ok := stat(pid); ok && strings.HasPrefix(name, "sshd") {
			parents[pid] = parent
		}
	}
	var found []int
	for pid := range parents {
		for at := parents[pid]; at != 0; at = parents[at] {
			if at == s.cmd.Process.Pid {
				found = append(found, pid)
				break
			}
		}
	}
	return found
}

// stat reads a process's name and its parent.
func stat(pid int) (name string, parent int, ok bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", 0, false
	}
	_, rest, _ := strings.Cut(string(text), "(")
	at := strings.LastIndex(rest, ") ")
	if at < 0 {
		return "", 0, false
	}
	fields := strings.Fields(rest[at+2:])
	if len(fields) < 2 {
		return "", 0, false
	}
	parent, err = strconv.Atoi(fields[1])
	return rest[:at], parent, err == nil
}

// marked are the processes in whose environment an assignment stands.
func marked(assignment string) []int {
	var found []int
	for _, pid := range numbers() {
		environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err == nil && slices.ContainsFunc(bytes.Split(environ, []byte{0}), func(v []byte) bool { return string(v) == assignment }) {
			found = append(found, pid)
		}
	}
	return found
}

func numbers() []int {
	names, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil
	}
	var pids []int
	for _, name := range names {
		if pid, err := strconv.Atoi(filepath.Base(name)); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}
