package files_test

import (
	"archive/tar"
	"context"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/client/sallyport"
	"sallyport/internal/remote/files"
)

var raceTime = flag.Duration("race-time", 2*time.Second, "how long links and directories are swapped on each userland")

// What is named is swapped without pause between a directory and a link that leads out:
// nothing outside is ever read, listed, written or removed.
func TestSwappedLinks(t *testing.T) {
	each(t, func(t *testing.T, tree *files.Tree, home string) {
		outside := t.TempDir()
		put(t, outside+"/f", "SECRET")
		put(t, outside+"/g", "SECRET")
		put(t, outside+"/sub/f", "SECRET")
		put(t, home+"/dir/f", "inside")
		put(t, home+"/dir/g", "inside")
		put(t, home+"/dir/sub/f", "inside")
		put(t, home+"/fdir", "inside")
		put(t, home+"/efile", "inside")
		put(t, home+"/other", "inside")
		must(t, os.Symlink(outside, home+"/swap"))
		must(t, os.Symlink(outside+"/f", home+"/fswap"))
		ctx, cancel := context.WithTimeout(t.Context(), *raceTime)
		defer cancel()
		done := make(chan struct{})
		go func() {
			defer close(done)
			for ctx.Err() == nil {
				_ = unix.Renameat2(unix.AT_FDCWD, home+"/dir", unix.AT_FDCWD, home+"/swap", unix.RENAME_EXCHANGE)
				_ = unix.Renameat2(unix.AT_FDCWD, home+"/fdir", unix.AT_FDCWD, home+"/fswap", unix.RENAME_EXCHANGE)
				_ = unix.Renameat2(unix.AT_FDCWD, home+"/efile", unix.AT_FDCWD, home+"/eswap", unix.RENAME_EXCHANGE)
			}
		}()
		defer func() { <-done }()
		r := swapped{tree, map[string]int{}}
		for ctx.Err() == nil {
			r.look(t)
			r.copy(t)
			put(t, home+"/dir2/f", "inside")
			// What is extracted over it has replaced it.
			must(t, os.Symlink(outside+"/f", home+"/elink"))
			must(t, os.Rename(home+"/elink", home+"/eswap"))
			r.change(t)
		}
		if left := names(t, outside); strings.Join(left, " ") != "f g sub" {
			t.Errorf("outside: %q", left)
		}
		if got, err := os.ReadFile(outside + "/f"); string(got) != "SECRET" {
			t.Errorf("outside: %q, %v", got, err)
		}
		if info, err := os.Stat(outside + "/f"); err != nil || info.Mode().Perm() != 0o644 {
			t.Errorf("outside: %v, %v", info, err)
		}
		if _, err := os.Stat(outside + "/sub/f"); err != nil {
			t.Errorf("outside: %v", err)
		}
		t.Log(r.counts)
	})
}

// swapped does all that there is to names that are swapped, and counts how it ends.
type swapped struct {
	*files.Tree
	counts map[string]int
}

func (s swapped) count(what string, err error) {
	s.counts[what+" "+string(sallyport.CodeOf(err))]++
}

func (s swapped) look(t *testing.T) {
	for _, path := range []string{"dir/f", "fdir"} {
		got, err := read(t, s.Tree, path)
		if strings.Contains(got, "SECRET") {
			t.Fatal("read from outside")
		}
		s.count("read", err)
	}
	s.count("list", s.List(t.Context(), files.Walk{Path: "dir", Depth: 9, Each: func(files.Entry) error { return nil }}))
	var archive strings.Builder
	_, _, err := s.Archive(t.Context(), "", &archive)
	if strings.Contains(archive.String(), "SECRET") {
		t.Fatal("archived from outside")
	}
	s.count("archive", err)
}

func (s swapped) copy(t *testing.T) {
	_, err := s.Copy(t.Context(), "dir", "copy", files.Placing{Recursive: true})
	s.count("copy", err)
	var archive strings.Builder
	if _, _, err := s.Archive(t.Context(), "copy", &archive); err == nil && strings.Contains(archive.String(), "SECRET") {
		t.Fatal("copied from outside")
	}
	_, err = s.Remove(t.Context(), "copy", true, nil)
	s.count("remove copy", err)
}

func (s swapped) change(t *testing.T) {
	_, _, err := s.Write(t.Context(), "dir/new", strings.NewReader("x"), 1, files.Put{})
	s.count("write", err)
	_, err = s.Remove(t.Context(), "dir/sub", true, nil)
	s.count("remove", err)
	_, _, err = s.Mkdir(t.Context(), "dir/sub", 0o755)
	s.count("mkdir", err)
	_, err = s.Move(t.Context(), "dir2", "dir/moved", files.Placing{})
	s.count("move", err)
	_, err = s.Extract(t.Context(), "dir/moved", pack(t, &tar.Header{Typeflag: tar.TypeReg, Name: "x/y"}))
	s.count("extract", err)
	_, err = s.Extract(t.Context(), "", pack(t, &tar.Header{Typeflag: tar.TypeReg, Name: "dir/g"}, &tar.Header{Typeflag: tar.TypeReg, Name: "dir/h"},
		&tar.Header{Typeflag: tar.TypeReg, Name: "efile"}, &tar.Header{Typeflag: tar.TypeReg, Name: "other"}))
	s.count("extract", err)
	_, err = s.Remove(t.Context(), "dir/moved", true, nil)
	s.count("remove moved", err)
	mode := uint32(0o600)
	_, err = s.Tree.Change(t.Context(), "fdir", files.Change{Mode: &mode}, nil)
	s.count("change", err)
}
