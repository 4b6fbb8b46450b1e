package localtree

import (
	"archive/tar"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Walk calls each for everything in a local directory: names relative to it, in the order
// of their bytes, a directory before what is in it. Links in it are never followed, also
// those that are put there meanwhile. A header has the mode, the time to the nanosecond, the
// size and a link's target; content is that of a file, and is good until each returns. err
// tells why an entry can't be read, or ErrType; content is nil then. Walk ends with the first
// error that each returns.
func Walk(dir string, each func(h *tar.Header, content io.Reader, err error) error) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }() // it was only read
	names, err := namesIn(root)
	if err != nil {
		return err
	}
	return (&walk{each}).dir(root, "", names)
}

// Header describes a directory, of which links on the way are followed, as the one that a
// tar is about.
func Header(dir string) (*tar.Header, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return nil, err
	}
	h := header("./", info)
	h.Typeflag = tar.TypeDir
	return h, nil
}

type walk struct {
	each func(*tar.Header, io.Reader, error) error
}

func namesIn(dir *os.Root) ([]string, error) {
	f, err := dir.Open(".")
	if err != nil {
		return nil, plain(err)
	}
	defer func() { _ = f.Close() }() // it was only read
	names, err := f.Readdirnames(-1)
	slices.Sort(names)
	return names, plain(err)
}

func (w *walk) dir(dir *os.Root, prefix string, names []string) error {
	for _, base := range names {
		if err := w.entry(dir, base, prefix+base); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) entry(dir *os.Root, base, name string) error {
	info, err := dir.Lstat(base)
	if err != nil {
		return w.each(&tar.Header{Name: name}, nil, plain(err))
	}
	h := header(name, info)
	switch {
	case info.IsDir():
		return w.below(dir, base, h)
	case info.Mode()&fs.ModeSymlink != 0:
		if h.Linkname, err = dir.Readlink(base); err != nil {
			return w.each(h, nil, plain(err))
		}
		h.Typeflag = tar.TypeSymlink
		return w.each(h, nil, nil)
	case !info.Mode().IsRegular():
		return w.each(h, nil, ErrType)
	}
	return w.file(dir, base, h, info)
}

func header(name string, info fs.FileInfo) *tar.Header {
	return &tar.Header{
		Typeflag: tar.TypeReg, Name: name, Mode: int64(info.Mode().Perm()), ModTime: info.ModTime(), Format: tar.FormatPAX,
	}
}

func (w *walk) below(dir *os.Root, base string, h *tar.Header) error {
	h.Typeflag = tar.TypeDir
	below, err := step(dir, base)
	if err != nil {
		return w.each(h, nil, err)
	}
	defer func() { _ = below.Close() }() // it was only read
	names, err := namesIn(below)
	if err != nil {
		return w.each(h, nil, err)
	}
	if err := w.each(h, nil, nil); err != nil {
		return err
	}
	return w.dir(below, h.Name+"/", names)
}

func (w *walk) file(dir *os.Root, base string, h *tar.Header, before fs.FileInfo) error {
	// Without O_NONBLOCK a FIFO that has come in the file's place would hold us.
	f, err := dir.OpenFile(base, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return w.each(h, nil, plain(err))
	}
	defer func() { _ = f.Close() }() // it was only read
	now, err := f.Stat()
	if err == nil && !os.SameFile(before, now) {
		err = ErrSwapped
	}
	if err != nil {
		return w.each(h, nil, plain(err))
	}
	*h = *header(h.Name, now)
	h.Size = now.Size()
	return w.each(h, f, nil)
}

// Compare compares names in the order of Walk, and of a workspace's lists.
func Compare(a, b string) int {
	return slices.Compare(strings.Split(a, "/"), strings.Split(b, "/"))
}
