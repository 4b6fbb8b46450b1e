//go:build linux

package faults

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/client/sallyport"
)

// storeFault takes the store away from a running server.
type storeFault struct {
	name string
	// prepare makes the data directory and says as whom the server runs; nil is
	// for the default.
	prepare func(t *testing.T) childOptions
	// provoke takes the store away and returns what gives it back.
	provoke func(t *testing.T, c *child) (mend func())
}

func storeFaults() []storeFault {
	return []storeFault{
		{name: "disk full", prepare: smallDisk, provoke: fillDisk},
		{name: "file can't grow", provoke: limitFileSize},
		{name: "locked by another process", provoke: func(t *testing.T, c *child) func() { return lock(t, c.database()) }},
		{name: "directory moved away", provoke: func(t *testing.T, c *child) func() { return move(t, c.DataDir) }},
		{name: "database moved away", provoke: func(t *testing.T, c *child) func() { return move(t, c.database()) }},
		{name: "directory closed", prepare: func(*testing.T) childOptions { return childOptions{humble: true} }, provoke: closeDirectory},
		{name: "log read-only", prepare: onlyWithImmutable, provoke: freezeLog},
	}
}

// TestStoreGoesAway takes the store away under a running server, in every way
// that there is: nothing runs without a row, whoever asks is told so, and when
// the store is back the server serves again, without anybody's help.
func TestStoreGoesAway(t *testing.T) {
	for _, f := range storeFaults() {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			var o childOptions
			if f.prepare != nil {
				o = f.prepare(t)
			}
			server := startChild(t, o)
			g := &gone{server: server, caller: newCaller(t, server.Stack), dir: t.TempDir()}
			if !g.attempt(t) {
				t.Fatal("refused before there was a fault")
			}
			mend := f.provoke(t, server)
			// What is on the disk already may take a few more rows.
			await(t, 20*time.Second, "a refusal", func() bool { return !g.attempt(t) })
			g.checkReady(t, http.StatusServiceUnavailable)
			g.attempt(t)
			mend()
			await(t, 20*time.Second, "an exec that runs", func() bool { return g.attempt(t) })
			g.checkReady(t, http.StatusOK)
			g.checkRows(t)
		})
	}
}

// gone is a server whose store goes away, and what was tried meanwhile.
type gone struct {
	server *child
	caller *caller
	dir    string // where commands leave their marks
	tries  int
	served int
	// refused are the marks of execs that were refused.
	refused []string
}

// attempt runs a command that leaves a mark, and tells whether it was served. One
// that was not has run nothing, now or later.
func (g *gone) attempt(t *testing.T) bool {
	t.Helper()
	g.tries++
	mark := filepath.Join(g.dir, fmt.Sprint(g.tries))
	a := g.caller.mustExec(t, sallyport.ExecRequest{Cmd: []string{"touch", mark}, Stream: g.tries%2 == 0})
	switch {
	case a.result != nil && a.result.ExitCode == 0 && exists(mark):
		g.served++
		return true
	case a.status == http.StatusServiceUnavailable && a.code() == sallyport.CodePlatformUnavailable && !exists(mark):
		if a.header.Get("Retry-After") == "" {
			t.Error("503 without Retry-After")
		}
		g.refused = append(g.refused, mark)
		return false
	}
	t.Fatalf("exec: %s, its mark is there: %t", a, exists(mark))
	return false
}

func (g *gone) checkReady(t *testing.T, want int) {
	t.Helper()
	a := g.server.Do(t, http.MethodGet, "/readyz", "", "")
	if a.Status != want || (want != http.StatusOK && a.Code() != string(sallyport.CodePlatformUnavailable)) {
		t.Errorf("readyz: %d %s, want %d", a.Status, a.Body, want)
	}
	if a := g.server.Do(t, http.MethodGet, "/healthz", "", ""); a.Status != http.StatusOK {
		t.Errorf("healthz: %d %s", a.Status, a.Body)
	}
}

// checkRows checks that each exec that was served has its row, and that a refused
// one that came to have one all the same is closed.
func (g *gone) checkRows(t *testing.T) {
	t.Helper()
	for _, mark := range g.refused {
		if exists(mark) {
			t.Errorf("%s ran after it was refused", mark)
		}
	}
	ok, rows := 0, g.server.Execs(t)
	for _, row := range rows {
		switch {
		case row.Status == sallyport.StatusOK:
			ok++
		case row.Status == sallyport.StatusError && row.Code == sallyport.CodePlatformUnavailable && row.ExitCode == nil:
		default:
			t.Errorf("row %+v", row)
		}
	}
	if ok != g.served {
		t.Errorf("%d rows of %d execs that were served", ok, g.served)
	}
	if code := g.server.terminate(t); code != 0 {
		t.Errorf("the server ended with %d", code)
	}
	checkSeqs(t, g.server.database(), len(rows))
}

