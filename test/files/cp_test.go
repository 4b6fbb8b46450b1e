package files

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"sallyport/client"
	"sallyport/internal/cli"
	"sallyport/test/faultproxy"
	"sallyport/test/stack"
)

// commandLine is the program as a person without a terminal runs it, behind a proxy.
type commandLine struct {
	*machine
	proxy *faultproxy.Proxy
	// here is a local directory.
	here string
}

func newCommandLine(t *testing.T) *commandLine {
	t.Helper()
	m := embedded(t, stack.Start(t, stack.Options{}))
	return &commandLine{machine: m, proxy: faultproxy.Start(t, strings.TrimPrefix(m.URL, "http://"), faultproxy.Faults{}), here: t.TempDir()}
}

// run runs a command. Signals may be nil.
func (c *commandLine) run(ctx context.Context, stdin io.Reader, signals <-chan os.Signal, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	env := map[string]string{"SALLYPORT_URL": "http://" + c.proxy.Addr, "SALLYPORT_TOKEN": c.Token}
	code = cli.Run(ctx, cli.Program{
		Args: args, Stdin: stdin, Stdout: &out, Stderr: &errs, Signals: signals,
		Env: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
	})
	return code, out.String(), errs.String()
}

// wants runs a command, and wants its exit code and silence.
func (c *commandLine) wants(t *testing.T, want int, args ...string) (stderr string) {
	t.Helper()
	code, _, stderr := c.run(t.Context(), strings.NewReader(""), nil, args...)
	if code != want || want == 0 && stderr != "" {
		t.Errorf("%q: exit code %d, want %d: %s", args, code, want, stderr)
	}
	return stderr
}

// random are bytes that are the same for the same seed.
func random(seed uint64, size int) []byte {
	content := make([]byte, size)
	source := rand.NewChaCha8([32]byte{byte(seed)})
	_, _ = source.Read(content) // it has no errors
	return content
}

func (c *commandLine) fill(t *testing.T, dir string, files, size int) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Join(dir, "sub"), 0o755))
	for i := range files {
		name := filepath.Join(dir, []string{"", "sub"}[i%2], strconv.Itoa(i))
		must(t, os.WriteFile(name, random(uint64(i), size), 0o640))
	}
	must(t, os.Symlink("sub/1", filepath.Join(dir, "link")))
	must(t, os.Chtimes(filepath.Join(dir, "sub"), time.Time{}, time.Unix(981173106, 0)))
}

// sameTree wants two directories to hold the same, and no file that isn't whole.
func sameTree(t *testing.T, got, want string) {
	t.Helper()
	sameEntries(t, got, want, true)
}

// sameEntries is sameTree, with the directories' times or without: where a connection has
// broken, a busy server may still write what had arrived when the next one has set them.
func sameEntries(t *testing.T, got, want string, dirTimes bool) {
	t.Helper()
	describe := func(dir string) string {
		var all strings.Builder
		must(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			must(t, err)
			info, err := os.Lstat(path)
			must(t, err)
			all.WriteString(strings.TrimPrefix(path, dir) + " " + info.Mode().String())
			switch {
			case info.Mode().IsRegular():
				content, err := os.ReadFile(path)
				must(t, err)
				all.WriteString(" " + info.ModTime().UTC().String() + " " + strconv.FormatUint(checksum(content), 16))
			case info.IsDir() && path != dir && dirTimes:
				all.WriteString(" " + info.ModTime().UTC().String())
			case !info.IsDir():
				target, err := os.Readlink(path)
				must(t, err)
				all.WriteString(" " + target)
			}
			all.WriteString("\n")
			return nil
		}))
		return all.String()
	}
	if got, want := describe(got), describe(want); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func checksum(content []byte) uint64 {
	sum := uint64(14695981039346656037)
	for _, b := range content {
		sum = (sum ^ uint64(b)) * 1099511628211
	}
	return sum
}

