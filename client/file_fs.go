package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	paths "path"
	"strconv"
	"strings"
	"time"

	"sallyport/client/sallyport"
)

// FS returns the files as an fs.FS, which is also an fs.StatFS, fs.ReadDirFS and fs.ReadLinkFS.
// Stat and Open follow links; of one whose target is an absolute path, the mode isn't known, and
// is 0444. FileInfo.Sys is the sallyport.FileEntry. Its calls have no time-out; FilesFS.WithContext
// gives them a context.
func (f *Files) FS() fs.FS { return &FilesFS{files: f, ctx: context.Background()} }

// FilesFS is the files of a workspace as an fs.FS: see Files.FS.
type FilesFS struct {
	files *Files
	ctx   context.Context
}

// WithContext returns the same files, whose calls end when ctx does.
func (s *FilesFS) WithContext(ctx context.Context) *FilesFS { return &FilesFS{s.files, ctx} }

// Open implements fs.FS. A file's content is asked for by its first Read.
func (s *FilesFS) Open(name string) (fs.File, error) {
	info, err := s.stat("open", name)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return &fsDir{fs: s, name: name, info: info}, nil
	}
	return &fsFile{fs: s, name: name, info: info}, nil
}

// Stat implements fs.StatFS.
func (s *FilesFS) Stat(name string) (fs.FileInfo, error) { return s.stat("stat", name) }

// Lstat implements fs.ReadLinkFS.
func (s *FilesFS) Lstat(name string) (fs.FileInfo, error) {
	e, err := s.lstat("lstat", name)
	if err != nil {
		return nil, err
	}
	return newFileInfo(name, e), nil
}

// ReadLink implements fs.ReadLinkFS.
func (s *FilesFS) ReadLink(name string) (string, error) {
	e, err := s.lstat("readlink", name)
	if err == nil && e.Type != sallyport.FileTypeLink {
		err = &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrInvalid}
	}
	if err != nil {
		return "", err
	}
	return e.RawTarget()
}

// ReadDir implements fs.ReadDirFS.
func (s *FilesFS) ReadDir(name string) ([]fs.DirEntry, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrInvalid}
	}
	entries := []fs.DirEntry{}
	for e, err := range s.files.All(s.ctx, ofFS(name), ListFiles{}) {
		if err != nil {
			return entries, pathError("readdir", name, err)
		}
		raw, err := e.RawName()
		if err != nil {
			return entries, pathError("readdir", name, err)
		}
		entries = append(entries, fs.FileInfoToDirEntry(newFileInfo(raw, e)))
	}
	return entries, nil
}

// ofFS is the path that a name of io/fs stands for.
func ofFS(name string) string {
	if name == "." {
		return ""
	}
	return name
}

