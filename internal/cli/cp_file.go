package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"sallyport/client"
	"sallyport/client/sallyport"
	"sallyport/internal/localtree"
)

// send copies a local file or directory to a workspace.
func (k *copier) send(ctx context.Context, source, to place) error {
	info, err := os.Stat(source.path)
	switch {
	case err != nil:
		return err
	case info.IsDir() && !k.recursive:
		return &hintedError{fmt.Errorf("%s: it is a directory, and was left out", source.word), "copy it with -r"}
	case info.IsDir():
		return k.sendTree(ctx, source, to)
	case !info.Mode().IsRegular():
		return &hintedError{fmt.Errorf("%s: %w", source.word, localtree.ErrType), "\"-\" copies what stdin brings"}
	case source.isDir:
		return fmt.Errorf("%s: %w", source.word, syscall.ENOTDIR)
	}
	files, err := k.fileTarget(ctx, to)
	if err != nil {
		return err
	}
	f, err := os.Open(source.path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was only read
	if info, err = f.Stat(); err != nil {
		return err
	}
	return k.sendFile(ctx, files, f, localtree.Attr{Mode: info.Mode(), ModTime: info.ModTime()}, info.Size(), source.word, to)
}

// fileTarget are the files of a workspace to which a file is copied.
func (k *copier) fileTarget(ctx context.Context, to place) (*client.Files, error) {
	if !k.toDir && k.to.isDir {
		return nil, fmt.Errorf("%s: %w", k.to.word, syscall.ENOTDIR)
	}
	return k.files(ctx, to)
}

// sendFile writes content, which can be read again, to a workspace, and tells it.
func (k *copier) sendFile(ctx context.Context, files *client.Files, content io.ReaderAt, attr localtree.Attr, size int64, from string, to place) error {
	err := k.write(ctx, files, content, attr, size, from, to)
	if err == nil {
		k.copiedAs(from, to.word, sallyport.FileTypeFile, size)
	}
	return err
}

func (k *copier) write(ctx context.Context, files *client.Files, content io.ReaderAt, attr localtree.Attr, size int64, from string, to place) error {
	mode := attr.Mode.Perm()
	b := k.startBar(from, size)
	sent := &section{SectionReader: io.NewSectionReader(content, 0, size), bar: b}
	_, err := files.Write(ctx, to.path, sent, client.WriteFile{Mode: &mode, ModTime: attr.ModTime})
	b.end(err)
	return err
}

// section is a file's content of the size that it had.
type section struct {
	*io.SectionReader
	bar *bar
}

// errShrunk is the error of a file that became shorter while it was read.
var errShrunk = errors.New("the file became shorter while it was read")

func (s *section) Read(p []byte) (int, error) {
	n, err := s.SectionReader.Read(p)
	at, _ := s.Seek(0, io.SeekCurrent)
	if err == io.EOF && at < s.Size() {
		err = errShrunk
	}
	s.bar.at(at)
	return n, err
}

// sendStdin writes what stdin brings to a workspace's file, or with -r a tar into a directory.
func (k *copier) sendStdin(ctx context.Context, to place) error {
	in := &canceling{ctx: ctx, r: k.Stdin}
	if k.recursive {
		files, err := k.files(ctx, to)
		if err != nil {
			return err
		}
		done, err := files.Extract(ctx, to.path, in)
		if err != nil {
			return err
		}
		k.skippedThere(to, done, func(name string) string { return to.below(name).word })
		return nil
	}
	if k.toDir {
		return usagef("name the file: "+k.to.below("NAME").word, "%s is a directory, and stdin has no name", k.to.word)
	}
	files, err := k.fileTarget(ctx, to)
	if err != nil {
		return err
	}
	if f, ok := k.Stdin.(*os.File); ok { // a file can be read again where a transfer broke off
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			return k.sendRegularStdin(ctx, files, f, info, to)
		}
	}
	b := k.startBar(to.word, -1)
	e, err := files.Write(ctx, to.path, b.reader(in), client.WriteFile{})
	b.end(err)
	if err == nil && e.Size != nil {
		k.copiedAs(stdName, to.word, sallyport.FileTypeFile, *e.Size)
	}
	return err
}

func (k *copier) sendRegularStdin(ctx context.Context, files *client.Files, f *os.File, info fs.FileInfo, to place) error {
	start, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	b := k.startBar(to.word, max(0, info.Size()-start))
	sent := &section{SectionReader: io.NewSectionReader(f, start, max(0, info.Size()-start)), bar: b}
	_, err = files.Write(ctx, to.path, sent, client.WriteFile{})
	b.end(err)
	if err == nil {
		k.copiedAs(stdName, to.word, sallyport.FileTypeFile, sent.Size())
	}
	return err
}

// canceling is a reader whose Read ends when ctx does. What it waited for is left behind: the
// process ends.
type canceling struct {
	ctx context.Context
	r   io.Reader
}

func (c *canceling) Read(p []byte) (int, error) {
	type read struct {
		bytes []byte
		err   error
	}
	got := make(chan read, 1)
	own := make([]byte, len(p)) // p is the caller's again when ctx has ended
	go func() {
		n, err := c.r.Read(own)
		got <- read{own[:n], err}
	}()
	select {
	case <-c.ctx.Done():
		return 0, c.ctx.Err()
	case r := <-got:
		return copy(p, r.bytes), r.err
	}
}

