package httpapi

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"sallyport/client/sallyport"
	"sallyport/internal/gateway"
)

// archiveFiles is GET …?archive=tar. What was left out is counted in a trailer.
func (c *call) archiveFiles(path string) error {
	h := c.w.Header()
	out := &contentWriter{c: c, status: http.StatusOK}
	var skipped int64
	err := c.file(gateway.File{Op: sallyport.FileOpArchive, Path: path, Reads: true, Slow: true}, func(ctx context.Context, tree *gateway.FileTree, outcome *gateway.FileOutcome) error {
		defer out.within(ctx)()
		h.Set("Content-Type", "application/x-tar")
		h.Set("Trailer", sallyport.HeaderSkipped)
		counted := &countingWriter{w: tree.ToCaller(out)}
		entries, left, err := tree.Archive(ctx, path, counted)
		outcome.Entries, outcome.Bytes, skipped = &entries, &counted.n, left
		return err
	})
	switch {
	case err != nil && c.w.status != 0:
		c.cut(err) // without its end the archive is seen to be cut
	case err != nil:
		h.Del("Content-Type")
		h.Del("Trailer")
		return err
	}
	err = out.finish()
	h.Set(sallyport.HeaderSkipped, strconv.FormatInt(skipped, 10))
	return err
}

// countingWriter counts what is written.
type countingWriter struct {
	w interface{ Write([]byte) (int, error) }
	n int64
}

func (w *countingWriter) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	w.n += int64(n)
	return n, err
}

// extractFiles is PUT …?archive=tar.
func (c *call) extractFiles(path string) error {
	var read int64
	var done sallyport.FilesExtracted
	err := c.file(gateway.File{Op: sallyport.FileOpExtract, Path: path, Writes: true, Slow: true}, func(ctx context.Context, tree *gateway.FileTree, outcome *gateway.FileOutcome) error {
		body, stop := c.content(ctx, &read)
		defer stop()
		x, err := tree.Extract(ctx, path, tree.FromCaller(body))
		outcome.Entries, outcome.Bytes = &x.Entries, &read
		done = sallyport.FilesExtracted{Entries: x.Entries, Bytes: x.Bytes, Skipped: x.Skipped, SkippedEntries: []sallyport.FileSkipped{}}
		for _, s := range x.SkippedEntries {
			skipped := sallyport.FileSkipped{Reason: s.Reason}
			skipped.Path, skipped.PathBase64 = sallyport.FileText(s.Path)
			done.SkippedEntries = append(done.SkippedEntries, skipped)
		}
		return withEntries(err, x.Entries)
	})
	if err != nil {
		return err
	}
	c.answer(http.StatusOK, done)
	return nil
}

// withEntries tells beside an error how many entries were done before it.
func withEntries(err error, n int64) error {
	known, ok := errors.AsType[*sallyport.Error](err)
	if !ok {
		return err
	}
	told := *known
	told.Entries = &n
	return &told
}