// A transfer whose connection breaks, again and again, is taken up where it stopped: each
// connection carries a part of it.
func TestBrokenCp(t *testing.T) {
	t.Parallel()
	const part = 1 << 20
	c := newCommandLine(t)
	file, tree := filepath.Join(c.here, "file"), filepath.Join(c.here, "tree")
	content := random(1, 5*part/2)
	must(t, os.WriteFile(file, content, 0o600))
	c.fill(t, tree, 10, part/5)

	large := filepath.Join(c.here, "large")
	must(t, os.Mkdir(large, 0o755))
	must(t, os.WriteFile(filepath.Join(large, "f"), content, 0o600)) // larger than what a connection carries
	must(t, os.WriteFile(filepath.Join(large, "e"), []byte("small"), 0o600))
	c.proxy.Set(faultproxy.Faults{CutUpAfter: part})
	c.wants(t, 0, "cp", file, "here:up")
	c.wants(t, 0, "cp", "-r", large, "here:large")
	sameTree(t, filepath.Join(c.dir, "large"), large)
	c.proxy.Set(faultproxy.Faults{CutUpAfter: 3 * part / 2}) // what the machine hasn't written yet is lost
	c.wants(t, 0, "cp", "-r", tree, "here:tree")
	sameEntries(t, filepath.Join(c.dir, "tree"), tree, false)
	c.proxy.Set(faultproxy.Faults{CutDownAfter: part})
	c.wants(t, 0, "cp", "here:up", filepath.Join(c.here, "down"))
	c.wants(t, 0, "cp", "-r", "here:tree", filepath.Join(c.here, "back"))
	sameEntries(t, filepath.Join(c.here, "back"), tree, false)
	code, stdout, stderr := c.run(t.Context(), nil, nil, "files", "cat", "here:up")
	if code != 0 || stdout != string(content) {
		t.Errorf("cat: %d, %d bytes, %s", code, len(stdout), stderr)
	}
	for _, name := range []string{filepath.Join(c.dir, "up"), filepath.Join(c.here, "down")} {
		if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}

// What breaks off between two workspaces, on its way from the one or to the other, is taken
// up, and each entry is told once.
func TestBrokenBetween(t *testing.T) {
	t.Parallel()
	const part = 1 << 20
	c := newCommandLine(t)
	there := t.TempDir()
	if a := c.Do(t, "POST", "/workspaces", c.Token, `{"name":"there","tier":4,"connector":{"type":"local","root":"`+there+`"}}`); a.Status != 201 {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	content := random(1, 5*part/2)
	c.put(t, "file", string(content))
	c.fill(t, filepath.Join(c.dir, "tree"), 10, part/5)
	for i, faults := range []faultproxy.Faults{{CutUpAfter: 3 * part / 2}, {CutDownAfter: 3 * part / 2}} {
		c.proxy.Set(faults)
		to := strconv.Itoa(i)
		c.wants(t, 0, "cp", "here:file", "there:file"+to)
		if got, err := os.ReadFile(filepath.Join(there, "file"+to)); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%v: %d bytes, %v", faults, len(got), err)
		}
		code, stdout, stderr := c.run(t.Context(), nil, nil, "cp", "-r", "--json", "here:tree", "there:tree"+to)
		if code != 0 || stderr != "" {
			t.Errorf("%v: %d %s", faults, code, stderr)
		}
		sameTree(t, filepath.Join(there, "tree"+to), filepath.Join(c.dir, "tree"))
		wantLines(t, stdout, "0 2 4 6 8 link sub sub/1 sub/3 sub/5 sub/7 sub/9", "")
	}
}

// wantLines wants a line of cp --json for each of these, below tree: copied, or left out.
func wantLines(t *testing.T, stdout, copied, leftOut string) {
	t.Helper()
	var got [2][]string
	for line := range strings.Lines(stdout) {
		var entry struct {
			From, To string
			LeftOut  string `json:"left_out"`
		}
		must(t, json.Unmarshal([]byte(line), &entry))
		_, name, _ := strings.Cut(entry.From, "tree/")
		if entry.LeftOut == "" {
			got[0] = append(got[0], name)
		} else {
			got[1] = append(got[1], name)
		}
	}
	for i, want := range []string{copied, leftOut} {
		slices.Sort(got[i])
		if strings.Join(got[i], " ") != want {
			t.Errorf("lines of %q, want %q:\n%s", got[i], want, stdout)
		}
	}
}

// Whatever the machine refuses of a tree, or leaves out, each entry has one line with --json,
// and it is true.
func TestRefusedCp(t *testing.T) {
	t.Parallel()
	c := newCommandLine(t)
	tree := filepath.Join(c.here, "tree")
	c.fill(t, tree, 6, 100)
	must(t, os.Symlink("../../../out", filepath.Join(tree, "out")))
	run := func(leftOut, copied string) {
		t.Helper()
		code, stdout, _ := c.run(t.Context(), nil, nil, "cp", "-r", "--json", tree, "here:")
		if code != 1 {
			t.Errorf("exit code %d", code)
		}
		wantLines(t, stdout, copied, leftOut)
	}
	run("out", "0 2 4 link sub sub/1 sub/3 sub/5")
	for _, name := range []string{"2", "sub/3"} { // where a directory is, no file comes
		must(t, os.Remove(filepath.Join(c.dir, "tree", name)))
		c.mkdir(t, "tree/"+name+"/x")
	}
	run("2 out sub/3", "0 4 link sub sub/1 sub/5")
}

// Five breaks in a run are taken up, and the sixth ends it, with nothing half done.
func TestTooManyBreaks(t *testing.T) {
	t.Parallel()
	const part = 64 << 10
	c := newCommandLine(t)
	c.proxy.Set(faultproxy.Faults{CutUpAfter: part})
	must(t, os.WriteFile(filepath.Join(c.here, "up"), random(1, 20*part), 0o600))
	c.wants(t, 1, "cp", filepath.Join(c.here, "up"), "here:up")
	if _, err := os.Lstat(filepath.Join(c.dir, "up")); err == nil {
		t.Error("a file of which a part came is there")
	}
}

// A file that changes while it is read is an error, and never made of two.
func TestChangedCp(t *testing.T) {
	t.Parallel()
	const part = 256 << 10
	c := newCommandLine(t)
	c.put(t, "file", string(random(1, 4*part)))
	c.proxy.Set(faultproxy.Faults{CutDownAfter: part})
	changed := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(changed)
		for n := uint64(2); ctx.Err() == nil; n++ {
			temp := filepath.Join(c.dir, "next")
			_ = os.WriteFile(temp, random(n, 4*part), 0o644)
			_ = os.Rename(temp, filepath.Join(c.dir, "file"))
		}
	}()
	stderr := c.wants(t, 1, "cp", "here:file", c.here)
	cancel()
	<-changed
	if !strings.Contains(stderr, "changed") {
		t.Error(stderr)
	}
	if left, _ := os.ReadDir(c.here); len(left) > 0 {
		t.Errorf("left here: %v", left)
	}
}