// TestCompletionCanNotBeWritten ends a command while its row can't be completed:
// the caller is told that it ran and that its row is late, and the row is made
// good when the store is back, before any new exec.
func TestCompletionCanNotBeWritten(t *testing.T) {
	t.Parallel()
	server := startChild(t, childOptions{})
	c := newCaller(t, server.Stack)
	dir := t.TempDir()
	for _, stream := range []bool{false, true} {
		started, release := filepath.Join(dir, fmt.Sprint("started", stream)), filepath.Join(dir, fmt.Sprint("release", stream))
		e := shell(fmt.Sprintf("touch %s; until [ -e %s ]; do sleep 0.05; done; echo out; exit 3", started, release))
		e.Stream = stream
		answered := make(chan answer, 1)
		go func() { answered <- c.mustExec(t, e) }()
		await(t, 20*time.Second, "the command's start", func() bool { return exists(started) })
		unlock := lock(t, server.database())
		if err := os.WriteFile(release, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		a := within(t, 20*time.Second, "the answer", func() answer { return <-answered })
		checkLateEnd(t, a, stream)
		unlock()
		c.mustServe(t)
		row := byID(t, server.Execs(t))[a.execID]
		if row.Status != sallyport.StatusError || row.ExitCode == nil || *row.ExitCode != 3 || *row.StdoutBytes != 4 {
			t.Errorf("row %+v", row)
		}
	}
}

func checkLateEnd(t *testing.T, a answer, stream bool) {
	t.Helper()
	if a.code() != sallyport.CodePlatformUnavailable || a.err.Started == nil || !*a.err.Started {
		t.Errorf("stream %t: got %s, want platform_unavailable, started", stream, a)
	}
	if want := map[bool]int{false: http.StatusServiceUnavailable, true: http.StatusOK}[stream]; a.status != want {
		t.Errorf("stream %t: status %d, want %d", stream, a.status, want)
	}
}

// smallDisk mounts a small file system for the data. Where that is not allowed
// "file can't grow" stands for it.
func smallDisk(t *testing.T) childOptions {
	t.Helper()
	return childOptions{dataDir: filepath.Join(mount(t, "size=4m"), "data")}
}

// mount mounts a new file system in memory until the test's end.
func mount(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Skipf("mounting is not allowed here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fillDisk leaves no room on the data's file system.
func fillDisk(t *testing.T, c *child) func() {
	t.Helper()
	return fill(t, filepath.Dir(c.DataDir))
}

// fill leaves no room on the file system that dir is on.
func fill(t *testing.T, dir string) (empty func()) {
	t.Helper()
	ballast := filepath.Join(dir, "ballast")
	f, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for chunk := make([]byte, 4096); err == nil; {
		_, err = f.Write(chunk)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	return func() { remove(t, ballast) }
}

// limitFileSize lets no file of the server grow beyond what its log of changes is.
func limitFileSize(t *testing.T, c *child) func() {
	t.Helper()
	info, err := os.Stat(c.database() + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	var before unix.Rlimit
	limit := func(set, old *unix.Rlimit) {
		if err := unix.Prlimit(c.pid(), unix.RLIMIT_FSIZE, set, old); err != nil {
			t.Fatal(err)
		}
	}
	limit(nil, &before)
	limit(&unix.Rlimit{Cur: uint64(info.Size()), Max: before.Max}, nil)
	return func() { limit(&before, nil) }
}

// move renames a file or folder, and back.
func move(t *testing.T, path string) func() {
	t.Helper()
	rename := func(from, to string) {
		if err := os.Rename(from, to); err != nil {
			t.Error(err)
		}
	}
	rename(path, path+".away")
	return func() { rename(path+".away", path) }
}

// closeDirectory lets nobody but root into the data directory.
func closeDirectory(t *testing.T, c *child) func() {
	t.Helper()
	chmod := func(mode os.FileMode) {
		if err := os.Chmod(c.DataDir, mode); err != nil {
			t.Error(err)
		}
	}
	chmod(0)
	return func() { chmod(0o700) }
}

// onlyWithImmutable skips the test where files can't be made immutable.
func onlyWithImmutable(t *testing.T) childOptions {
	t.Helper()
	dir := t.TempDir() // in memory, who has a file open may still write it
	probe := filepath.Join(dir, "probe")
	if err := os.WriteFile(probe, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := setImmutable(probe, true); err != nil {
		t.Skipf("files can't be made immutable here: %v", err)
	}
	if err := setImmutable(probe, false); err != nil {
		t.Fatal(err)
	}
	return childOptions{dataDir: filepath.Join(dir, "data")}
}

// freezeLog makes the store's log of changes read-only, also for who has it open:
// as a file system does that the kernel has made read-only after an error.
func freezeLog(t *testing.T, c *child) func() {
	t.Helper()
	set := func(immutable bool) {
		if err := setImmutable(c.database()+"-wal", immutable); err != nil {
			t.Error(err)
		}
	}
	set(true)
	t.Cleanup(func() { _ = setImmutable(c.database()+"-wal", false) }) // it may be gone
	return func() { set(false) }
}

func setImmutable(path string, immutable bool) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	flags, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	if err != nil {
		return err
	}
	const immutableFlag = 0x10 // FS_IMMUTABLE_FL of linux/fs.h
	flags &^= immutableFlag
	if immutable {
		flags |= immutableFlag
	}
	return unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags)
}
