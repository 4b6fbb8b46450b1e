package files_test

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sallyport/client/sallyport"
	"sallyport/internal/remote/files"
	_ "sallyport/test/apart"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shell is a machine that is this one, with another /bin/sh and another userland.
type shell struct {
	sh   []string // in place of /bin/sh
	path string   // PATH; empty is this process's
	home string
}

func (s shell) Run(ctx context.Context, argv []string, stdin io.Reader, stdout io.Writer) error {
	cmd := exec.CommandContext(ctx, s.sh[0], append(s.sh[1:], argv[1:]...)...)
	cmd.Dir, cmd.Stdout = s.home, stdout
	cmd.Env = []string{"HOME=" + s.home, "PATH=" + s.path}
	if stdin == nil {
		stdin = strings.NewReader("")
	}
	if testing.Verbose() {
		cmd.Stderr = os.Stderr
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	var feeding sync.WaitGroup
	feeding.Go(func() {
		_, _ = io.Copy(in, stdin)
		in.Close()
	})
	err = cmd.Wait()
	if closer, ok := stdin.(io.Closer); ok {
		closer.Close()
	}
	feeding.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.Exited() {
		return nil
	}
	return err
}

// machines are the userlands that this machine has.
func machines(t *testing.T) map[string]shell {
	t.Helper()
	all := map[string]shell{"sh": {sh: []string{"/bin/sh"}, path: os.Getenv("PATH")}, "bash": {sh: []string{"/bin/bash"}, path: os.Getenv("PATH")}}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal("busybox is not installed: run scripts/setup")
	}
	bin := t.TempDir()
	if out, err := exec.Command(busybox, "--install", "-s", bin).CombinedOutput(); err != nil {
		t.Fatalf("busybox --install: %v: %s", err, out)
	}
	all["busybox"] = shell{sh: []string{busybox, "sh"}, path: bin}
	return all
}

// each runs test on every userland, in a home of its own.
func each(t *testing.T, test func(t *testing.T, tree *files.Tree, home string)) {
	for name, m := range machines(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m.home = t.TempDir()
			test(t, &files.Tree{Machine: m}, m.home)
		})
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantCode(t testing.TB, what string, err error, code sallyport.Code) {
	t.Helper()
	if got := sallyport.CodeOf(err); got != code {
		t.Errorf("%s: %v (%s), want %s", what, err, got, code)
	}
}

func put(t testing.TB, path, content string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(content), 0o644))
}

func read(t *testing.T, tree *files.Tree, path string) (string, error) {
	t.Helper()
	var b strings.Builder
	_, err := tree.Read(t.Context(), path, false, func(e files.Entry, _ []byte) (files.Span, io.Writer, error) {
		return files.Span{Length: e.Size}, &b, nil
	})
	return b.String(), err
}

