//go:build linux

package faults

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"sallyport/internal/config"
	"sallyport/internal/keys"
	"sallyport/internal/server"
	"sallyport/test/stack"
)

// startFault is why a server can't start.
type startFault struct {
	name string
	// provoke prepares a start in dir, a new folder that holds the data of a
	// server that has ended where a copy of it is asked for.
	provoke func(t *testing.T, dir string, a *attempt)
	// words must be in the error, which is one sentence for who has to mend it;
	// DIR stands for the folder.
	words []string
}

// attempt is a start that is to fail.
type attempt struct {
	flags     map[string]string
	readyFile string
}

func startFaults() []startFault {
	at := func(path string) func(*testing.T, string, *attempt) {
		return func(_ *testing.T, _ string, a *attempt) { a.flags["data_dir"] = path }
	}
	return []startFault{
		{"below a file", func(t *testing.T, dir string, a *attempt) {
			write(t, filepath.Join(dir, "file"), "")
			a.flags["data_dir"] = filepath.Join(dir, "file", "data")
		}, []string{"data directory DIR/file/data can't be made: not a directory"}},
		{"a file", func(t *testing.T, dir string, a *attempt) {
			write(t, filepath.Join(dir, "file"), "")
			a.flags["data_dir"] = filepath.Join(dir, "file")
		}, []string{"data directory DIR/file can't be"}},
		{"where nothing can be made", at("/proc/sallyport/data"), []string{"data directory /proc/sallyport/data can't be made"}},
		{"where nothing can be written", at("/proc/self"), []string{"data directory /proc/self can't be written"}},
		{"read-only file system", func(t *testing.T, _ string, a *attempt) {
			a.flags["data_dir"] = filepath.Join(mountReadOnly(t), "data")
		}, []string{"data directory", "read-only file system"}},
		{"disk full", func(t *testing.T, dir string, a *attempt) {
			disk := mount(t, "size=4m")
			if err := os.CopyFS(filepath.Join(disk, "data"), os.DirFS(filepath.Join(dir, "data"))); err != nil {
				t.Fatal(err)
			}
			chmod(t, filepath.Join(disk, "data", "seal.key"), 0o600)
			fill(t, disk)
			a.flags["data_dir"] = filepath.Join(disk, "data")
		}, []string{"disk is full"}},
		{"lock is a folder", func(t *testing.T, dir string, a *attempt) { makeDir(t, filepath.Join(dir, "data", "lock")) },
			[]string{"data directory DIR/data can't be written: is a directory"}},
		{"held by another process", func(t *testing.T, dir string, a *attempt) {
			other := startChild(t, childOptions{dataDir: filepath.Join(dir, "data")})
			t.Cleanup(func() { newCaller(t, other.Stack).mustServe(t) }) // it hasn't noticed
		}, []string{"data directory DIR/data is in use by another sallyport"}},
		{"port taken", func(t *testing.T, _ string, a *attempt) { a.flags["listen"] = takePort(t) },
			[]string{"listen on 127.0.0.1:", "address already in use"}},
		{"database corrupt in the middle", func(t *testing.T, dir string, a *attempt) { corrupt(t, database(dir)) },
			[]string{"open database DIR/data/sallyport.db: it is corrupt, restore it from a backup"}},
		{"database cut short", func(t *testing.T, dir string, a *attempt) { halve(t, database(dir)) },
			[]string{"open database DIR/data/sallyport.db: it is corrupt, restore it from a backup"}},
		{"not a database", func(t *testing.T, dir string, a *attempt) { write(t, database(dir), strings.Repeat("text\n", 1000)) },
			[]string{"open database DIR/data/sallyport.db: it is not a SQLite database"}},
		{"database is a folder", func(t *testing.T, dir string, a *attempt) {
			remove(t, database(dir))
			makeDir(t, database(dir))
		}, []string{"open database DIR/data/sallyport.db: it is a directory"}},
		{"another program's database", func(t *testing.T, dir string, a *attempt) {
			remove(t, database(dir))
			change(t, database(dir), `CREATE TABLE theirs (x)`)
		}, []string{"open database DIR/data/sallyport.db: it holds the tables of another program"}},
		{"newer schema", func(t *testing.T, dir string, a *attempt) {
			change(t, database(dir), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, 1)`)
		}, []string{"open database DIR/data/sallyport.db: its schema has version 999 and this program knows none above"}},
		{"database lost", func(t *testing.T, dir string, a *attempt) { remove(t, database(dir)) },
			[]string{"database DIR/data/sallyport.db is gone: restore it from a backup", "--new-store"}},
		{"database emptied", func(t *testing.T, dir string, a *attempt) { write(t, database(dir), "") },
			[]string{"database DIR/data/sallyport.db is empty: restore it from a backup", "--new-store"}},
		{"database's log is garbage", func(t *testing.T, dir string, a *attempt) {
			write(t, database(dir)+"-wal", strings.Repeat("garbage ", 1000))
		}, []string{"the write-ahead log of database DIR/data/sallyport.db is garbage", "--new-store"}},
		{"seal lost", func(t *testing.T, dir string, a *attempt) { remove(t, seal(dir)) },
			[]string{"seal DIR/data/seal.key: the file is missing, and the database holds private keys that only it opens: restore it"}},
		{"another seal", func(t *testing.T, dir string, a *attempt) { write(t, seal(dir), string(keys.NewSeal())) },
			[]string{"seal DIR/data/seal.key is not the one that has sealed the private keys in the database: restore that one"}},
		{"seal cut short", func(t *testing.T, dir string, a *attempt) { halve(t, seal(dir)) },
			[]string{"seal DIR/data/seal.key: "}},
		{"seal empty", func(t *testing.T, dir string, a *attempt) { write(t, seal(dir), "") },
			[]string{"seal DIR/data/seal.key: there is no key in it"}},
		{"seal is a folder", func(t *testing.T, dir string, a *attempt) {
			remove(t, seal(dir))
			makeDir(t, seal(dir))
		}, []string{"seal DIR/data/seal.key: the file can't be read: not a regular file"}},
		{"seal is everybody's to read", func(t *testing.T, dir string, a *attempt) { chmod(t, seal(dir), 0o604) },
			[]string{"seal DIR/data/seal.key: everyone on this machine may read the file (mode 0604)"}},
		{"seal is everybody's to write", func(t *testing.T, dir string, a *attempt) { chmod(t, seal(dir), 0o602) },
			[]string{"seal DIR/data/seal.key: everyone on this machine may write the file (mode 0602)"}},
		{"sealed key changed", func(t *testing.T, dir string, a *attempt) {
			change(t, database(dir), `UPDATE org_ca_keys SET public_key = 'ssh-ed25519 AAAA'`)
		}, []string{"open the SSH CAs with the seal DIR/data/seal.key: CA key ", "changed since it was sealed"}},
		{"ready file below a file", func(t *testing.T, dir string, a *attempt) {
			write(t, filepath.Join(dir, "file"), "")
			a.readyFile = filepath.Join(dir, "file", "ready")
		}, []string{"ready file DIR/file/ready can't be written: DIR/file is no directory"}},
		{"ready file in no folder", func(t *testing.T, dir string, a *attempt) { a.readyFile = filepath.Join(dir, "none", "ready") },
			[]string{"ready file DIR/none/ready can't be written: no such file or directory"}},
		{"ready file is a folder", func(t *testing.T, dir string, a *attempt) {
			a.readyFile = filepath.Join(dir, "ready")
			makeDir(t, filepath.Join(a.readyFile, "full"))
		}, []string{"ready file", "DIR/ready"}},
	}
}

// TestStartFails starts a server where it can't: each time one sentence says what
// is wrong, at once, and nothing stays open.
func TestStartFails(t *testing.T) {
	template := filepath.Join(t.TempDir(), "data")
	seedData(t, template)
	for _, f := range startFaults() {
		t.Run(f.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(filepath.Join(dir, "data"), os.DirFS(template)); err != nil {
				t.Fatal(err)
			}
			chmod(t, seal(dir), 0o600) // a copy is everybody's to read
			a := &attempt{flags: map[string]string{"listen": "127.0.0.1:0", "data_dir": filepath.Join(dir, "data")}}
			f.provoke(t, dir, a)
			files, routines := openFiles(t), goleak.IgnoreCurrent()
			err := within(t, 20*time.Second, "the refusal", func() error { return a.start(t) })
			if err == nil {
				t.Fatal("it started")
			}
			t.Log(err)
			for _, words := range f.words {
				if want := strings.ReplaceAll(words, "DIR", dir); !strings.Contains(err.Error(), want) {
					t.Errorf("%q doesn't say %q", err, want)
				}
			}
			if text := err.Error(); strings.ContainsAny(text, "\n\r") || len(text) > 400 {
				t.Errorf("not one sentence: %q", text)
			}
			if !holds(2*time.Second, func() bool { return openFiles(t) <= files }) {
				t.Errorf("%d files are open, %d were before", openFiles(t), files)
			}
			goleak.VerifyNone(t, routines)
		})
	}
}

// start runs the server; it must not come to serve.
func (a *attempt) start(t *testing.T) error {
	loaded, err := config.Load(config.LoadOptions{Mode: config.ModeDev, Flags: maps.Clone(a.flags)})
	if err != nil {
		return fmt.Errorf("the configuration: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	return server.Run(ctx, loaded.Config, server.RunOptions{ReadyFile: a.readyFile, Ready: func(server.Ready) {
		t.Error("it serves")
		cancel()
	}})
}

// seedData leaves behind the data of a server that has run some execs and ended.
func seedData(t *testing.T, dir string) {
	t.Helper()
	s := startChild(t, childOptions{dataDir: dir})
	c := newCaller(t, s.Stack)
	for range 30 {
		e := shell("true " + strings.Repeat("x", 4000)) // a page each
		c.mustExec(t, e)
	}
	if code := s.terminate(t); code != 0 {
		t.Fatalf("the server ended with %d", code)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func seal(dir string) string { return filepath.Join(dir, "data", "seal.key") }

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func database(dir string) string { return filepath.Join(dir, "data", "sallyport.db") }

// corrupt overwrites the middle of a file.
func corrupt(t *testing.T, path string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	copy(content[len(content)/3:len(content)*2/3], bytes.Repeat([]byte{0x5a}, len(content)))
	write(t, path, string(content))
}

func halve(t *testing.T, path string) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, info.Size()/2); err != nil {
		t.Fatal(err)
	}
}

func change(t *testing.T, path, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

// takePort listens on a port that nobody else can have then.
func takePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return listener.Addr().String()
}

// mountReadOnly mounts a file system that nobody can write to. Where that is not
// allowed, "where nothing can be made" stands for it.
func mountReadOnly(t *testing.T) string {
	t.Helper()
	dir := mount(t, "size=1m")
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	return dir
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// makeDir makes a folder in place of whatever file is there.
func makeDir(t *testing.T, path string) {
	t.Helper()
	if info, err := os.Stat(path); err == nil && !info.IsDir() {
		remove(t, path)
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// With the operator's word a server starts all the same: on a new store where the old one
// is gone, and on what the database itself holds where its log is garbage, which is kept.
func TestNewStore(t *testing.T) {
	template := filepath.Join(t.TempDir(), "data")
	seedData(t, template)
	for name, provoke := range map[string]func(*testing.T, string){
		"lost":    func(t *testing.T, dir string) { remove(t, database(dir)) },
		"garbage": func(t *testing.T, dir string) { write(t, database(dir)+"-wal", strings.Repeat("garbage ", 1000)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			data := filepath.Join(dir, "data")
			if err := os.CopyFS(data, os.DirFS(template)); err != nil {
				t.Fatal(err)
			}
			chmod(t, seal(dir), 0o600)
			provoke(t, dir)
			s := stack.Start(t, stack.Options{DataDir: data, Flags: map[string]string{"store.new": "true"}})
			if a := s.Exec(t, `{"cmd":["true"]}`); a.Status != 200 {
				t.Errorf("exec: %d %s", a.Status, a.Body)
			}
			if _, err := os.Stat(database(dir) + "-wal.garbage"); (err == nil) != (name == "garbage") {
				t.Errorf("the log: %v", err)
			}
		})
	}
}
