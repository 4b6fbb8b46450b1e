package files_test

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	"sallyport/internal/remote/files"
)

// says is a machine that prints a text, whatever it is asked.
type says string

func (s says) Run(_ context.Context, _ []string, stdin io.Reader, stdout io.Writer) error {
	if closer, ok := stdin.(io.Closer); ok {
		defer closer.Close()
	}
	_, err := io.WriteString(stdout, string(s))
	return err
}

// fileStat is what a machine tells of a file of three bytes.
const fileStat = "81a4 3 0 0 1 2 2026-01-02 03:04:05.678 +0000 2026-01-02 03:04:05.678 +0000"

// sender is a machine with a directory of the files a and b, which it sends together as it
// likes: first "yes", and then ends, if anybody has asked.
type sender struct {
	packed string
	ends   bool
}

func (s sender) Run(_ context.Context, _ []string, stdin io.Reader, stdout io.Writer) error {
	if _, err := io.WriteString(stdout, "ok\n"); err != nil {
		return err
	}
	for asked := bufio.NewScanner(stdin); asked.Scan(); {
		answer := "no missing\n"
		switch asked.Text()[0] {
		case 'd':
			answer = "yes\n./a " + fileStat + "\n./b " + fileStat + "\n//\n\x00\x00"
		case 't':
			answer = "yes\n" + s.packed
		}
		if _, err := io.WriteString(stdout, answer); err != nil {
			return err
		}
		if s.ends && asked.Text()[0] == 't' {
			return nil
		}
	}
	return nil
}

// padded is a tar as a machine sends it, and the line behind it.
func padded(t testing.TB, headers ...*tar.Header) string {
	packed, err := io.ReadAll(pack(t, headers...))
	must(t, err)
	return string(append(packed, make([]byte, -len(packed)&8191)...)) + "end\n"
}

// A machine that sends files together leaves out what it can't read, and nothing that it
// makes up comes to the caller.
func TestMadeUpTar(t *testing.T) {
	// The records aren't in the header's checksum, and tar.Writer refuses those of GNU's.
	sparse := &tar.Header{Typeflag: tar.TypeReg, Name: "a", PAXRecords: map[string]string{"GNU_sparse.map": "0,1", "GNU_sparse.numblocks": "1", "GNU_sparse.size": "9999999999"}}
	file := func(name string) *tar.Header { return &tar.Header{Typeflag: tar.TypeReg, Name: name} }
	for name, c := range map[string]struct {
		machine          sender
		written, skipped int64
		ok               bool
	}{
		"both":            {sender{padded(t, file("a"), file("b")), false}, 2, 0, true},
		"one is missing":  {sender{padded(t, file("b")), false}, 1, 1, true},
		"a link by now":   {sender{padded(t, &tar.Header{Typeflag: tar.TypeSymlink, Name: "a", Linkname: "/"}, file("b")), false}, 1, 1, true},
		"another order":   {sender{padded(t, file("b"), file("a")), true}, 1, 1, false},
		"another name":    {sender{padded(t, file("c")), true}, 0, 0, false},
		"a path":          {sender{padded(t, file("../a")), true}, 0, 0, false},
		"twice":           {sender{padded(t, file("a"), file("a")), true}, 1, 0, false},
		"sparse":          {sender{strings.ReplaceAll(padded(t, sparse), "GNU_", "GNU."), true}, 0, 0, false},
		"no tar":          {sender{strings.Repeat("x", 8192) + "end\n", true}, 0, 0, false},
		"cut":             {sender{padded(t, file("a"), file("b"))[:1100], true}, 1, 0, false},
		"without padding": {sender{strings.TrimRight(padded(t, file("a")), "end\n\x00") + strings.Repeat("\x00", 1535), true}, 1, 1, false},
		"without an end":  {sender{strings.TrimSuffix(padded(t, file("a"), file("b")), "end\n"), true}, 2, 0, false},
	} {
		var out bytes.Buffer
		written, skipped, err := (&files.Tree{Machine: c.machine}).Archive(t.Context(), "d", &out)
		if written != c.written || skipped != c.skipped || (err == nil) != c.ok {
			t.Errorf("%s: %d, %d, %v", name, written, skipped, err)
		}
		if c.ok != (len(namesIfWhole(out.Bytes())) == int(written)) {
			t.Errorf("%s: an archive of %d bytes", name, out.Len())
		}
	}
}