func TestRead(t *testing.T) {
	each(t, func(t *testing.T, tree *files.Tree, home string) {
		odd := "a\n'\"$(x) \xff\\"
		put(t, home+"/dir/"+odd, "0123456789")
		put(t, home+"/empty", "")
		must(t, os.Symlink("dir", home+"/in"))
		must(t, os.Symlink("/etc/passwd", home+"/out"))
		must(t, os.Symlink("/etc", home+"/outdir"))
		must(t, os.Symlink("nowhere", home+"/dangling"))
		must(t, os.Symlink("/nowhere/at/all", home+"/outgone"))
		for path, want := range map[string]string{"dir/" + odd: "0123456789", "in/" + odd: "0123456789", "empty": ""} {
			if got, err := read(t, tree, path); got != want || err != nil {
				t.Errorf("%q: %q, %v", path, got, err)
			}
		}
		for path, code := range map[string]sallyport.Code{
			"out": sallyport.CodeInvalidPath, "outdir/passwd": sallyport.CodeInvalidPath, "outdir/nothing": sallyport.CodeInvalidPath,
			"outdir": sallyport.CodeInvalidPath, "outgone": sallyport.CodeInvalidPath, "dangling": sallyport.CodeFileNotFound,
			"nothing": sallyport.CodeFileNotFound, "no/thing": sallyport.CodeFileNotFound, "empty/x": sallyport.CodeNotADirectory,
			"dir": sallyport.CodeIsADirectory, "": sallyport.CodeIsADirectory,
		} {
			_, err := read(t, tree, path)
			wantCode(t, path, err, code)
		}
		var b strings.Builder
		n, err := tree.Read(t.Context(), "dir/"+odd, true, func(_ files.Entry, head []byte) (files.Span, io.Writer, error) {
			return files.Span{Offset: 3, Length: 4}, &b, nil
		})
		if b.String() != "3456" || n != 4 || err != nil {
			t.Errorf("a span: %q, %d, %v", b.String(), n, err)
		}
		stop := errors.New("not that one")
		if _, err := tree.Read(t.Context(), "empty", true, func(_ files.Entry, head []byte) (files.Span, io.Writer, error) { return files.Span{}, nil, stop }); !errors.Is(err, stop) {
			t.Errorf("stopped: %v", err)
		}
	})
}

func TestRoot(t *testing.T) {
	each(t, func(t *testing.T, tree *files.Tree, home string) {
		put(t, home+"/a b/f", "below")
		put(t, home+"/g", "above")
		for _, root := range []string{"a b", home + "/a b"} {
			tree.Root = root
			if got, err := read(t, tree, "f"); got != "below" || err != nil {
				t.Errorf("%s: %q, %v", root, got, err)
			}
			must(t, os.RemoveAll(home+"/a b/up"))
			must(t, os.Symlink("../g", home+"/a b/up"))
			_, err := read(t, tree, "up")
			wantCode(t, "up", err, sallyport.CodeInvalidPath)
		}
		for _, root := range []string{"nowhere", "g"} {
			tree.Root = root
			_, err := read(t, tree, "f")
			wantCode(t, root, err, sallyport.CodeInvalidRoot)
		}
		tree.Root = "/"
		if got, err := read(t, tree, strings.TrimPrefix(home, "/")+"/g"); got != "above" || err != nil {
			t.Errorf("/: %q, %v", got, err)
		}
	})
}

func TestStat(t *testing.T) {
	each(t, func(t *testing.T, tree *files.Tree, home string) {
		put(t, home+"/f", "abc")
		when := time.Date(2026, 1, 2, 3, 4, 5, 678901234, time.UTC)
		must(t, os.Chtimes(home+"/f", when, when))
		must(t, os.Symlink("f\n", home+"/l"))
		e, err := tree.Stat(t.Context(), "f")
		if err != nil || e.Type != files.File || e.Size != 3 || e.Mode != 0o644 || !e.ModTime.Equal(when) || len(e.ETag) < 20 {
			t.Errorf("%+v, %v", e, err)
		}
		if e, err = tree.Stat(t.Context(), "l"); err != nil || e.Type != files.Link || e.Target != "f\n" || e.ETag != "" {
			t.Errorf("%+v, %v", e, err)
		}
		if e, err = tree.Stat(t.Context(), ""); err != nil || e.Type != files.Dir || e.Path != "" {
			t.Errorf("%+v, %v", e, err)
		}
		_, err = tree.Stat(t.Context(), "nothing")
		wantCode(t, "nothing", err, sallyport.CodeFileNotFound)
	})
}

