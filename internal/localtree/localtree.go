// Package localtree is the local side of a copy: it writes into a local directory what a
// machine sends that nobody trusts, and reads a local tree to be sent.
package localtree

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Reasons for which an entry is left out.
var (
	// ErrName is of a name that is empty, absolute, holds a NUL or an empty, "." or ".."
	// element, and so could lead out of the directory.
	ErrName = errors.New("it has a name that no file below a directory has")
	// ErrLinkOut is of a link whose target is absolute, or may lead out of the tree.
	ErrLinkOut = errors.New("the link leads out of what is copied")
	// ErrType is of devices, FIFOs, sockets, and in an archive of hard links and sparse files.
	ErrType = errors.New("it is neither a file, a directory nor a link")
	// ErrLinkInWay is of a path that goes through a link, or something else that is no
	// directory.
	ErrLinkInWay = errors.New("a link stands where a directory must be")
	// ErrSwapped is of a path whose directories another process exchanges meanwhile.
	ErrSwapped = errors.New("another program has exchanged it meanwhile")
)

// tempPrefix begins the names of files that aren't whole yet.
const tempPrefix = ".sallyport-part-"

// Attr are the attributes of an entry that are kept.
type Attr struct {
	// Mode: its permission bits alone are kept, so neither set-id bits nor the sticky bit.
	Mode fs.FileMode
	// ModTime is left to the system if it is zero.
	ModTime time.Time
}

// Tree is a local directory into which names and content are written that come from
// elsewhere. Whatever they are, and whatever links stand in the directory or are put there
// meanwhile, nothing outside the directory is made, changed or removed, and nothing is
// written through a link. A Tree is for one goroutine at a time.
type Tree struct {
	// LeftDir is called when the mode and the time of a directory could not be set after
	// all; nil ignores that.
	LeftDir func(name string, err error)

	root *os.Root
	// at is the directory below root that was entered last, and atName its name; nil is none.
	at     *os.Root
	atName string
	// entered are the directories that Dir made or found and that hold what is written now:
	// each gets its mode and time when it is left.
	entered []enteredDir
}

type enteredDir struct {
	name string
	attr Attr
}

// Open opens a directory. Links on the way to it are followed: its path is the caller's own.
// The caller closes the tree.
func Open(dir string) (*Tree, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &Tree{root: root}, nil
}

// Close gives the directories that are still open for writing their modes and times, and
// closes the tree. What fails is told to LeftDir.
func (t *Tree) Close() error {
	t.leave("")
	t.forget()
	return t.root.Close()
}

// CheckName returns ErrName unless a name is relative, and leads through no "..".
func CheckName(name string) error {
	for element := range strings.SplitSeq(name, "/") {
		if element == "" || element == "." || element == ".." || strings.Contains(element, "\x00") {
			return ErrName
		}
	}
	return nil
}

// File makes what content reads the file with this name, whole or not at all: it is written
// under another name, and renamed. What stands there, a link as well, is replaced; a directory
// is an error. Directories on the way are made.
func (t *Tree) File(name string, a Attr, content io.Reader) error {
	dir, err := t.place(name)
	if err != nil {
		return err
	}
	temp := tempPrefix + rand.Text()
	if err := writeTemp(dir, temp, a, content); err != nil {
		return err
	}
	return rename(dir, temp, path.Base(name))
}

func writeTemp(dir *os.Root, temp string, a Attr, content io.Reader) (err error) {
	f, err := dir.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = dir.Remove(temp) // the first error is the one to tell
		}
	}()
	if _, err := io.Copy(f, content); err != nil {
		return err
	}
	if err := f.Chmod(a.Mode.Perm()); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return setTime(dir, temp, a.ModTime)
}

// rename gives what was made its name; it is removed where that fails.
func rename(dir *os.Root, temp, base string) error {
	err := dir.Rename(temp, base)
	if err == nil {
		return nil
	}
	_ = dir.Remove(temp) // the first error is the one to tell
	if errors.Is(err, fs.ErrExist) {
		return unix.EISDIR // nothing else is in the way of a rename
	}
	return plain(err)
}

