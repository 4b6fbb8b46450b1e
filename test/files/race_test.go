package files

import (
	"archive/tar"
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/test/stack"
)

var raceTime = flag.Duration("race-time", time.Second, "how long links and directories are swapped on each machine")

// Whatever is swapped with links that lead out, at any moment, over HTTP nothing outside is
// read, written or removed: the answer is the right one, or says that the path leads out, that
// nothing is there, or that something else is.
func TestSwappedLinks(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"embedded", "openssh"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRace(t, machines()[name](t, stack.Start(t, stack.Options{})))
			ctx, cancel := context.WithTimeout(t.Context(), *raceTime)
			defer cancel()
			swapped := make(chan struct{})
			go func() {
				defer close(swapped)
				r.swap(ctx)
			}()
			for n := 0; ctx.Err() == nil || n == 0; n++ {
				r.look(t)
				r.change(t)
			}
			cancel()
			<-swapped
			r.checkOutside(t)
			t.Log(r.answers)
		})
	}
}

// race is a machine on which names are swapped.
type race struct {
	*machine
	outside string
	// answers counts them by what was asked.
	answers map[string]int
}

const secret = "what is outside of the root"

func newRace(t *testing.T, m *machine) *race {
	outside, err := os.MkdirTemp(filepath.Dir(m.dir), "outside")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(outside) })
	r := &race{m, outside, map[string]int{}}
	for _, name := range []string{"f", "sub/f"} {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(outside, name)), 0o777))
		must(t, os.WriteFile(filepath.Join(outside, name), []byte(secret), 0o666))
	}
	for _, name := range []string{"", "f", "sub", "sub/f"} { // the machine's user could do all of it
		m.own(t, filepath.Join(outside, name))
	}
	m.put(t, "dir/f", "inside")
	m.put(t, "dir/sub/f", "inside")
	m.put(t, "file", "inside")
	m.link(t, outside, "swap")
	m.link(t, outside+"/f", "fileswap")
	return r
}

// swap exchanges a directory and a file with links that lead out, without a pause.
func (r *race) swap(ctx context.Context) {
	exchange := func(a, b string) {
		_ = unix.Renameat2(unix.AT_FDCWD, filepath.Join(r.dir, a), unix.AT_FDCWD, filepath.Join(r.dir, b), unix.RENAME_EXCHANGE)
	}
	for ctx.Err() == nil {
		exchange("dir", "swap")
		exchange("file", "fileswap")
	}
}

// ask asks for what is below the workspace.
func (r *race) ask(t *testing.T, method, path, body string) stack.Answer {
	t.Helper()
	req := r.Request(t, method, "/workspaces/"+r.name+path, r.Token, body)
	if strings.Contains(path, "/attachments") || method == "POST" || method == "PATCH" {
		req.Header.Set("Content-Type", "application/json")
	}
	a := r.Send(t, req)
	if strings.Contains(a.Body, secret) {
		t.Fatalf("%s %s: read outside: %s", method, path, a.Body)
	}
	code := ""
	if a.Status >= 400 {
		code = a.Code()
	}
	r.answers[fmt.Sprint(method, " ", path, " ", a.Status, " ", code)]++
	switch {
	case a.Status < 300, a.Status == 404, a.Status == 409, a.Status == 400 && code == "invalid_path":
	default:
		t.Errorf("%s %s: %d %s", method, path, a.Status, a.Body)
	}
	return a
}

func (r *race) look(t *testing.T) {
	for _, path := range []string{"/files/dir/f", "/files/file", "/files/dir/sub/f?stat=true", "/files?path=dir&depth=9", "/files?depth=9&text=what", "/files/?archive=tar", "/files/dir?archive=tar"} {
		r.ask(t, "GET", path, "")
	}
	for _, path := range []string{"dir/f", "file"} {
		if a := r.ask(t, "POST", "/attachments", `{"path":"`+path+`"}`); a.Status == 201 && !strings.Contains(a.Body, sum("inside")) {
			t.Errorf("attached %s", a.Body)
		}
	}
	r.ask(t, "POST", "/files/dir", `{"action":"copy","to":"copy","recursive":true}`)
	r.ask(t, "GET", "/files/copy?archive=tar", "")
	r.ask(t, "DELETE", "/files/copy?recursive=true", "")
}

func (r *race) change(t *testing.T) {
	r.ask(t, "PUT", "/files/dir/new", "x")
	r.ask(t, "PUT", "/files/file", "inside")
	r.ask(t, "POST", "/files/dir/f", `{"action":"replace","old":"i","new":"i"}`)
	r.ask(t, "PATCH", "/files/dir/f", `{"mode":"0600","mtime":"2001-02-03T04:05:06Z"}`)
	r.ask(t, "DELETE", "/files/dir/sub?recursive=true", "")
	r.ask(t, "DELETE", "/files/dir/new", "")
	r.ask(t, "PUT", "/files/dir/sub?type=dir", "")
	r.ask(t, "PUT", "/files/dir/sub/f", "inside")
	r.ask(t, "PUT", "/files/dir2/f", "inside")
	r.ask(t, "POST", "/files/dir2", `{"action":"move","to":"dir/moved"}`)
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, name := range []string{"sub/x", "y"} {
		must(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600, Size: 1}))
		_, err := w.Write([]byte("x"))
		must(t, err)
	}
	must(t, w.Close())
	r.ask(t, "PUT", "/files/dir/moved?archive=tar", archive.String())
	r.ask(t, "DELETE", "/files/dir/moved?recursive=true", "")
	r.ask(t, "DELETE", "/files/dir2?recursive=true", "")
}

// checkOutside wants what is outside to be as it was.
func (r *race) checkOutside(t *testing.T) {
	t.Helper()
	var found []string
	must(t, filepath.WalkDir(r.outside, func(path string, d os.DirEntry, err error) error {
		must(t, err)
		info, err := d.Info()
		must(t, err)
		text := ""
		if !d.IsDir() {
			content, err := os.ReadFile(path)
			must(t, err)
			text = " " + string(content)
			if time.Since(info.ModTime()) > time.Hour || info.Mode().Perm() != 0o644 {
				text += " changed"
			}
		}
		found = append(found, strings.TrimPrefix(path, r.outside)+text)
		return nil
	}))
	if got, want := strings.Join(found, "\n"), "\n/f "+secret+"\n/sub\n/sub/f "+secret; got != want {
		t.Errorf("outside:\n%s", got)
	}
}