func TestWrite(t *testing.T) {
	each(t, func(t *testing.T, tree *files.Tree, home string) {
		write := func(path, content string, put files.Put) (files.Entry, bool, error) {
			size := int64(len(content))
			if len(content)%2 == 1 {
				size = -1
			}
			return tree.Write(t.Context(), path, strings.NewReader(content), size, put)
		}
		e, created, err := write("new/dir/f", "hello", files.Put{})
		if err != nil || !created || e.Size != 5 || e.Mode != 0o644 || e.Path != "new/dir/f" {
			t.Fatalf("%+v, %v, %v", e, created, err)
		}
		before := e.ETag
		mode, when := uint32(0o750), time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		e, created, err = write("new/dir/f", "hello!", files.Put{Mode: &mode, ModTime: &when})
		if err != nil || created || e.Mode != 0o750 || !e.ModTime.Equal(when) || e.ETag == before {
			t.Fatalf("%+v, %v, %v", e, created, err)
		}
		if e, _, err = write("new/dir/f", "", files.Put{}); err != nil || e.Mode != 0o750 || e.Size != 0 {
			t.Errorf("the old mode is kept: %+v, %v", e, err)
		}
		must(t, os.Symlink("dir/g", home+"/new/link"))
		must(t, os.Symlink("/tmp/out", home+"/new/out"))
		if _, created, err = write("new/link", "by a link", files.Put{}); err != nil || !created {
			t.Errorf("by a link: %v, %v", created, err)
		}
		if got, err := os.ReadFile(home + "/new/dir/g"); string(got) != "by a link" {
			t.Errorf("by a link: %q, %v", got, err)
		}
		for path, code := range map[string]sallyport.Code{
			"new/out": sallyport.CodeInvalidPath, "new": sallyport.CodeIsADirectory, "new/dir/f/x": sallyport.CodeNotADirectory,
		} {
			_, _, err := write(path, "x", files.Put{})
			wantCode(t, path, err, code)
		}
		_, _, err = write("new/dir/f", "x", files.Put{New: true})
		wantCode(t, "new", err, sallyport.CodeExists)
		if _, created, err = write("new/dir/h", "x", files.Put{New: true}); err != nil || !created {
			t.Errorf("new: %v, %v", created, err)
		}
		broken := errors.New("the caller went")
		_, _, err = tree.Write(t.Context(), "new/dir/f", io.MultiReader(strings.NewReader("half"), failing{broken}), 100, files.Put{})
		if !errors.Is(err, broken) {
			t.Errorf("broken: %v", err)
		}
		no := errors.New("no")
		_, _, err = write("new/dir/f", "other", files.Put{Ready: func(old *files.Entry) error {
			if old == nil || old.Size != 0 {
				t.Errorf("old %+v", old)
			}
			return no
		}})
		if !errors.Is(err, no) {
			t.Errorf("not ready: %v", err)
		}
		if left := names(t, home+"/new/dir"); !slices.Equal(left, []string{"f", "g", "h"}) {
			t.Errorf("left %q", left)
		}
	})
}

type failing struct{ error }

func (f failing) Read([]byte) (int, error) { return 0, f.error }

