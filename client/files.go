package client

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"sallyport/client/sallyport"
)

// Files are the files of one workspace. Paths are relative to the workspace's root, with
// slashes between names, and are bytes: they need not be UTF-8. The empty path is the root.
//
// Every call's error is a *sallyport.Error where the server refused: its code is
// file_not_found, is_a_directory and so on.
type Files struct {
	// OnBreak, if it is set, is called when a transfer has broken off, with its path, how
	// many bytes of it are safe, and why. It returns whether the transfer is taken up there. Nil
	// takes up each transfer up to 5 times.
	OnBreak func(name string, offset int64, err error) bool

	client    *Client
	workspace string
}

// Files returns the files of a workspace, an id or a name. Nothing is asked yet.
func (c *Client) Files(workspace string) *Files { return &Files{client: c, workspace: workspace} }

// ListFiles says what of a directory is listed. The zero value is what is in it.
type ListFiles struct {
	// Depth is how many levels are listed; 0 is 1, and 64 the most.
	Depth int
	// Glob leaves the entries that it matches: with a slash their path below the directory,
	// else their name. ** goes across names.
	Glob string
	// Text leaves the files that hold it, with Matches.
	Text string
}

// List returns one page of what is in a directory, depth-first, by the bytes of names. A page may
// be empty and have a NextCursor.
func (f *Files) List(ctx context.Context, name string, l ListFiles, p Page) (sallyport.List[sallyport.FileEntry], error) {
	var list sallyport.List[sallyport.FileEntry]
	q := p.query()
	set(q, "path", name)
	set(q, "glob", l.Glob)
	set(q, "text", l.Text)
	if l.Depth != 0 {
		q.Set("depth", strconv.Itoa(l.Depth))
	}
	r, err := f.call("list", name, http.MethodGet, q)
	if err != nil {
		return list, err
	}
	r.path = path("workspaces", f.workspace, "files")
	return list, f.client.do(ctx, r, &list)
}

// All yields every entry of a listing, and ends with the first error.
func (f *Files) All(ctx context.Context, name string, l ListFiles) iter.Seq2[sallyport.FileEntry, error] {
	return all(func(cursor string) (sallyport.List[sallyport.FileEntry], error) {
		return f.List(ctx, name, l, Page{Limit: pageMax, Cursor: cursor})
	})
}

// Stat returns the entry at a path: of a link, the link's own.
func (f *Files) Stat(ctx context.Context, name string) (sallyport.FileEntry, error) {
	return f.entry(ctx, "stat", name, http.MethodGet, url.Values{"stat": {"true"}}, nil)
}

// Mkdir makes a directory and its parents, and returns it; one that is there stays as it is.
func (f *Files) Mkdir(ctx context.Context, name string, mode fs.FileMode) (sallyport.FileEntry, error) {
	return f.entry(ctx, "make directory", name, http.MethodPut, url.Values{"type": {sallyport.FileTypeDir}, "mode": {octal(mode)}}, nil)
}

// Remove removes a file, a link or an empty directory; a directory with all that is in it
// where recursive is set. Links are not followed.
func (f *Files) Remove(ctx context.Context, name string, recursive bool) error {
	q := url.Values{}
	if recursive {
		q.Set("recursive", "true")
	}
	r, err := f.call("remove", name, http.MethodDelete, q)
	if err != nil {
		return err
	}
	return f.client.do(ctx, r, nil)
}

// PlaceFile says how a file is moved or copied.
type PlaceFile struct {
	// Overwrite replaces a file or a link that is there, atomically; a directory never.
	Overwrite bool
	// Recursive copies directories. A move doesn't look at it.
	Recursive bool
}

// Move renames what is at from to the whole new path to, and returns its entry there.
func (f *Files) Move(ctx context.Context, from, to string, p PlaceFile) (sallyport.FileEntry, error) {
	action := sallyport.FileAction{Action: sallyport.FileActionMove, Overwrite: p.Overwrite}
	action.To, action.ToBase64 = sallyport.FileText(to)
	return f.entry(ctx, "move", from, http.MethodPost, nil, action)
}

// Copy copies what is at from, on the machine, to the whole new path to, and returns its entry
// there. Modes and times are kept, and links stay links.
func (f *Files) Copy(ctx context.Context, from, to string, p PlaceFile) (sallyport.FileEntry, error) {
	action := sallyport.FileAction{Action: sallyport.FileActionCopy, Overwrite: p.Overwrite, Recursive: p.Recursive}
	action.To, action.ToBase64 = sallyport.FileText(to)
	return f.entry(ctx, "copy", from, http.MethodPost, nil, action)
}

// Chmod sets the mode of what is at path: the nine permission bits, and fs.ModeSetuid,
// fs.ModeSetgid and fs.ModeSticky.
func (f *Files) Chmod(ctx context.Context, name string, mode fs.FileMode) (sallyport.FileEntry, error) {
	text := octal(mode)
	return f.Change(ctx, name, sallyport.FilePatch{Mode: &text})
}