// namesIfWhole are the names of an archive that has its end.
func namesIfWhole(archive []byte) (names []string) {
	if len(archive) < 1024 || !bytes.Equal(archive[len(archive)-1024:], make([]byte, 1024)) {
		return []string{"no", "end", "at", "all"}
	}
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if err != nil {
			return names
		}
		names = append(names, h.Name)
	}
}

// FuzzAnswers: whatever a machine answers, names stay names, no more comes than was said to,
// and each operation ends.
func FuzzAnswers(f *testing.F) {
	const entry = fileStat
	for _, s := range []string{
		"", "no", "no outside\n", "no x\n", "ok " + entry + "\nabc", "ok " + entry + "\nab", "ok 81a4 99999999999999999999 x\n", "ok\nyes\n./a " + entry + "\n//\n\x00\x00", "ok\nyes\n./a " + entry + "\n//\n\x00a\x00yes\n//\n\x00a\x00",
		"ok\nyes\n./../b " + entry + "\n//\n\x00", "ok\nyes\n./a/b " + entry + "\n//\n\x00\x00", "ok\nyes\n./a\n./b " + entry + "\n//\na\x00b\x00\x00\x00",
		"ok\nat " + entry + "\ndone " + entry + "\n", "ok\nat \n" + entry + "\n", "at " + entry + "\nremoved -1\n", strings.Repeat("x", 9000),
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, answer string) {
		tree := &files.Tree{Machine: says(answer)}
		var out bytes.Buffer
		_, _ = tree.Read(t.Context(), "f", true, func(e files.Entry, _ []byte) (files.Span, io.Writer, error) {
			if e.Size < 0 || e.Type != files.File {
				t.Errorf("entry %+v", e)
			}
			return files.Span{Length: min(e.Size, 9)}, &out, nil
		})
		if out.Len() > 9 {
			t.Errorf("%d bytes came", out.Len())
		}
		_ = tree.List(t.Context(), files.Walk{Path: "d", Depth: 2, Each: func(e files.Entry) error {
			name, ok := strings.CutPrefix(e.Path, "d/")
			for part := range strings.SplitSeq(name, "/") {
				if !ok || part == "" || part == "." || part == ".." || files.IsOwn(part) || len(part) > 255 {
					t.Errorf("path %q", e.Path)
				}
			}
			return nil
		}})
		_, _ = tree.Stat(t.Context(), "f")
		_, _, _ = tree.Archive(t.Context(), "d", io.Discard)
		_, _, _ = tree.Write(t.Context(), "f", strings.NewReader("x"), 1, files.Put{})
		_, _ = tree.Remove(t.Context(), "f", true, nil)
	})
}

// FuzzTogether: whatever a machine sends as a tar, an archive holds the files that it listed
// and no others, or has no end.
func FuzzTogether(f *testing.F) {
	a, b := &tar.Header{Typeflag: tar.TypeReg, Name: "a"}, &tar.Header{Typeflag: tar.TypeReg, Name: "b"}
	for _, packed := range []string{"", padded(f, a, b), padded(f, b), padded(f, a)[:700], strings.Repeat("\x00", 8192) + "end\n"} {
		f.Add(packed)
	}
	f.Fuzz(func(t *testing.T, packed string) {
		var archive bytes.Buffer
		n, skipped, err := (&files.Tree{Machine: sender{packed, true}}).Archive(t.Context(), "d", &archive)
		got := strings.Join(namesIfWhole(archive.Bytes()), "")
		if err == nil && (int64(len(got)) != n || n+skipped != 2 || !strings.Contains("ab", got)) {
			t.Errorf("%d written, %d skipped, %q", n, skipped, got)
		}
	})
}

// FuzzArchive: whatever is extracted, nothing is made of it but what a machine is told to
// make below the directory.
func FuzzArchive(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(make([]byte, 1024))
	f.Fuzz(func(t *testing.T, archive []byte) {
		tree := &files.Tree{Machine: says("ok\n" + strings.Repeat("yes\ndone\n", 9))}
		_, _ = tree.Extract(t.Context(), "d", bytes.NewReader(archive))
	})
}