func TestResume(t *testing.T) {
	each(t, func(t *testing.T, tree *files.Tree, home string) {
		stage := files.StagePrefix + "upload-x"
		broken := errors.New("the caller went")
		_, _, err := tree.Write(t.Context(), "f", io.MultiReader(strings.NewReader("half"), failing{broken}), -1, files.Put{Stage: stage})
		if !errors.Is(err, broken) {
			t.Fatal(err)
		}
		_, _, err = tree.Write(t.Context(), "f", strings.NewReader(" and"), -1, files.Put{Stage: stage, Resume: true, Offset: 3})
		wantCode(t, "offset", err, sallyport.CodeUploadOffsetMismatch)
		if known, _ := errors.AsType[*sallyport.Error](err); known.UploadOffset == nil || *known.UploadOffset != 4 {
			t.Errorf("%+v", known)
		}
		if _, _, err = tree.Write(t.Context(), "f", strings.NewReader(" and half"), -1, files.Put{Stage: stage, Resume: true, Offset: 4}); err != nil {
			t.Fatal(err)
		}
		if got, _ := os.ReadFile(home + "/f"); string(got) != "half and half" {
			t.Errorf("%q", got)
		}
	})
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func TestList(t *testing.T) {
	each(t, func(t *testing.T, tree *files.Tree, home string) {
		for _, f := range []string{"b/2", "b/1\n.x", "b/.hidden", "b/sub/deep/er", "a", "b.txt", "b/sub/.sallyport-own", "\xff * [a]\\"} {
			put(t, home+"/"+f, f)
		}
		must(t, os.Symlink("b", home+"/link"))
		must(t, os.Mkdir(home+"/empty", 0o755))
		list := func(w files.Walk) (got []string) {
			w.Each = func(e files.Entry) error {
				got = append(got, fmt.Sprintf("%s %s %d %s", e.Path, e.Type, e.Size, e.Target))
				return nil
			}
			must(t, tree.List(t.Context(), w))
			return got
		}
		all := list(files.Walk{Depth: 64})
		want := []string{
			"a file 1 ", "b dir 0 ", "b/.hidden file 9 ", "b/1\n.x file 6 ", "b/2 file 3 ", "b/sub dir 0 ", "b/sub/deep dir 0 ", "b/sub/deep/er file 13 ",
			"b.txt file 5 ", "empty dir 0 ", "link link 0 b", "\xff * [a]\\ file 8 ",
		}
		for i, w := range want {
			if i >= len(all) || !strings.HasPrefix(all[i], w) {
				t.Fatalf("%d: got %q\nwant %q", i, all, want)
			}
		}
		if below := list(files.Walk{Path: "link/sub", Depth: 1}); !slices.Equal(below, []string{"link/sub/deep dir 0 "}) {
			t.Errorf("below a link: %q", below)
		}
		for i := range all {
			var first string
			n := 0
			must(t, tree.List(t.Context(), files.Walk{Depth: 64, Each: func(e files.Entry) error {
				if n++; n > i {
					first = e.Path
					return files.ErrStop
				}
				return nil
			}}))
			if rest := list(files.Walk{Depth: 64, After: first}); !slices.Equal(rest, all[i+1:]) {
				t.Errorf("behind %q: %q", first, rest)
			}
		}
		if os.Getuid() != 0 {
			must(t, os.Chmod(home+"/b/sub", 0))
			defer os.Chmod(home+"/b/sub", 0o755)
		}
	})
}

// A directory is listed a chunk at a time, however its names look, and whatever else of them
// comes and goes.
func TestListInChunks(t *testing.T) {
	each(t, func(t *testing.T, tree *files.Tree, home string) {
		odd := []string{"!", "!a", "-", "-n", ".!", ".-", "..a", ".a", ".sallyport-1", ".sallyport-2", ".\xff", "0", "*", "?", "\\", " ", "\n", "\nx 1", "a", "a b", "a\n", "é", "\xff", "\xff\xfe", "$x", "'", "\"", strings.Repeat("n", 255)}
		var want []string
		for _, dir := range []string{"d/sub", "d"} {
			must(t, os.MkdirAll(home+"/"+dir, 0o755))
			for i, name := range odd {
				if dir != "d" && i%7 > 0 {
					continue
				}
				if i%5 == 0 {
					must(t, os.Symlink("to "+name, home+"/"+dir+"/"+name))
				} else {
					put(t, home+"/"+dir+"/"+name, name)
				}
				if !files.IsOwn(name) {
					want = append(want, dir+"/"+name)
				}
			}
		}
		want = append(want, "d/sub")
		slices.SortFunc(want, func(a, b string) int { return slices.Compare(strings.Split(a, "/"), strings.Split(b, "/")) })
		for _, chunk := range []int{4, 0} {
			var got []string
			list := func(after string, most int) {
				must(t, tree.List(t.Context(), files.Walk{Path: "d", Depth: 2, Chunk: chunk, After: after, Each: func(e files.Entry) error {
					if most--; most < 0 {
						return files.ErrStop
					}
					if (e.Type == files.Link) != (e.Target == "to "+e.Path[strings.LastIndexByte(e.Path, '/')+1:]) {
						t.Errorf("%+v", e)
					}
					got = append(got, e.Path)
					return nil
				}}))
			}
			list("", 20)
			put(t, home+"/d/\x01", "before what is listed by now")
			must(t, os.Remove(home+"/d/\x01"))
			list(got[len(got)-1], len(want))
			if !slices.Equal(got, want) {
				t.Errorf("chunks of %d: %q, want %q", chunk, got, want)
			}
		}
	})
}

// A walk that begins behind a path asks a machine for nothing in front of it.
func TestListAsks(t *testing.T) {
	for _, w := range []files.Walk{
		{After: "a b/c/x"}, {Path: "p", After: "p/a b/c/x"}, {Path: "p/q", After: "p/q/a b/c/x"},
	} {
		m := &asked{}
		w.Depth, w.Chunk, w.Each = 3, 5, func(files.Entry) error { return nil }
		must(t, (&files.Tree{Machine: m}).List(t.Context(), w))
		if got, want := strings.Join(m.lines, ", "), `d . 6 ./a\0040b, d a\0040b 6 ./c, d a\0040b/c 6 ./x`; got != want {
			t.Errorf("behind %q it asks %q, want %q", w.After, got, want)
		}
	}
}

// asked is a machine that has directories "a b", c and x, each in the one before, and keeps what
// it is asked for.
type asked struct{ lines []string }

func (a *asked) Run(_ context.Context, _ []string, stdin io.Reader, stdout io.Writer) error {
	_, err := io.WriteString(stdout, "ok\n")
	for in := bufio.NewScanner(stdin); err == nil && in.Scan(); {
		a.lines = append(a.lines, in.Text())
		name := []string{"a b", "c", "x", "none"}[min(len(a.lines)-1, 3)]
		_, err = io.WriteString(stdout, "yes\n./"+name+strings.Replace(" "+fileStat, "81a4", "41ed", 1)+"\n//\n\x00\x00")
	}
	return nil
}

// A machine that lists the same again and again is not listened to.
func TestListGoesRound(t *testing.T) {
	listed := 0
	err := (&files.Tree{Machine: goesRound{}}).List(t.Context(), files.Walk{Depth: 1, Each: func(files.Entry) error {
		listed++
		return nil
	}})
	wantCode(t, "round", err, sallyport.CodeFileIO)
	if listed != 1 {
		t.Errorf("%d entries", listed)
	}
}

// goesRound is a machine that answers whatever it is asked for with the file a, and that there
// is more behind it.
type goesRound struct{}

func (goesRound) Run(_ context.Context, _ []string, stdin io.Reader, stdout io.Writer) error {
	_, err := io.WriteString(stdout, "ok\n")
	for asked := bufio.NewScanner(stdin); err == nil && asked.Scan(); {
		_, err = io.WriteString(stdout, "yes\n./a "+fileStat+"\n//\n\x00a\x00")
	}
	return err
}

func TestChange(t *testing.T) {
	each(t, func(t *testing.T, tree *files.Tree, home string) {
		put(t, home+"/d/f", "x")
		must(t, os.Symlink("d/f", home+"/l"))
		mode, when := uint32(0o600), time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
		e, err := tree.Change(t.Context(), "l", files.Change{Mode: &mode, ModTime: &when}, nil)
		if err != nil || e.Mode != mode || !e.ModTime.Equal(when) || e.Type != files.File {
			t.Errorf("%+v, %v", e, err)
		}
		mode = 0o700
		if e, err = tree.Change(t.Context(), "d", files.Change{Mode: &mode}, nil); err != nil || e.Mode != mode || e.Type != files.Dir {
			t.Errorf("%+v, %v", e, err)
		}
		_, err = tree.Change(t.Context(), "none", files.Change{}, nil)
		wantCode(t, "none", err, sallyport.CodeFileNotFound)
	})
}

func TestMkdir(t *testing.T) {
	each(t, func(t *testing.T, tree *files.Tree, home string) {
		e, found, err := tree.Mkdir(t.Context(), "a/b/c", 0o750)
		if err != nil || found || e.Mode != 0o750 || e.Type != files.Dir {
			t.Errorf("%+v, %v, %v", e, found, err)
		}
		if e, found, err = tree.Mkdir(t.Context(), "a/b", 0o700); err != nil || !found || e.Mode != 0o755 {
			t.Errorf("%+v, %v, %v", e, found, err)
		}
		put(t, home+"/f", "x")
		_, _, err = tree.Mkdir(t.Context(), "f", 0o755)
		wantCode(t, "f", err, sallyport.CodeExists)
	})
}

func TestRemove(t *testing.T) {
	each(t, func(t *testing.T, tree *files.Tree, home string) {
		for _, f := range []string{"d/1", "d/.2", "d/e/3", "d/e/\n4", "keep/f"} {
			put(t, home+"/"+f, f)
		}
		must(t, os.Symlink("../keep", home+"/d/link"))
		_, err := tree.Remove(t.Context(), "d", false, nil)
		wantCode(t, "d", err, sallyport.CodeNotEmpty)
		if n, err := tree.Remove(t.Context(), "d", true, nil); err != nil || n != 7 {
			t.Errorf("%d, %v", n, err)
		}
		if left := names(t, home); !slices.Equal(left, []string{"keep"}) {
			t.Errorf("left %q", left)
		}
		if _, err := os.Stat(home + "/keep/f"); err != nil {
			t.Error(err)
		}
		_, err = tree.Remove(t.Context(), "d", false, nil)
		wantCode(t, "gone", err, sallyport.CodeFileNotFound)
	})
}

func TestMove(t *testing.T) {
	each(t, func(t *testing.T, tree *files.Tree, home string) {
		move := func(from, to string, overwrite bool) (files.Entry, error) {
			return tree.Move(t.Context(), from, to, files.Placing{Overwrite: overwrite})
		}
		put(t, home+"/f", "content")
		put(t, home+"/d/x", "x")
		must(t, os.Symlink("f", home+"/l"))
		if e, err := move("f", "new/place/f", false); err != nil || e.Path != "new/place/f" || e.Size != 7 {
			t.Errorf("%+v, %v", e, err)
		}
		if e, err := move("l", "new/l", false); err != nil || e.Type != files.Link {
			t.Errorf("a link: %+v, %v", e, err)
		}
		if e, err := move("d", "new/d", false); err != nil || e.Type != files.Dir {
			t.Errorf("a directory: %+v, %v", e, err)
		}
		_, err := move("new", "new/d/in/itself", false)
		wantCode(t, "into itself", err, sallyport.CodeInvalidTo)
		put(t, home+"/g", "other")
		_, err = move("g", "new/place/f", false)
		wantCode(t, "taken", err, sallyport.CodeExists)
		for _, overwrite := range []bool{false, true} {
			_, err = move("g", "new/d", overwrite)
			wantCode(t, "over a directory", err, sallyport.CodeExists)
			_, err = move("new/d", "g", false)
			wantCode(t, "a directory over a file", err, sallyport.CodeExists)
		}
		if _, err = move("g", "new/place/f", true); err != nil {
			t.Error(err)
		}
		if got, _ := os.ReadFile(home + "/new/place/f"); string(got) != "other" {
			t.Errorf("%q", got)
		}
		_, err = move("nothing", "n", false)
		wantCode(t, "nothing", err, sallyport.CodeFileNotFound)
	})
}

func TestCopy(t *testing.T) {
	each(t, func(t *testing.T, tree *files.Tree, home string) {
		put(t, home+"/d/a\n", "aa")
		put(t, home+"/d/sub/b", "bbb")
		must(t, os.Symlink("/etc", home+"/d/sub/l"))
		must(t, os.Chmod(home+"/d/sub/b", 0o750))
		when := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
		must(t, os.Chtimes(home+"/d/sub/b", when, when))
		_, err := tree.Copy(t.Context(), "d", "e", files.Placing{})
		wantCode(t, "a directory", err, sallyport.CodeIsADirectory)
		if _, err := tree.Copy(t.Context(), "d", "new/e", files.Placing{Recursive: true}); err != nil {
			t.Fatal(err)
		}
		var got []string
		must(t, tree.List(t.Context(), files.Walk{Path: "new", Depth: 9, Each: func(e files.Entry) error {
			got = append(got, fmt.Sprintf("%q %s %o %s", e.Path, e.Type, e.Mode, e.Target))
			return nil
		}}))
		if want := []string{`"new/e" dir 755 `, `"new/e/a\n" file 644 `, `"new/e/sub" dir 755 `, `"new/e/sub/b" file 750 `, `"new/e/sub/l" link 777 /etc`}; !slices.Equal(got, want) {
			t.Errorf("got %q", got)
		}
		if info, err := os.Stat(home + "/new/e/sub/b"); err != nil || !info.ModTime().Equal(when) {
			t.Errorf("time %v, %v", info, err)
		}
		_, err = tree.Copy(t.Context(), "d", "new/e", files.Placing{Recursive: true, Overwrite: true})
		wantCode(t, "over a directory", err, sallyport.CodeExists)
		_, err = tree.Copy(t.Context(), "d", "d/x", files.Placing{Recursive: true})
		wantCode(t, "into itself", err, sallyport.CodeInvalidTo)
		if e, err := tree.Copy(t.Context(), "d/sub/b", "f", files.Placing{}); err != nil || e.Size != 3 || e.Mode != 0o750 {
			t.Errorf("%+v, %v", e, err)
		}
		if left := names(t, home); !slices.Equal(left, []string{"d", "f", "new"}) {
			t.Errorf("left %q", left)
		}
	})
}

func TestSearch(t *testing.T) {
	each(t, func(t *testing.T, tree *files.Tree, home string) {
		put(t, home+"/d/a", "one\ntwo -e x\nthree\ntwo -e x"+strings.Repeat("y", 600)+"\n")
		put(t, home+"/d/b", "nothing")
		put(t, home+"/d/bin", "\x00two -e x\n")
		put(t, home+"/d/late", strings.Repeat("a", 9000)+"\x00\ntwo -e x\n")
		var got []string
		must(t, tree.Search(t.Context(), files.Walk{Path: "d", Depth: 1, Each: func(files.Entry) error { return nil }}, "two -e x", func(e files.Entry, m []files.Match) error {
			got = append(got, fmt.Sprintf("%s %d %d %d", e.Path, len(m), m[0].Line, len(m[len(m)-1].Text)))
			return nil
		}))
		if want := []string{"d/a 2 2 512", "d/late 1 2 8"}; !slices.Equal(got, want) {
			t.Errorf("got %q", got)
		}
	})
}

func TestArchive(t *testing.T) {
	each(t, func(t *testing.T, tree *files.Tree, home string) {
		put(t, home+"/d/a\n", "aa")
		put(t, home+"/d/sub/empty", "")
		put(t, home+"/d/sub/big", strings.Repeat("0123456789abcdef", 20000))
		must(t, os.Chmod(home+"/d/sub/big", 0o640))
		must(t, os.Symlink("sub", home+"/d/l"))
		must(t, os.Symlink("/etc/passwd", home+"/d/out"))
		must(t, exec.Command("mkfifo", home+"/d/fifo").Run())
		var archive bytes.Buffer
		n, skipped, err := tree.Archive(t.Context(), "d", &archive)
		if n != 6 || skipped != 1 || err != nil {
			t.Fatalf("%d, %d, %v", n, skipped, err)
		}
		whole := archive.Bytes()
		done, err := tree.Extract(t.Context(), "new/place", bytes.NewReader(whole))
		if err != nil || done.Entries != 5 || done.Bytes != 320002 || done.Skipped != 1 || done.SkippedEntries[0] != (files.Skip{Path: "out", Reason: files.SkipLinkOut}) {
			t.Fatalf("%+v, %v", done, err)
		}
		for _, dir := range []string{"d", "new/place"} {
			var got []string
			must(t, tree.List(t.Context(), files.Walk{Path: dir, Depth: 9, Each: func(e files.Entry) error {
				if e.Type != files.Other && e.Path != "d/out" {
					got = append(got, fmt.Sprintf("%q %s %o %d %s %d", strings.TrimPrefix(e.Path, dir), e.Type, e.Mode, e.Size, e.Target, e.ModTime.Unix()))
				}
				return nil
			}}))
			if len(got) != 5 || !strings.Contains(strings.Join(got, "\n"), `"/sub/big" file 640 320000`) {
				t.Errorf("%s: %q", dir, got)
			}
		}
		if got, _ := os.ReadFile(home + "/new/place/sub/big"); len(got) != 320000 {
			t.Errorf("%d bytes", len(got))
		}
		for _, cut := range []int{512, 700, len(whole) - 1024, len(whole) - 1} {
			_, err := tree.Extract(t.Context(), "cut", bytes.NewReader(whole[:cut]))
			if cut == len(whole)-1 {
				continue
			}
			wantCode(t, fmt.Sprint("cut at ", cut), err, sallyport.CodeInvalidArchive)
		}
	})
}

// pack makes a tar of headers; each file holds an x.
func pack(t testing.TB, headers ...*tar.Header) io.Reader {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		if h.Typeflag == tar.TypeReg {
			h.Size = 1
		}
		h.Mode = 0o644
		must(t, w.WriteHeader(h))
		if h.Typeflag == tar.TypeReg {
			_, err := w.Write([]byte("x"))
			must(t, err)
		}
	}
	must(t, w.Close())
	return &b
}