// fetch copies a file or directory of a workspace to this machine.
func (k *copier) fetch(ctx context.Context, source, to place) error {
	r, err := k.findSource(ctx, source)
	switch {
	case err != nil:
		return err
	case r.isDir():
		return k.fetchTree(ctx, r, to)
	case source.isDir:
		return fmt.Errorf("%s: %w", source.word, syscall.ENOTDIR)
	case !k.toDir && k.to.isDir:
		return fmt.Errorf("%s: %w", k.to.word, syscall.ENOTDIR)
	}
	tree, err := localtree.Open(filepath.Dir(to.path))
	if err != nil {
		return err
	}
	defer func() { _ = tree.Close() }() // the file is whole already
	return k.fetchFile(ctx, r, tree, filepath.Base(to.path), to.word)
}

// fetchFile writes a file of a workspace into a local tree.
func (k *copier) fetchFile(ctx context.Context, r *remote, tree *localtree.Tree, name, shown string) error {
	f, err := r.files.Open(ctx, r.path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it returns no error
	attr := r.attr()
	if r.entry.ETag != f.ETag { // another file has come in its place
		attr.ModTime = f.ModTime
	}
	b := k.startBar(r.word, f.Size)
	err = writeLocal(tree, name, attr, b.reader(f), shown)
	b.end(err)
	if err == nil {
		k.copiedAs(r.word, shown, sallyport.FileTypeFile, f.Size)
	}
	return err
}

// writeLocal writes a local file. Its error is that of the content as it is, or names the
// file as it is shown.
func writeLocal(tree *localtree.Tree, name string, attr localtree.Attr, content io.Reader, shown string) error {
	read := &failingReader{r: content}
	err := tree.File(name, attr, read)
	switch {
	case read.err != nil:
		return read.err
	case err != nil:
		return fmt.Errorf("%s: %w", shown, err)
	}
	return nil
}

// failingReader keeps the error of its reader, apart from those of what was read for.
type failingReader struct {
	r   io.Reader
	err error
}

func (f *failingReader) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if err != nil && err != io.EOF {
		f.err = err
	}
	return n, err
}

// between copies from one workspace to another, or within one.
func (k *copier) between(ctx context.Context, source, to place) error {
	r, err := k.findSource(ctx, source)
	if err != nil {
		return err
	}
	isSame, err := k.isSameWorkspace(ctx, source, to)
	if err != nil {
		return err
	}
	if r.isDir() {
		return k.treeBetween(ctx, r, to, isSame)
	}
	if source.isDir {
		return fmt.Errorf("%s: %w", source.word, syscall.ENOTDIR)
	}
	files, err := k.fileTarget(ctx, to)
	if err != nil {
		return err
	}
	if isSame {
		return k.copyThere(ctx, r, files, to)
	}
	size, err := k.writeBetween(ctx, r.files, source, r.attr(), files, to)
	if err == nil {
		k.copiedAs(source.word, to.word, sallyport.FileTypeFile, size)
	}
	return err
}

// writeBetween writes a file of one workspace to another, and returns its size.
func (k *copier) writeBetween(ctx context.Context, there *client.Files, source place, attr localtree.Attr, files *client.Files, to place) (size int64, err error) {
	f, err := there.Open(ctx, source.path)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }() // it returns no error
	mode := attr.Mode.Perm()
	b := k.startBar(source.word, f.Size)
	_, err = files.Write(ctx, to.path, &lazySeeker{f: f, size: f.Size, bar: b}, client.WriteFile{Mode: &mode, ModTime: attr.ModTime})
	b.end(err)
	return f.Size, err
}

// copyThere has the machine copy, from one of its paths to another.
func (k *copier) copyThere(ctx context.Context, r *remote, files *client.Files, to place) error {
	e, err := files.Copy(ctx, r.path, to.path, client.PlaceFile{Overwrite: !r.isDir(), Recursive: r.isDir()})
	if err != nil {
		return err
	}
	size := int64(-1)
	if e.Size != nil {
		size = *e.Size
	}
	k.copiedAs(r.word, to.word, e.Type, size)
	return nil
}

// isSameWorkspace tells whether two words name one workspace.
func (k *copier) isSameWorkspace(ctx context.Context, x, y place) (bool, error) {
	if x.workspace == y.workspace {
		return true, nil
	}
	var ids [2]string
	for i, p := range []place{x, y} {
		if _, err := k.files(ctx, p); err != nil {
			return false, err
		}
		ws, err := k.client.GetWorkspace(ctx, k.ids[p.workspace])
		if err != nil {
			return false, err
		}
		ids[i] = ws.ID
	}
	return ids[0] == ids[1], nil
}

// lazySeeker is a workspace's file, of which nothing is asked again before it is read
// elsewhere than where it stands.
type lazySeeker struct {
	f    *client.File
	size int64
	at   int64
	bar  *bar
}

func (s *lazySeeker) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += s.at
	case io.SeekEnd:
		offset += s.size
	}
	s.at = offset
	return offset, nil
}

func (s *lazySeeker) Read(p []byte) (int, error) {
	if _, err := s.f.Seek(s.at, io.SeekStart); err != nil {
		return 0, err
	}
	n, err := s.f.Read(p)
	s.at += int64(n)
	s.bar.at(s.at)
	return n, err
}