func (s *FilesFS) lstat(op, name string) (sallyport.FileEntry, error) {
	if !fs.ValidPath(name) {
		return sallyport.FileEntry{}, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	e, err := s.files.Stat(s.ctx, ofFS(name))
	return e, pathError(op, name, err)
}

// linksMax is how many links are followed to one file, as Linux does.
const linksMax = 40

// stat is Stat: the last link is followed here, which the server's own stat doesn't.
func (s *FilesFS) stat(op, name string) (fs.FileInfo, error) {
	at := name
	for range linksMax {
		e, err := s.lstat(op, at)
		if err != nil {
			return nil, pathError(op, name, errors.Unwrap(err))
		}
		if e.Type != sallyport.FileTypeLink {
			return newFileInfo(name, e), nil
		}
		target, err := e.RawTarget()
		if err != nil {
			return nil, pathError(op, name, err)
		}
		if at, err = s.follow(paths.Dir(at), target); err != nil {
			return s.statContent(op, name)
		}
	}
	return nil, &fs.PathError{Op: op, Path: name, Err: errors.New("too many links")}
}

// follow is where a link's target leads that stands in dir; an error where that can't be told
// from the words alone.
func (s *FilesFS) follow(dir, target string) (string, error) {
	if paths.IsAbs(target) {
		return "", fs.ErrInvalid
	}
	for element := range strings.SplitSeq(target, "/") {
		if element != ".." {
			dir = paths.Join(dir, element)
			continue
		}
		// Only the parent of a real directory is known by its name.
		e, err := s.lstat("stat", dir)
		if err != nil || e.Type != sallyport.FileTypeDir || dir == "." {
			return "", fs.ErrInvalid
		}
		dir = paths.Dir(dir)
	}
	return dir, nil
}

// statContent is what the server tells of what a link leads to, when it is asked for its content.
func (s *FilesFS) statContent(op, name string) (fs.FileInfo, error) {
	file, err := s.files.Open(s.ctx, ofFS(name))
	if sallyport.CodeOf(err) == sallyport.CodeIsADirectory {
		return newFileInfo(name, sallyport.FileEntry{Type: sallyport.FileTypeDir, Mode: "0555"}), nil
	}
	if err != nil {
		return nil, pathError(op, name, err)
	}
	defer func() { _ = file.Close() }() // it was only read
	return newFileInfo(name, sallyport.FileEntry{Type: sallyport.FileTypeFile, Size: &file.Size, Mode: "0444", Mtime: file.ModTime, ETag: file.ETag}), nil
}

// pathError is err as io/fs has it: errors.Is finds fs.ErrNotExist and the like, and errors.As the
// server's own.
func pathError(op, name string, err error) error {
	if err == nil {
		return nil
	}
	var kind error
	switch sallyport.CodeOf(err) {
	case sallyport.CodeFileNotFound, sallyport.CodeNotADirectory:
		kind = fs.ErrNotExist
	case sallyport.CodePermissionDenied, sallyport.CodeScopeForbidden:
		kind = fs.ErrPermission
	case sallyport.CodeInvalidPath:
		kind = fs.ErrInvalid
	case sallyport.CodeExists:
		kind = fs.ErrExist
	default:
		return &fs.PathError{Op: op, Path: name, Err: err}
	}
	return &fs.PathError{Op: op, Path: name, Err: fmt.Errorf("%w: %w", kind, err)}
}

// fileInfo is an entry as io/fs has it.
type fileInfo struct {
	name  string
	entry sallyport.FileEntry
}

func newFileInfo(name string, e sallyport.FileEntry) fs.FileInfo {
	return fileInfo{paths.Base(name), e}
}

func (i fileInfo) Name() string       { return i.name }
func (i fileInfo) ModTime() time.Time { return i.entry.Mtime }
func (i fileInfo) IsDir() bool        { return i.Mode().IsDir() }
func (i fileInfo) Sys() any           { return i.entry }

func (i fileInfo) Size() int64 {
	if i.entry.Size == nil {
		return 0
	}
	return *i.entry.Size
}

func (i fileInfo) Mode() fs.FileMode { return FileMode(i.entry) }

// FileMode is the type and the mode of an entry as io/fs has them.
func FileMode(e sallyport.FileEntry) fs.FileMode {
	bits, err := strconv.ParseUint(e.Mode, 8, 12)
	if err != nil {
		bits = 0
	}
	mode := fs.FileMode(bits) & fs.ModePerm
	for bit, special := range map[uint64]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if bits&bit != 0 {
			mode |= special
		}
	}
	switch e.Type {
	case sallyport.FileTypeFile:
	case sallyport.FileTypeDir:
		mode |= fs.ModeDir
	case sallyport.FileTypeLink:
		mode |= fs.ModeSymlink
	default:
		mode |= fs.ModeIrregular
	}
	return mode
}

// fsFile is a file that is open.
type fsFile struct {
	fs     *FilesFS
	name   string
	info   fs.FileInfo
	file   *File
	closed bool
}

func (f *fsFile) Stat() (fs.FileInfo, error) { return f.info, nil }

func (f *fsFile) open(op string) (err error) {
	switch {
	case f.closed:
		return &fs.PathError{Op: op, Path: f.name, Err: fs.ErrClosed}
	case f.file == nil:
		f.file, err = f.fs.files.Open(f.fs.ctx, ofFS(f.name))
	}
	return pathError(op, f.name, err)
}

func (f *fsFile) Read(p []byte) (int, error) {
	if err := f.open("read"); err != nil {
		return 0, err
	}
	n, err := f.file.Read(p)
	if err != nil && err != io.EOF {
		err = pathError("read", f.name, err)
	}
	return n, err
}

func (f *fsFile) Seek(offset int64, whence int) (int64, error) {
	if err := f.open("seek"); err != nil {
		return 0, err
	}
	n, err := f.file.Seek(offset, whence)
	return n, pathError("seek", f.name, err)
}

func (f *fsFile) Close() error {
	if f.closed {
		return &fs.PathError{Op: "close", Path: f.name, Err: fs.ErrClosed}
	}
	f.closed = true
	if f.file != nil {
		return f.file.Close()
	}
	return nil
}

// fsDir is a directory that is open.
type fsDir struct {
	fs      *FilesFS
	name    string
	info    fs.FileInfo
	isRead  bool
	entries []fs.DirEntry // those that ReadDir has not returned yet
}

func (d *fsDir) Stat() (fs.FileInfo, error) { return d.info, nil }
func (d *fsDir) Close() error               { return nil }

func (d *fsDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.name, Err: errors.New("it is a directory")}
}

func (d *fsDir) ReadDir(n int) ([]fs.DirEntry, error) {
	if !d.isRead {
		entries, err := d.fs.ReadDir(d.name)
		if err != nil {
			return nil, err
		}
		d.entries, d.isRead = entries, true
	}
	if n <= 0 {
		rest := d.entries
		d.entries = nil
		return rest, nil
	}
	if len(d.entries) == 0 {
		return nil, io.EOF
	}
	some := d.entries[:min(n, len(d.entries))]
	d.entries = d.entries[len(some):]
	return some, nil
}
