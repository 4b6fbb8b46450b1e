package httpapi

import (
	"context"
	"encoding/base64"
	"net/http"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"

	"sallyport/client/sallyport"
	"sallyport/internal/gateway"
	"sallyport/internal/limits"
)

// file does one operation on a workspace's files; see gateway.File.
func (c *call) file(f gateway.File, do func(context.Context, *gateway.FileTree, *gateway.FileOutcome) error) error {
	f.Recorded = c.recorded
	return c.api.Gateway.File(c.r.Context(), c.by, c.ref(), f, do)
}

// recorded names the row of the request in its answer: the first, where it has several.
func (c *call) recorded(rowID string) {
	if c.execID == "" {
		c.execID = rowID
		c.w.Header().Set(sallyport.HeaderActivityID, rowID)
	}
}

// admitted wraps a handler of files: a draining server lets none in.
func admitted(handle func(*call) error) func(*call) error {
	return func(c *call) error {
		done, err := c.api.Gateway.Admit()
		if err != nil {
			return err
		}
		defer done()
		return handle(c)
	}
}

// getFile is GET and HEAD …/files/{path}: what is asked for, the query says.
func (c *call) getFile() error {
	path, err := c.urlFilePath()
	if err != nil {
		return err
	}
	query, err := c.params("stat", "archive", "download")
	if err != nil {
		return err
	}
	stat, err := query.boolean("stat")
	if err != nil {
		return err
	}
	switch archive := query.Get("archive"); {
	case query.Has("archive") && archive != "tar":
		return sallyport.Errorf(sallyport.CodeInvalidArchive, "archive must be tar")
	case archive != "":
		return c.archiveFiles(path)
	case stat:
		return c.statFile(path)
	}
	download, err := query.boolean("download")
	if err != nil {
		return err
	}
	if c.r.Method == http.MethodHead && c.r.Header.Get(sallyport.HeaderUploadID) != "" {
		return c.uploadOffset(path)
	}
	return c.readFile(path, download)
}

func (c *call) statFile(path string) error {
	var entry gateway.FileEntry
	err := c.file(gateway.File{Op: sallyport.FileOpStat, Path: path, Reads: true}, func(ctx context.Context, tree *gateway.FileTree, _ *gateway.FileOutcome) (err error) {
		entry, err = tree.Stat(ctx, path)
		return err
	})
	if err != nil {
		return err
	}
	c.answerEntry(http.StatusOK, entry)
	return nil
}

func (c *call) answerEntry(status int, e gateway.FileEntry) {
	if e.ETag != "" {
		c.w.Header().Set("ETag", e.ETag)
	}
	c.answer(status, wireEntry(e))
}

// listing is one page of a directory that is asked for.
type listing struct {
	walk  gateway.FileWalk
	limit int
	glob  string
	text  string

	page sallyport.List[sallyport.FileEntry]
	last string // the path that was looked at last
	full bool
	used int // bytes of the page, about
}

// listFiles is GET …/files.
func (c *call) listFiles() error {
	l, err := c.listing()
	if err != nil {
		return err
	}
	path := l.walk.Path
	err = c.file(gateway.File{Op: sallyport.FileOpList, Path: path, Reads: true, Slow: true}, func(ctx context.Context, tree *gateway.FileTree, outcome *gateway.FileOutcome) error {
		err := l.run(ctx, tree)
		n := int64(len(l.page.Items))
		outcome.Entries = &n
		return err
	})
	if err != nil {
		return err
	}
	if l.full {
		l.page.NextCursor = fileCursor(l.last)
	}
	c.answer(http.StatusOK, l.page)
	return nil
}