// An archive that was made to lead out.
func TestHostileArchive(t *testing.T) {
	each(t, func(t *testing.T, tree *files.Tree, home string) {
		for _, name := range []string{"/etc/x", "../x", "a/../../x", ".sallyport/x", "a/.sallyport-x"} {
			_, err := tree.Extract(t.Context(), "d", pack(t, &tar.Header{Typeflag: tar.TypeReg, Name: name}))
			wantCode(t, name, err, sallyport.CodeInvalidArchive)
		}
		outside := t.TempDir()
		must(t, os.MkdirAll(home+"/d", 0o755))
		must(t, os.Symlink(outside, home+"/d/there"))
		_, err := tree.Extract(t.Context(), "d", pack(t, &tar.Header{Typeflag: tar.TypeReg, Name: "there/x"}))
		wantCode(t, "by a link that was there", err, sallyport.CodeInvalidPath)
		done, err := tree.Extract(t.Context(), "d", pack(t,
			&tar.Header{Typeflag: tar.TypeSymlink, Name: "up", Linkname: "../.."},
			&tar.Header{Typeflag: tar.TypeSymlink, Name: "in", Linkname: "../d"},
			&tar.Header{Typeflag: tar.TypeReg, Name: "in/x"},
			&tar.Header{Typeflag: tar.TypeLink, Name: "hard", Linkname: "in/x"},
			&tar.Header{Typeflag: tar.TypeLink, Name: "hard2", Linkname: "/etc/passwd"},
			&tar.Header{Typeflag: tar.TypeFifo, Name: "fifo"},
		))
		if err != nil || done.Entries != 3 || done.Skipped != 3 {
			t.Errorf("%+v, %v", done, err)
		}
		if left := names(t, outside); len(left) != 0 {
			t.Errorf("outside: %q", left)
		}
		if got := names(t, home+"/d"); !slices.Equal(got, []string{"hard", "in", "there", "x"}) {
			t.Errorf("%q", got)
		}
	})
}
