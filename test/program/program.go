// Package program runs the program sallyport, and others, as processes of tests. A test binary
// is sallyport itself where it is called by that name: its TestMain asks IsCalled.
package program

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

const name = "sallyport"

// IsCalled tells whether this process is to be the program sallyport.
func IsCalled() bool { return filepath.Base(os.Args[0]) == name }

// Path makes a path by which this test binary is the program sallyport, until the test's end.
func Path(t testing.TB) string {
	t.Helper()
	self, err := os.Executable()
	path := filepath.Join(t.TempDir(), name)
	if err == nil {
		err = os.Symlink(self, path)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Need returns the path of a program that scripts/setup installs. Where there is none the test
// is skipped, but not in CI.
func Need(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	switch {
	case err != nil && os.Getenv("CI") != "":
		t.Fatalf("%s is not installed: scripts/setup does it", name)
	case err != nil:
		t.Skipf("%s is not installed: scripts/setup does it", name)
	}
	return path
}

// Server is `sallyport dev` as a process of its own.
type Server struct {
	URL, Token string
	// PID is the process's.
	PID int
	// Kill kills it, and waits until it has ended. It may be called more than once.
	Kill func() `json:"-"`
}

// Start starts a server that keeps its data in dir, with env beside the test's own environment,
// and waits until it is ready. It ends with its test.
func Start(t testing.TB, dir, address string, env ...string) *Server {
	t.Helper()
	ready := filepath.Join(t.TempDir(), "ready.json")
	cmd := exec.Command(Path(t), "dev", "--listen", address, "--data-dir", dir, "--ready-file", ready)
	cmd.Env = append(os.Environ(), env...)
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // it is killed
	}()
	s := &Server{PID: cmd.Process.Pid, Kill: func() {
		_ = cmd.Process.Kill() // it may have ended
		<-ended
	}}
	t.Cleanup(s.Kill)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if text, err := os.ReadFile(ready); err == nil && json.Unmarshal(text, s) == nil {
			return s
		}
		select {
		case <-tick.C:
		case <-ended:
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("the server ended: %s", text)
		}
	}
}
