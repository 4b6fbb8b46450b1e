package files_test

import (
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

// FuzzAnswers: whatever a machine answers, names stay names, no more comes than was said to,
// and each operation ends.
func FuzzAnswers(f *testing.F) {
	const entry = "81a4 3 0 0 1 2 2026-01-02 03:04:05.678 +0000 2026-01-02 03:04:05.678 +0000"
	for _, s := range []string{
		"", "no", "no outside\n", "no x\n", "ok " + entry + "\nabc", "ok " + entry + "\nab", "ok 81a4 99999999999999999999 x\n", "ok\nyes\n./a " + entry + "\n//\n\x00",
		"ok\nyes\n./../b " + entry + "\n//\n\x00", "ok\nyes\n./a/b " + entry + "\n//\n\x00", "ok\nyes\n./a\n./b " + entry + "\n//\na\x00b\x00\x00",
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