// Change sets the mode, the time or the owner of what is at path, and returns its entry.
func (f *Files) Change(ctx context.Context, name string, patch sallyport.FilePatch) (sallyport.FileEntry, error) {
	return f.entry(ctx, "change", name, http.MethodPatch, nil, patch)
}

// Replace replaces each old in a file by new. Where there is no old, or there are not expect
// of them, the error's code is no_match, and nothing is changed; 0 expects any number.
func (f *Files) Replace(ctx context.Context, name, old, new string, expect int) (sallyport.FileReplaced, error) {
	var done sallyport.FileReplaced
	action := sallyport.FileAction{Action: sallyport.FileActionReplace, Old: old, New: new}
	if expect != 0 {
		action.Expect = &expect
	}
	r, err := f.call("replace in", name, http.MethodPost, nil)
	if err != nil {
		return done, err
	}
	r.body = action
	return done, f.client.do(ctx, r, &done)
}

func (f *Files) entry(ctx context.Context, verb, name, method string, q url.Values, body any) (sallyport.FileEntry, error) {
	var e sallyport.FileEntry
	r, err := f.call(verb, name, method, q)
	if err != nil {
		return e, err
	}
	r.body = body
	return e, f.client.do(ctx, r, &e)
}

// call is a call about a path.
func (f *Files) call(verb, name, method string, q url.Values) (call, error) {
	if err := checkRef("workspace", f.workspace); err != nil {
		return call{}, err
	}
	if q == nil {
		q = url.Values{}
	}
	set(q, "org", f.client.Org)
	r := call{doing: fmt.Sprintf("%s %s:%s", verb, f.workspace, name), method: method, query: q}
	if err := checkFilePath(name); err != nil {
		return call{}, fmt.Errorf("%s: %w", r.doing, err)
	}
	r.path = path(append([]string{"workspaces", f.workspace, "files"}, strings.Split(name, "/")...)...)
	return r, nil
}

// checkFilePath refuses what would be another route, or a redirect, in a URL.
func checkFilePath(name string) error {
	if name == "" {
		return nil
	}
	for element := range strings.SplitSeq(name, "/") {
		if element == "" || element == "." || element == ".." || strings.Contains(element, "\x00") {
			return sallyport.Errorf(sallyport.CodeInvalidPath, `a path is relative to the workspace's root, without empty names, "." and ".."`)
		}
	}
	return nil
}

// octal is a mode as the API takes it.
func octal(mode fs.FileMode) string {
	bits := uint64(mode.Perm())
	for _, special := range []struct {
		mode fs.FileMode
		bit  uint64
	}{{fs.ModeSetuid, 0o4000}, {fs.ModeSetgid, 0o2000}, {fs.ModeSticky, 0o1000}} {
		if mode&special.mode != 0 {
			bits |= special.bit
		}
	}
	return fmt.Sprintf("%04o", bits)
}

// breaksMax is how often a broken transfer is taken up, unless Files.OnBreak says otherwise.
const breaksMax = 5

// breaks are those of one transfer.
type breaks struct {
	files *Files
	name  string
	n     int
}

// takeUp waits, and returns nil, when a transfer that broke at offset is to go on; err where it
// isn't.
func (b *breaks) takeUp(ctx context.Context, offset int64, err error) error {
	if ctx.Err() != nil {
		return ended(ctx)
	}
	if !IsBreak(err) {
		return err
	}
	b.n++
	if b.files.OnBreak == nil && b.n > breaksMax || b.files.OnBreak != nil && !b.files.OnBreak(b.name, offset, err) {
		return err
	}
	wait := time.NewTimer(min(time.Duration(1)<<min(b.n, 6)*breakWait/2, breakWaitMax))
	defer wait.Stop()
	select {
	case <-ctx.Done():
		return ended(ctx)
	case <-wait.C:
		return nil
	}
}

// breakWait is waited for after the first break, and twice as long after each that follows, up
// to breakWaitMax: a server that is started anew takes seconds.
const (
	breakWait    = 250 * time.Millisecond
	breakWaitMax = 5 * time.Second
)

// IsBreak tells an error of a transfer that broke off, and may be tried again, from one that
// was refused.
func IsBreak(err error) bool {
	var refused *sallyport.Error
	if errors.As(err, &refused) {
		switch refused.Code {
		case sallyport.CodeExecTransport, sallyport.CodeConnectFailed, sallyport.CodeConnectTimeout, sallyport.CodeDraining,
			sallyport.CodeInterrupted, sallyport.CodePlatformUnavailable, sallyport.CodeTooManyTransfers, sallyport.CodeRateLimited,
			sallyport.CodeRequestTimeout, sallyport.CodeCanceled, sallyport.CodeUploadOffsetMismatch:
			return true
		}
		return false
	}
	var other *StatusError
	if errors.As(err, &other) { // a proxy's, whose server is away for a moment
		return other.StatusCode == http.StatusBadGateway || other.StatusCode == http.StatusServiceUnavailable || other.StatusCode == http.StatusGatewayTimeout
	}
	return !errors.Is(err, ErrFileChanged) && !isOwn(err)
}
