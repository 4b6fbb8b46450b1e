package pg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// keeper starts the server and kills it once nobody holds the other end of its
// standard input: a test binary that dies leaves no server behind.
const keeper = `"$@" </dev/null & pid=$!; cat >/dev/null; kill -QUIT "$pid" 2>/dev/null; wait "$pid"`

// account is whom the server runs as: PostgreSQL refuses root.
type account struct {
	root     bool
	uid, gid int
}

func unprivileged() (account, error) {
	if os.Getuid() != 0 {
		return account{}, nil
	}
	u, err := user.Lookup(superuser)
	if err != nil {
		return account{}, fmt.Errorf("PostgreSQL doesn't run as root, and its account is missing: %w", err)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return account{}, err
	}
	gid, err := strconv.Atoi(u.Gid)
	return account{root: true, uid: uid, gid: gid}, err
}

func (a account) own(path string) error {
	if !a.root {
		return nil
	}
	return os.Chown(path, a.uid, a.gid)
}

func (a account) attributes() *syscall.SysProcAttr {
	if !a.root {
		return nil
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}}
}

// run starts the server and waits until it answers.
func (s *Server) run() (err error) {
	account, err := unprivileged()
	if err != nil {
		return err
	}
	_, port, _ := strings.Cut(s.Addr, ":")
	args := []string{"-c", keeper, "keeper", filepath.Join(s.bin, "postgres"), "-D", s.data()}
	settings := append([]string{
		"listen_addresses=127.0.0.1", "port=" + port, "unix_socket_directories=" + s.dir,
		"shared_buffers=16MB", "max_connections=200", "max_wal_size=256MB",
	}, s.settings...)
	for _, setting := range settings {
		args = append(args, "-c", setting)
	}
	if s.log, err = os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return err
	}
	defer s.log.Close()
	cmd := exec.Command("/bin/sh", args...)
	cmd.Dir, cmd.SysProcAttr, cmd.Stdout, cmd.Stderr = s.dir, account.attributes(), s.log, s.log
	if s.alive, err = cmd.StdinPipe(); err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	s.ended = ended
	go func() {
		defer close(ended)
		_ = cmd.Wait() // how it ends is no matter: it is told to
	}()
	if err := s.await(); err != nil {
		return fmt.Errorf("start PostgreSQL: %w\n%s", err, s.Log())
	}
	return nil
}

// await waits until the server takes statements.
func (s *Server) await() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, s.SuperuserURL("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-s.ended:
			return errors.New("it has ended")
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Log is what the server has said so far.
func (s *Server) Log() string {
	text, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// Stop stops the server as an operator does who waits for nobody: connections end at
// once, and what was committed is kept.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	s.signal(syscall.SIGINT, s.postmaster())
	deadline := time.After(stopTime)
	for s.postmaster() != 0 { // the last that it does is to remove that file
		select {
		case <-deadline:
			t.Fatalf("PostgreSQL doesn't stop:\n%s", s.Log())
		case <-time.After(5 * time.Millisecond):
		}
	}
	if err := s.gone(); err != nil {
		t.Fatal(err)
	}
}

// Start starts the server again that was stopped or killed, on its address.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	if err := s.run(); err != nil {
		t.Fatal(err)
	}
}

// Restart is Stop and Start.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.Stop(t)
	s.Start(t)
}

// Kill kills all of the server's processes, as a crash would. When it returns they have
// let go of their shared memory, without which no other starts in their place.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	if err := s.kill(); err != nil {
		t.Fatal(err)
	}
}

func (s *Server) kill() error {
	pids := s.halt()
	s.signal(syscall.SIGKILL, pids...)
	if err := s.gone(); err != nil {
		return err
	}
	deadline := time.After(stopTime)
	for slices.ContainsFunc(pids, hasMemory) {
		select {
		case <-deadline:
			return fmt.Errorf("of PostgreSQL's processes %v some don't end", pids)
		case <-time.After(5 * time.Millisecond):
		}
	}
	return nil
}

// hasMemory tells whether a process is there that has not given its memory back: one that
// is dead, and that nobody has asked about yet, has.
func hasMemory(pid int) bool {
	fields := statFields(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	return len(fields) > 0 && fields[0] != "Z" && fields[0] != "X"
}

// Pause stops all of the server's processes in their tracks: the kernel goes on
// accepting and acknowledging, and nobody answers.
func (s *Server) Pause() { s.halt() }

// Resume lets go on what Pause stopped.
func (s *Server) Resume() { s.signal(syscall.SIGCONT, s.processes()...) }

// halt stops all processes, and those too that are just being forked: who is stopped
// forks nothing. It returns them.
func (s *Server) halt() []int {
	for {
		before := s.processes()
		s.signal(syscall.SIGSTOP, before...)
		after := s.processes()
		slices.Sort(before)
		slices.Sort(after)
		if slices.Equal(before, after) {
			return after
		}
	}
}

func (s *Server) isUp() bool {
	select {
	case <-s.ended:
		return false
	default:
		return true
	}
}

// gone waits until the server has ended, and its keeper with it.
func (s *Server) gone() error {
	_ = s.alive.Close() // tells the keeper that nobody wants it any more; twice is an error
	select {
	case <-s.ended:
		return nil
	case <-time.After(stopTime):
		return fmt.Errorf("PostgreSQL doesn't end:\n%s", s.Log())
	}
}

// end ends the server and removes its files.
func (s *Server) end() error {
	var err error
	if s.ended != nil {
		err = s.kill()
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

func (s *Server) signal(signal syscall.Signal, pids ...int) {
	for _, pid := range pids {
		if pid > 1 {
			_ = syscall.Kill(pid, signal) // it may have ended just now
		}
	}
}

// postmaster is the server's first process, 0 when there is none.
func (s *Server) postmaster() int {
	text, err := os.ReadFile(filepath.Join(s.data(), "postmaster.pid"))
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil || !s.isUp() {
		return 0
	}
	return pid
}

// processes are the first one and those that it has forked.
func (s *Server) processes() []int {
	postmaster := s.postmaster()
	if postmaster == 0 {
		return nil
	}
	found := []int{postmaster}
	names, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return found
	}
	for _, name := range names {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if err == nil && parent(name) == postmaster {
			found = append(found, pid)
		}
	}
	return found
}

// parent reads a process's parent from its stat file, 0 when it has ended.
func parent(stat string) int {
	fields := statFields(stat)
	if len(fields) < 2 {
		return 0
	}
	pid, err := strconv.Atoi(fields[1])
	if err != nil {
		return 0
	}
	return pid
}

// statFields are those of a process's stat file from its state on, none when it is gone.
func statFields(stat string) []string {
	text, err := os.ReadFile(stat)
	if err != nil {
		return nil
	}
	return strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
}
