package localtree_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sallyport/internal/localtree"
)

// outside is a directory with one file, and beside it the directory that is written into.
func outside(t testing.TB) (out, in string) {
	t.Helper()
	top := t.TempDir()
	out, in = top+"/out", top+"/in"
	for _, dir := range []string{out, in} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(out+"/kept", []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	return out, in
}

// checkOutside fails if anything but the one file is outside, or beside both directories.
func checkOutside(t testing.TB, out string) {
	t.Helper()
	entries, err := os.ReadDir(out)
	content, _ := os.ReadFile(out + "/kept")
	if err != nil || len(entries) != 1 || string(content) != "kept" {
		t.Fatalf("outside: %v, %q, %v", entries, content, err)
	}
	if info, err := os.Stat(out + "/kept"); err != nil || info.Mode() != 0o600 {
		t.Fatalf("outside: %v, %v", info, err)
	}
	if beside, err := os.ReadDir(filepath.Dir(out)); err != nil || len(beside) != 2 {
		t.Fatalf("beside: %v, %v", beside, err)
	}
}

func open(t testing.TB, dir string) *localtree.Tree {
	t.Helper()
	tree, err := localtree.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tree.Close() })
	return tree
}

func archive(t testing.TB, headers ...*tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			io.WriteString(w, strings.Repeat("x", int(h.Size)))
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestExtract: modes without set-id bits, times, links; directories get theirs at their end,
// and what stood there is replaced.
func TestExtract(t *testing.T) {
	t.Parallel()
	out, in := outside(t)
	at := time.Date(2020, 1, 2, 3, 4, 5, 678000000, time.UTC)
	if err := os.Symlink(out+"/kept", in+"/file"); err != nil {
		t.Fatal(err)
	}
	sent := archive(t,
		&tar.Header{Typeflag: tar.TypeDir, Name: "d/", Mode: 0o555, ModTime: at, Format: tar.FormatPAX},
		&tar.Header{Typeflag: tar.TypeReg, Name: "d/f", Mode: 0o4751, Size: 3, ModTime: at, Format: tar.FormatPAX},
		&tar.Header{Typeflag: tar.TypeSymlink, Name: "d/l", Linkname: "../file", ModTime: at, Format: tar.FormatPAX},
		&tar.Header{Typeflag: tar.TypeReg, Name: "file", Mode: 0o600, Size: 1},
	)
	tree := open(t, in)
	if err := tree.Extract(bytes.NewReader(sent), &localtree.Extraction{Done: func(name string, _ *tar.Header, err error) {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}}); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]fs.FileMode{"d": fs.ModeDir | 0o555, "d/f": 0o751, "d/l": fs.ModeSymlink | 0o777} {
		info, err := os.Lstat(in + "/" + name)
		if err != nil || info.Mode() != mode || !info.ModTime().Equal(at) {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if info, err := os.Lstat(in + "/file"); err != nil || !info.Mode().IsRegular() {
		t.Errorf("file: %v, %v", info, err)
	}
	checkOutside(t, out)
}

// TestHostileEntries: each is left out, for its reason, and what follows is written.
func TestHostileEntries(t *testing.T) {
	t.Parallel()
	out, in := outside(t)
	if err := os.Symlink("../out", in+"/link"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(in+"/dir", 0o700); err != nil {
		t.Fatal(err)
	}
	file := func(name string) *tar.Header {
		return &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o777, Size: 1}
	}
	link := func(name, target string) *tar.Header {
		return &tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target}
	}
	for _, c := range []struct {
		entry *tar.Header
		want  error
	}{
		{file("../out/kept"), localtree.ErrName},
		{file(out + "/kept"), localtree.ErrName},
		{file("a/../../out/new"), localtree.ErrName},
		{file("."), localtree.ErrName},
		{file("a//b"), localtree.ErrName},
		{&tar.Header{Typeflag: tar.TypeDir, Name: "../out/"}, localtree.ErrName},
		{file("link/kept"), localtree.ErrLinkInWay},
		{&tar.Header{Typeflag: tar.TypeDir, Name: "link/", Mode: 0o777}, localtree.ErrLinkInWay},
		{link("link/l", "x"), localtree.ErrLinkInWay},
		{file("dir"), syscall.EISDIR},
		{link("dir", "x"), syscall.EISDIR},
		{link("l", "../out"), localtree.ErrLinkOut},
		{link("l", "/etc"), localtree.ErrLinkOut},
		{link("dir/l", "../../out"), localtree.ErrLinkOut},
		{link("l", "x/../y"), localtree.ErrLinkOut},
		{link("l", "./../out"), localtree.ErrLinkOut},
		{&tar.Header{Typeflag: tar.TypeLink, Name: "h", Linkname: "link/kept"}, localtree.ErrType},
		{&tar.Header{Typeflag: tar.TypeFifo, Name: "p"}, localtree.ErrType},
		{&tar.Header{Typeflag: tar.TypeBlock, Name: "b"}, localtree.ErrType},
		{file(strings.Repeat("n", 256)), syscall.ENAMETOOLONG},
	} {
		var got error
		written := false
		err := open(t, in).Extract(bytes.NewReader(archive(t, c.entry, file("last"))), &localtree.Extraction{Done: func(name string, _ *tar.Header, err error) {
			if name == "last" {
				written = err == nil
			} else {
				got = err
			}
		}})
		if err != nil || !errors.Is(got, c.want) || !written {
			t.Errorf("%s %q -> %q: %v, want %v; %v, %t", string(c.entry.Typeflag), c.entry.Name, c.entry.Linkname, got, c.want, err, written)
		}
	}
	if names, _ := filepath.Glob(in + "/.sallyport*"); len(names) > 0 {
		t.Errorf("left behind: %q", names)
	}
	checkOutside(t, out)
}

// TestNameWithNUL: tar has none, and other callers may.
func TestNameWithNUL(t *testing.T) {
	t.Parallel()
	_, in := outside(t)
	if err := open(t, in).File("a\x00b", localtree.Attr{Mode: 0o600}, strings.NewReader("x")); !errors.Is(err, localtree.ErrName) {
		t.Error(err)
	}
}

// TestBrokenStream: a file appears whole or not at all, and a broken archive is told from a
// malformed one.
func TestBrokenStream(t *testing.T) {
	t.Parallel()
	out, in := outside(t)
	sent := archive(t, &tar.Header{Typeflag: tar.TypeReg, Name: "a", Size: 3}, &tar.Header{Typeflag: tar.TypeReg, Name: "b", Size: 2000})
	broken := errors.New("broken")
	x := localtree.Extraction{}
	err := open(t, in).Extract(io.MultiReader(bytes.NewReader(sent[:2000]), failing{broken}), &x)
	var stream *localtree.StreamError
	if !errors.As(err, &stream) || stream.Err != broken || x.Last != "a" {
		t.Errorf("%v, after %q", err, x.Last)
	}
	if entries, _ := os.ReadDir(in); len(entries) != 1 || entries[0].Name() != "a" {
		t.Errorf("written: %v", entries)
	}
	if err := open(t, in).Extract(strings.NewReader(strings.Repeat("junk", 512)), &x); !errors.Is(err, localtree.ErrArchive) {
		t.Errorf("malformed: %v", err)
	}
	if err := open(t, in).Extract(io.MultiReader(bytes.NewReader(sent), zeros{}), &x); !errors.Is(err, localtree.ErrArchive) {
		t.Errorf("without end: %v", err)
	}
	checkOutside(t, out)
}

type failing struct{ error }

func (f failing) Read([]byte) (int, error) { return 0, f.error }

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// TestWalk: the order of lists, and what can't be sent is told.
func TestWalk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"b", "a/x"} {
		if err := os.MkdirAll(dir+"/"+name, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"a.txt", "a/x/f", "b\xff"} {
		if err := os.WriteFile(dir+"/"+name, []byte(name), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("a", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(dir+"/p", 0o600); err != nil {
		t.Fatal(err)
	}
	var got []string
	err := localtree.Walk(dir, func(h *tar.Header, content io.Reader, err error) error {
		text := fmt.Sprintf("%s%c%04o", h.Name, h.Typeflag, h.Mode)
		if content != nil {
			read, _ := io.ReadAll(content)
			text += fmt.Sprintf("=%s/%d", read, h.Size)
		}
		if err != nil {
			text += " " + err.Error()
		}
		if len(got) > 0 {
			before, _, _ := strings.Cut(got[len(got)-1], "\n")
			if localtree.Compare(before, h.Name) >= 0 {
				t.Errorf("%q before %q", before, h.Name)
			}
		}
		got = append(got, h.Name+"\n"+text)
		return nil
	})
	want := []string{"a50700", "a/x50700", "a/x/f00640=a/x/f/5", "a.txt00640=a.txt/5", "b50700", "b\xff00640=b\xff/2", "link20777", "p00600 " + localtree.ErrType.Error()}
	if err != nil || len(got) != len(want) {
		t.Fatalf("%q, %v", got, err)
	}
	for i := range want {
		if _, text, _ := strings.Cut(got[i], "\n"); text != want[i] {
			t.Errorf("%q, want %q", text, want[i])
		}
	}
}

// FuzzExtract: whatever an archive holds, nothing outside is touched.
func FuzzExtract(f *testing.F) {
	f.Add(archive(f, &tar.Header{Typeflag: tar.TypeDir, Name: "d/", Mode: 0o755}, &tar.Header{Typeflag: tar.TypeReg, Name: "d/f", Size: 3}))
	f.Add(archive(f, &tar.Header{Typeflag: tar.TypeSymlink, Name: "l", Linkname: "../out"}, &tar.Header{Typeflag: tar.TypeReg, Name: "l/kept", Size: 3}))
	f.Add(archive(f, &tar.Header{Typeflag: tar.TypeSymlink, Name: "s", Linkname: "."}, &tar.Header{Typeflag: tar.TypeSymlink, Name: "l", Linkname: "s/../out"}, &tar.Header{Typeflag: tar.TypeReg, Name: "l/kept", Size: 3}))
	f.Add(archive(f, &tar.Header{Typeflag: tar.TypeLink, Name: "l", Linkname: "../out/kept"}, &tar.Header{Typeflag: tar.TypeReg, Name: "../out/kept", Size: 3}))
	f.Fuzz(func(t *testing.T, sent []byte) {
		out, in := outside(t)
		if err := os.Symlink("../out", in+"/there"); err != nil {
			t.Fatal(err)
		}
		tree, err := localtree.Open(in)
		if err != nil {
			t.Fatal(err)
		}
		_ = tree.Extract(bytes.NewReader(sent), &localtree.Extraction{})
		tree.Close()
		checkOutside(t, out)
		if err := os.Remove(in + "/there"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return // a directory of the archive's has taken its place
		}
		checkLinks(t, in)
	})
}

// checkLinks fails where a link leads out that wasn't there before.
func checkLinks(t *testing.T, in string) {
	_ = filepath.WalkDir(in, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.Type()&fs.ModeSymlink == 0 {
			return nil
		}
		if real, err := filepath.EvalSymlinks(name); err == nil && real != in && !strings.HasPrefix(real, in+"/") {
			t.Errorf("%s leads to %s", name, real)
		}
		return nil
	})
}