// Ctrl-C ends a copy with 130, and leaves no half file on either side.
func TestInterruptedCp(t *testing.T) {
	t.Parallel()
	c := newCommandLine(t)
	c.put(t, "file", string(random(1, 8<<20)))
	in, hold := io.Pipe()
	go func() { _, _ = hold.Write(random(1, 1<<20)) }() // and then nothing
	for _, copied := range []struct {
		stdin io.Reader
		args  []string
		// dir is where something is written, which has begun when there is a name for it.
		dir string
	}{
		{in, []string{"cp", "-", "here:new"}, c.dir},
		{nil, []string{"cp", "here:file", c.here}, c.here},
	} {
		begun := func() bool { names, _ := filepath.Glob(copied.dir + "/.sallyport*"); return len(names) > 0 }
		if copied.stdin == nil {
			c.proxy.Set(faultproxy.Faults{Drip: time.Millisecond})
		}
		signals := make(chan os.Signal, 1)
		ended := make(chan int, 1)
		go func() {
			code, _, _ := c.run(t.Context(), copied.stdin, signals, copied.args...)
			ended <- code
		}()
		await(t, begun)
		signals <- syscall.SIGINT
		if code := <-ended; code != 130 {
			t.Errorf("%q: exit code %d", copied.args, code)
		}
		await(t, func() bool { return !begun() })
	}
	hold.Close()
	if names := c.names(t, "."); names != "file" {
		t.Errorf("on the machine: %s", names)
	}
	if left, _ := os.ReadDir(c.here); len(left) > 0 {
		t.Errorf("left here: %v", left)
	}
}

// Ctrl-C ends what takes an attachment with 130, and leaves no half file.
func TestInterruptedAttachment(t *testing.T) {
	t.Parallel()
	c := newCommandLine(t)
	made, err := client.New(c.URL, c.Token).Attachments("here").Add(t.Context(), 0, client.NewAttachment{Name: "a", Content: bytes.NewReader(random(1, 8<<20))})
	must(t, err)
	c.proxy.Set(faultproxy.Faults{Drip: time.Millisecond})
	signals := make(chan os.Signal, 1)
	ended := make(chan int, 1)
	go func() {
		code, _, _ := c.run(t.Context(), nil, signals, "attachments", "get", "here", made[0].ID, c.here)
		ended <- code
	}()
	await(t, func() bool { names, _ := filepath.Glob(c.here + "/.sallyport*"); return len(names) > 0 })
	signals <- syscall.SIGINT
	if code := <-ended; code != 130 {
		t.Errorf("exit code %d", code)
	}
	if left, _ := os.ReadDir(c.here); len(left) > 0 {
		t.Errorf("left here: %v", left)
	}
}

// await waits until a condition holds.
func await(t *testing.T, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatal("it doesn't come")
		}
	}
}
