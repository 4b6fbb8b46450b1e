package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// dev is a `sallyport dev` that runs in this process.
type dev struct {
	signals chan os.Signal
	stderr  *watchedBuffer
	ended   chan int
	env     func(string) (string, bool)
}

// startDev starts one and waits until it can serve. home is where it keeps its
// profile and its data.
func startDev(t *testing.T, home string) dev {
	t.Helper()
	d := dev{
		signals: make(chan os.Signal, 4),
		stderr:  &watchedBuffer{want: "a second one ends it at once", seen: make(chan struct{})},
		ended:   make(chan int, 1),
		env:     environ("HOME", home, "XDG_CONFIG_HOME", home+"/config", "XDG_DATA_HOME", home+"/data"),
	}
	go func() {
		d.ended <- Run(context.Background(), Program{
			Args: []string{"dev", "--listen", "127.0.0.1:0"}, Env: d.env, Signals: d.signals,
			Stdin: strings.NewReader(""), Stdout: &bytes.Buffer{}, Stderr: d.stderr,
		})
	}()
	select {
	case <-d.stderr.seen:
	case code := <-d.ended:
		t.Fatalf("dev ended with %d: %s", code, d.stderr)
	case <-time.After(time.Minute):
		t.Fatalf("dev doesn't serve: %s", d.stderr)
	}
	return d
}

func (d dev) wait(t *testing.T, want int) {
	t.Helper()
	select {
	case code := <-d.ended:
		if code != want {
			t.Errorf("dev ended with %d, want %d: %s", code, want, d.stderr)
		}
	case <-time.After(time.Minute):
		t.Fatalf("dev doesn't end: %s", d.stderr)
	}
}

// watchedBuffer closes seen when want has been written to it.
type watchedBuffer struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	want string
	seen chan struct{}
	once sync.Once
}

func (b *watchedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, err := b.buf.Write(p)
	if strings.Contains(b.buf.String(), b.want) {
		b.once.Do(func() { close(b.seen) })
	}
	return n, err
}

func (b *watchedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func readProfiles(t *testing.T, home string) profiles {
	t.Helper()
	path := filepath.Join(home, "config", "sallyport", "profiles.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	var p profiles
	if err := json.Unmarshal(text, &p); err != nil {
		t.Fatal(err)
	}
	return p
}

// dev writes a profile with which every command works at once, and drains on a
// signal.
func TestDev(t *testing.T) {
	home := t.TempDir()
	d := startDev(t, home)
	for argv, want := range map[string]string{
		"exec local -- echo hello":      "hello\n",
		"orgs get dev --json":           `"name":"dev"`,
		"workspaces list":               "local ",
		"activity --workspace local":    "TIME ",
		"activity --all --json":         `{"items":[{`,
		"tokens list --admin --org dev": "NAME ",
	} {
		got := run(t, Program{Env: d.env}, strings.Fields(argv)...)
		if got.code != 0 || !strings.Contains(got.stdout, want) || got.stderr != "" {
			t.Errorf("%s: %+v", argv, got)
		}
	}
	if p := readProfiles(t, home); p.Current != "dev" || p.Profiles["dev"].AdminToken == "" || p.Profiles["dev"].Token == "" {
		t.Errorf("current %q, profiles %d", p.Current, len(p.Profiles))
	}
	d.signals <- syscall.SIGTERM
	d.wait(t, 0)
}

// A profile that is in use stays the current one.
func TestDevLeavesTheCurrentProfile(t *testing.T) {
	home := t.TempDir()
	if err := os.MkdirAll(home+"/config/sallyport", 0o700); err != nil {
		t.Fatal(err)
	}
	work := `{"current":"work","profiles":{"work":{"url":"https://h","token":"t"}}}`
	if err := os.WriteFile(home+"/config/sallyport/profiles.json", []byte(work), 0o600); err != nil {
		t.Fatal(err)
	}
	d := startDev(t, home)
	if !strings.Contains(d.stderr.String(), "sallyport --profile dev exec local -- uname -a") {
		t.Error(d.stderr)
	}
	if got := run(t, Program{Env: d.env}, "--profile", "dev", "exec", "local", "--", "true"); got.code != 0 {
		t.Errorf("%+v", got)
	}
	if p := readProfiles(t, home); p.Current != "work" || p.Profiles["work"].URL != "https://h" || p.Profiles["dev"].URL == "" {
		t.Errorf("%+v", p.Current)
	}
	d.signals <- os.Interrupt
	d.wait(t, 0)
}

// The second Ctrl-C ends what the first lets run on.
func TestDevSecondInterrupt(t *testing.T) {
	d := startDev(t, t.TempDir())
	started := &watchedBuffer{want: "x", seen: make(chan struct{})}
	exec := make(chan ran, 1)
	go func() {
		exec <- run(t, Program{Env: d.env, Stdout: started}, "exec", "local", "--", "sh", "-c", "echo x; sleep 100")
	}()
	<-started.seen
	d.signals <- os.Interrupt
	d.signals <- os.Interrupt
	d.wait(t, 130)
	if got := <-exec; got.code != 125 {
		t.Errorf("%+v", got)
	}
}
