package files_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/remote/files"
)

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