// plain is err without names that only this package knows.
func plain(err error) error {
	var link *os.LinkError
	if errors.As(err, &link) {
		return link.Err
	}
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

// Dir makes a directory, or takes the one that is there. Its mode and time are set when
// something is written that isn't below it, or at Close.
func (t *Tree) Dir(name string, a Attr) error {
	dir, err := t.place(name)
	if err != nil {
		return err
	}
	base := path.Base(name)
	if err := dir.Mkdir(base, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return plain(err)
	}
	below, err := step(dir, base)
	if err != nil {
		return err
	}
	t.keep(below, name)
	t.entered = append(t.entered, enteredDir{name, a})
	return nil
}

// Link makes a link. What stands there is replaced; a directory is an error. It returns
// ErrLinkOut for a target that is absolute, or that isn't sure to stay in the tree: ".." is taken
// at the beginning of a target alone, since behind the name of a link it leads anywhere.
func (t *Tree) Link(name, target string, a Attr) error {
	if err := CheckName(name); err != nil {
		return err
	}
	if leadsOut(name, target) {
		return ErrLinkOut
	}
	dir, err := t.place(name)
	if err != nil {
		return err
	}
	temp := tempPrefix + rand.Text()
	if err := dir.Symlink(target, temp); err != nil {
		return plain(err)
	}
	_ = setTime(dir, temp, a.ModTime) // not every file system keeps the time of a link
	return rename(dir, temp, path.Base(name))
}

func leadsOut(name, target string) bool {
	if target == "" || path.IsAbs(target) || strings.Contains(target, "\x00") {
		return true
	}
	depth := strings.Count(name, "/")
	inName := false
	for element := range strings.SplitSeq(target, "/") {
		switch element {
		case "", ".":
		case "..":
			depth--
			if depth < 0 || inName {
				return true
			}
		default:
			inName = true
		}
	}
	return false
}

// Lstat describes what stands at a name, of a link the link.
func (t *Tree) Lstat(name string) (fs.FileInfo, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	dir, err := t.enter(parent(name), false)
	if err != nil {
		return nil, err
	}
	info, err := dir.Lstat(path.Base(name))
	return info, plain(err)
}

// place returns the directory that holds a name, when those are left that don't.
func (t *Tree) place(name string) (*os.Root, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	t.leave(name)
	return t.enter(parent(name), true)
}

// parent is the name of the directory that holds a name; "" is the tree's own.
func parent(name string) string {
	dir, _ := path.Split(name)
	return strings.TrimSuffix(dir, "/")
}

// enter returns a directory below the root, into which no link has led. It is the tree's to
// close.
func (t *Tree) enter(name string, make bool) (*os.Root, error) {
	if name == "" {
		return t.root, nil
	}
	if t.at != nil && t.atName == name {
		return t.at, nil
	}
	at := t.root
	for element := range strings.SplitSeq(name, "/") {
		below, err := step(at, element)
		if make && errors.Is(err, fs.ErrNotExist) {
			if err = at.Mkdir(element, 0o777); err == nil || errors.Is(err, fs.ErrExist) {
				below, err = step(at, element)
			}
		}
		if at != t.root {
			_ = at.Close() // nothing was written through it
		}
		if err != nil {
			return nil, plain(err)
		}
		at = below
	}
	t.keep(at, name)
	return at, nil
}

// step opens the directory with a name in another. A link isn't followed: what was opened
// must be what stood there.
func step(dir *os.Root, name string) (*os.Root, error) {
	before, err := dir.Lstat(name)
	switch {
	case err != nil:
		return nil, plain(err)
	case before.Mode()&fs.ModeSymlink != 0:
		return nil, ErrLinkInWay
	case !before.IsDir():
		return nil, unix.ENOTDIR
	}
	below, err := dir.OpenRoot(name)
	if err != nil {
		return nil, plain(err)
	}
	after, err := below.Stat(".")
	if err == nil && !os.SameFile(before, after) {
		err = ErrSwapped
	}
	if err != nil {
		_ = below.Close()
		return nil, plain(err)
	}
	return below, nil
}

// keep remembers the directory that was entered last.
func (t *Tree) keep(at *os.Root, name string) {
	t.forget()
	t.at, t.atName = at, name
}

func (t *Tree) forget() {
	if t.at != nil {
		_ = t.at.Close() // nothing was written through it
	}
	t.at, t.atName = nil, ""
}

// leave gives the directories that don't hold name their modes and times.
func (t *Tree) leave(name string) {
	for n := len(t.entered) - 1; n >= 0; n-- {
		d := t.entered[n]
		if strings.HasPrefix(name, d.name+"/") {
			return
		}
		t.entered = t.entered[:n]
		if err := t.finish(d); err != nil && t.LeftDir != nil {
			t.LeftDir(d.name, err)
		}
	}
}

func (t *Tree) finish(d enteredDir) error {
	dir, err := t.enter(d.name, false)
	if err != nil {
		return err
	}
	defer t.forget() // its mode may keep us from entering it again
	return SetDir(dir, d.attr)
}

// SetDir gives an open directory its mode and its time.
func SetDir(dir *os.Root, a Attr) error {
	self, err := dir.Open(".")
	if err != nil {
		return plain(err)
	}
	defer func() { _ = self.Close() }() // it was only looked at
	if err := self.Chmod(a.Mode.Perm()); err != nil {
		return plain(err)
	}
	return setTimeAt(self, ".", a.ModTime)
}

// Finish gives the tree's own directory a mode and a time, after all that is in it.
func (t *Tree) Finish(a Attr) error {
	t.leave("")
	return SetDir(t.root, a)
}

// setTime sets the time of what stands at a name, of a link the link's.
func setTime(dir *os.Root, name string, at time.Time) error {
	if at.IsZero() {
		return nil
	}
	self, err := dir.Open(".")
	if err != nil {
		return plain(err)
	}
	defer func() { _ = self.Close() }() // it was only looked at
	return setTimeAt(self, name, at)
}

func setTimeAt(dir *os.File, name string, at time.Time) error {
	if at.IsZero() {
		return nil
	}
	stamp, err := unix.TimeToTimespec(at)
	if err != nil {
		return fmt.Errorf("the time %s: %w", at, err)
	}
	return unix.UtimesNanoAt(int(dir.Fd()), name, []unix.Timespec{stamp, stamp}, unix.AT_SYMLINK_NOFOLLOW)
}

// Sub returns the directory with a name in the tree's own as a tree, and makes it where it
// isn't there. The caller closes it.
func (t *Tree) Sub(base string) (*Tree, error) {
	if err := CheckName(base); err != nil || strings.Contains(base, "/") {
		return nil, ErrName
	}
	if err := t.root.Mkdir(base, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, plain(err)
	}
	below, err := step(t.root, base)
	if err != nil {
		return nil, err
	}
	return &Tree{root: below}, nil
}
