package files_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
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
// Many small files of a directory travel together where the machine's tar can do it, and
// nothing else tells: names, modes, times to the nanosecond, order, and what is left out.
func TestManySmallFiles(t *testing.T) {
	each(t, func(t *testing.T, tree *files.Tree, home string) {
		var want []string
		odd := []string{"-x", "--checkpoint-action=exec=sh", "a\n", "a\n\n", " ", "*", "\\101", "@x", "x:y", "\xff\xfe", "é", strings.Repeat("n", 255), "'\"$(x)`", "+"}
		for i, name := range odd {
			put(t, home+"/d/"+name, strings.Repeat("x", i))
			must(t, os.Chmod(home+"/d/"+name, fs.FileMode(0o600+i%8)))
			must(t, os.Chtimes(home+"/d/"+name, time.Time{}, time.Unix(1_600_000_000+int64(i), 123_456_789)))
			want = append(want, fmt.Sprintf("d/%s %o %s", name, 0o600+i%8, strings.Repeat("x", i)))
		}
		put(t, home+"/d/+sub/f", "1")
		put(t, home+"/d/+sub/g", "2")
		want = append(want, "d/+sub/f 644 1", "d/+sub/g 644 2")
		must(t, os.Link(home+"/d/ ", home+"/d/hard"))
		want = append(want, "d/hard 604 xxxx")
		must(t, os.Symlink("*", home+"/d/link"))
		must(t, exec.Command("mkfifo", home+"/d/fifo").Run())

		var archive bytes.Buffer
		n, skipped, err := tree.Archive(t.Context(), "", &archive)
		if n != int64(len(want))+3 || skipped != 1 || err != nil {
			t.Fatalf("%d, %d, %v", n, skipped, err)
		}
		if got := namesIn(t, archive.Bytes()); !slices.IsSortedFunc(got, func(a, b string) int { return slices.Compare(strings.Split(a, "/"), strings.Split(b, "/")) }) {
			t.Errorf("order: %q", got)
		}
		done, err := tree.Extract(t.Context(), "copy", bytes.NewReader(archive.Bytes()))
		if done.Entries != n || err != nil {
			t.Fatalf("%+v, %v", done, err)
		}
		for _, at := range []string{home, home + "/copy"} {
			for _, w := range want {
				name, content := w[:strings.LastIndexByte(w[:strings.LastIndexByte(w, ' ')], ' ')], w[strings.LastIndexByte(w, ' ')+1:]
				got, err := os.ReadFile(at + "/" + name)
				info, _ := os.Stat(at + "/" + name)
				if err != nil || string(got) != content || fmt.Sprintf("%s %o %s", name, info.Mode().Perm(), got) != w {
					t.Errorf("%s: %q, want %q; %v", at, got, w, err)
				}
				keepsFractions := at == home || !strings.HasSuffix(t.Name(), "/busybox") // whose touch takes none
				if info != nil && keepsFractions && strings.Count(name, "/") == 1 && info.ModTime().Nanosecond() != 123_456_789 {
					t.Errorf("%q: %s", name, info.ModTime())
				}
			}
		}
		if got := names(t, home+"/copy/d"); len(got) != len(odd)+3 {
			t.Errorf("left behind: %q", got)
		}
	})
}

// A file that became shorter while tar read it, which pads it, and a tar that broke off cut
// the archive; what tar says of others doesn't.
func TestTarComplains(t *testing.T) {
	real, err := exec.LookPath("tar")
	must(t, err)
	for says, ok := range map[string]bool{
		`echo "tar: a: File shrank by 1 byte; padding with zeros" >&2; exit 1`:               false,
		`echo "tar: a: Read error at byte 0, while reading 2 bytes: Input/output error" >&2`: false,
		`kill -9 $$`: false,
		`echo "tar: a: file changed as we read it" >&2; exit 1`:     true,
		`echo "tar: c: Cannot open: Permission denied" >&2; exit 2`: true,
	} {
		home, bin := t.TempDir(), t.TempDir()
		put(t, home+"/d/a", "a")
		put(t, home+"/d/b", "b")
		script := "#!/bin/sh\n[ \"$1\" != --version ] || { echo 'tar (GNU tar) 1.35'; exit; }\n" + real + " \"$@\"\n" + says + "\n"
		must(t, os.WriteFile(bin+"/tar", []byte(script), 0o755))
		tree := &files.Tree{Machine: shell{sh: []string{"/bin/sh"}, path: bin + ":" + os.Getenv("PATH"), home: home}}
		var archive bytes.Buffer
		if n, _, err := tree.Archive(t.Context(), "d", &archive); (err == nil) != ok || ok && n != 2 {
			t.Errorf("%s: %d, %v", says, n, err)
		}
	}
}

func namesIn(t *testing.T, archive []byte) (names []string) {
	t.Helper()
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return names
		}
		must(t, err)
		names = append(names, strings.TrimSuffix(h.Name, "/"))
	}
}

// What is in the way of one of several files is told as ever, those before it are there, and
// a link is followed.
func TestInTheWay(t *testing.T) {
	each(t, func(t *testing.T, tree *files.Tree, home string) {
		put(t, home+"/d/target", "old")
		must(t, os.Symlink("target", home+"/d/b"))
		must(t, os.MkdirAll(home+"/e/b", 0o755))
		put(t, home+"/e/c", "old")
		three := []*tar.Header{{Typeflag: tar.TypeReg, Name: "a"}, {Typeflag: tar.TypeReg, Name: "b"}, {Typeflag: tar.TypeReg, Name: "c"}}
		done, err := tree.Extract(t.Context(), "d", pack(t, three...))
		if got, _ := os.ReadFile(home + "/d/target"); done.Entries != 3 || done.Bytes != 3 || err != nil || string(got) != "x" {
			t.Errorf("by a link: %+v, %v, %q", done, err, got)
		}
		done, err = tree.Extract(t.Context(), "e", pack(t, three...))
		wantCode(t, "a directory", err, sallyport.CodeIsADirectory)
		if got, _ := os.ReadFile(home + "/e/c"); done.Entries != 1 || done.Bytes != 2 || string(got) != "old" {
			t.Errorf("a directory: %+v, %q", done, got)
		}
		twice := append(three, &tar.Header{Typeflag: tar.TypeReg, Name: "a"}, &tar.Header{Typeflag: tar.TypeLink, Name: "h", Linkname: "c"})
		if done, err = tree.Extract(t.Context(), "f", pack(t, twice...)); done.Entries != 5 || err != nil {
			t.Errorf("twice: %+v, %v", done, err)
		}
		bad := append(three, &tar.Header{Typeflag: tar.TypeReg, Name: "../x"})
		done, err = tree.Extract(t.Context(), "g", pack(t, bad...))
		wantCode(t, "a name that leads out", err, sallyport.CodeInvalidArchive)
		if got := names(t, home+"/g"); done.Entries != 3 || strings.Join(got, " ") != "a b c" {
			t.Errorf("a name that leads out: %+v, %q", done, got)
		}
	})
}

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
