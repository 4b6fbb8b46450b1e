package httpapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"

	"sallyport/client/sallyport"
	"sallyport/internal/gateway"
	"sallyport/internal/limits"
)

// replaceInFile is POST …/files/{path} with the action replace: what was read is written
// back, changed, if it is still there.
func (c *call) replaceInFile(path string, action sallyport.FileAction) error {
	conds := conditionsOf(c.r.Header)
	var done sallyport.FileReplaced
	file := gateway.File{Op: sallyport.FileOpReplace, Path: path, Reads: true, Writes: true, Slow: true}
	err := c.file(file, func(ctx context.Context, tree *gateway.FileTree, outcome *gateway.FileOutcome) error {
		content, etag, err := readAll(ctx, tree, path, conds)
		if err != nil {
			return err
		}
		found := bytes.Count(content, []byte(action.Old))
		if found == 0 || action.Expect != nil && found != *action.Expect {
			return noMatch(found)
		}
		content = bytes.ReplaceAll(content, []byte(action.Old), []byte(action.New))
		entry, err := writeBack(ctx, tree, path, etag, content)
		if err != nil {
			return err
		}
		n, sum := int64(len(content)), sha256.Sum256(content)
		outcome.Bytes, outcome.SHA256 = &n, hex.EncodeToString(sum[:])
		done = sallyport.FileReplaced{FileEntry: wireEntry(entry), Replaced: found}
		return nil
	})
	if err != nil {
		return err
	}
	c.w.Header().Set("ETag", done.ETag)
	c.answer(http.StatusOK, done)
	return nil
}

// readAll reads a file that is small enough to be changed in memory.
func readAll(ctx context.Context, tree *gateway.FileTree, path string, conds conditions) (content []byte, etag string, err error) {
	var b bytes.Buffer
	_, err = tree.Read(ctx, path, true, func(e gateway.FileEntry, _ []byte) (gateway.FileSpan, io.Writer, error) {
		if e.Size > limits.ReplaceFileMax {
			return gateway.FileSpan{}, nil, sallyport.Errorf(sallyport.CodeFileTooLarge, "text is replaced in files of at most %d bytes", limits.ReplaceFileMax)
		}
		etag = e.ETag
		return gateway.FileSpan{Length: e.Size}, &b, conds.ready(&e)
	})
	return b.Bytes(), etag, err
}

// writeBack writes a file that is still what was read.
func writeBack(ctx context.Context, tree *gateway.FileTree, path, etag string, content []byte) (gateway.FileEntry, error) {
	entry, _, err := tree.Write(ctx, path, bytes.NewReader(content), int64(len(content)), gateway.FilePut{
		Alone: func() func() { return tree.Alone(path) },
		Ready: conditions{ifMatch: []string{etag}}.ready,
	})
	return entry, err
}

func noMatch(found int) error {
	e := sallyport.Errorf(sallyport.CodeNoMatch, "the text is not in the file as often as was expected, but %d times", found)
	e.Found = &found
	return e
}