func (c *call) listing() (*listing, error) {
	query, err := c.params("path", "depth", "glob", "text", "limit", "cursor")
	if err != nil {
		return nil, err
	}
	l := &listing{glob: query.Get("glob"), text: query.Get("text"), page: sallyport.List[sallyport.FileEntry]{Items: []sallyport.FileEntry{}}}
	if strings.HasPrefix(query.Get("path"), "/") {
		return nil, sallyport.Errorf(sallyport.CodeInvalidPath, "a path is relative to the workspace's root")
	}
	if l.walk.Path, err = filePath(query.Get("path")); err != nil {
		return nil, err
	}
	if l.walk.Depth, err = query.integer("depth", 1, 1); err != nil || l.walk.Depth > limits.FileDepthMax {
		return nil, sallyport.Errorf(sallyport.CodeInvalidDepth, "depth must be a whole number from 1 to %d", limits.FileDepthMax)
	}
	if l.limit, err = query.integer("limit", 1, limits.PageDefault); err != nil {
		return nil, err
	}
	l.limit = min(l.limit, limits.PageMax)
	if query.Has("glob") && (l.glob == "" || !doublestar.ValidatePattern(globPattern(l.glob))) {
		return nil, sallyport.Errorf(sallyport.CodeInvalidGlob, "the glob can't be read: *, ?, [a-z] stand for what is within a name, ** goes across names")
	}
	if query.Has("text") && (l.text == "" || len(l.text) > limits.SearchTextMax || strings.ContainsAny(l.text, "\n\x00")) {
		return nil, sallyport.Errorf(sallyport.CodeInvalidText, "text must be 1 to %d bytes without a newline", limits.SearchTextMax)
	}
	if l.glob == "" && l.text == "" {
		l.walk.Chunk = l.limit + 1 // one more shows whether there is a next page
	}
	l.walk.After, err = fileCursorPath(query.Get("cursor"), l.walk.Path)
	return l, err
}

// globPattern is a glob as the library has it: it knows alternatives in braces, we don't.
func globPattern(glob string) string {
	return strings.NewReplacer("{", `\{`, "}", `\}`).Replace(glob)
}

// run fills the page.
func (l *listing) run(ctx context.Context, tree *gateway.FileTree) error {
	until := time.Now().Add(limits.FileLookTime)
	l.walk.Each = func(e gateway.FileEntry) error {
		if len(l.page.Items) == l.limit || l.used > limits.PageBytesMax || time.Now().After(until) {
			l.full = true
			return gateway.ErrFileStop
		}
		l.last = e.Path
		if !l.matches(e) {
			return gateway.ErrFileSkip
		}
		if l.text == "" {
			l.add(wireEntry(e))
		}
		return nil
	}
	if l.text == "" {
		each := l.walk.Each
		l.walk.Each = func(e gateway.FileEntry) error {
			if err := each(e); err != gateway.ErrFileSkip {
				return err
			}
			return nil
		}
		return tree.List(ctx, l.walk)
	}
	return tree.Search(ctx, l.walk, l.text, func(e gateway.FileEntry, found []gateway.FileMatch) error {
		entry := wireEntry(e)
		for _, m := range found {
			match := sallyport.FileMatch{Line: m.Line}
			match.Text, match.TextBase64 = sallyport.FileText(string(m.Text))
			entry.Matches = append(entry.Matches, match)
			l.used += len(m.Text)*2 + entryBytes
		}
		l.add(entry)
		return nil
	})
}

// entryBytes is about what an entry takes in JSON beside its names.
const entryBytes = 200

func (l *listing) add(e sallyport.FileEntry) {
	l.page.Items = append(l.page.Items, e)
	path, _ := e.RawPath() // made of bytes a moment ago
	l.used += 3*len(path) + entryBytes
}

// matches tells whether the glob takes an entry: its name, or with a slash its path below
// the directory.
func (l *listing) matches(e gateway.FileEntry) bool {
	if l.glob == "" {
		return true
	}
	subject := e.Path[strings.LastIndexByte(e.Path, '/')+1:]
	if strings.Contains(l.glob, "/") {
		subject = strings.TrimPrefix(strings.TrimPrefix(e.Path, l.walk.Path), "/")
	}
	return doublestar.MatchUnvalidated(globPattern(l.glob), subject)
}

// fileCursor is the cursor behind a path.
func fileCursor(path string) string { return base64.RawURLEncoding.EncodeToString([]byte("f" + path)) }

// fileCursorPath is the path that a cursor stands behind, below the directory that is
// listed.
func fileCursorPath(cursor, below string) (string, error) {
	if cursor == "" {
		return "", nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	if err == nil && len(raw) > 1 && raw[0] == 'f' {
		path, err := filePath(string(raw[1:]))
		if err == nil && path != "" && (below == "" || strings.HasPrefix(path, below+"/")) {
			return path, nil
		}
	}
	return "", sallyport.Errorf(sallyport.CodeInvalidCursor, "the cursor is none of this listing")
}
