package httpapi

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/gateway"
	"sallyport/internal/limits"
)

// putFile is PUT …/files/{path}: what is put there, the query says.
func (c *call) putFile() error {
	path, err := c.urlFilePath()
	if err != nil {
		return err
	}
	query, err := c.putParams()
	if err != nil {
		return err
	}
	if strings.Join(c.r.Header["Content-Encoding"], "") != "" {
		return sallyport.Errorf(sallyport.CodeUnsupportedMediaType, "a Content-Encoding is not taken: send the content as it is")
	}
	if c.r.Header.Get("Content-Range") != "" {
		return sallyport.Errorf(sallyport.CodeInvalidContentRange, "a part of a file can't be put: send the whole, or go on with Upload-Id and Upload-Offset")
	}
	mode, err := fileMode(query.Get("mode"), query.Has("mode"), 0o777)
	if err != nil {
		return err
	}
	mtime, err := fileTime(query.Get("mtime"), query.Has("mtime"))
	if err != nil {
		return err
	}
	switch {
	case query.Has("type") && query.Get("type") != sallyport.FileTypeDir:
		return sallyport.Errorf(sallyport.CodeInvalidFileType, "type must be dir")
	case query.Has("archive") && query.Get("archive") != "tar":
		return sallyport.Errorf(sallyport.CodeInvalidArchive, "archive must be tar")
	case query.Has("type"):
		return c.makeDir(path, mode)
	case query.Has("archive"):
		return c.extractFiles(path)
	}
	if err := notRoot(path); err != nil {
		return err
	}
	return c.writeFile(path, gateway.FilePut{Mode: mode, ModTime: mtime})
}

// putParams reads the query, and refuses what doesn't go with what is put.
func (c *call) putParams() (params, error) {
	query, err := c.params("mode", "mtime", "type", "archive")
	switch {
	case err != nil:
		return query, err
	case query.Has("archive"):
		return c.params("archive")
	case query.Has("type"):
		return c.params("type", "mode")
	}
	return query, nil
}

// upload is a write on its way.
type upload struct {
	c      *call
	path   string
	put    gateway.FilePut
	conds  conditions
	digest []byte // of the body, as the request says; nil is unknown
	sum    hash.Hash
	read   int64
}

func (c *call) writeFile(path string, put gateway.FilePut) error {
	u := &upload{c: c, path: path, put: put, conds: conditionsOf(c.r.Header), sum: sha256.New()}
	if err := u.headers(); err != nil {
		return err
	}
	file := gateway.File{Op: sallyport.FileOpWrite, Path: path, Writes: true, Slow: true}
	if u.put.Resume {
		file.Offset = &u.put.Offset
	}
	var entry gateway.FileEntry
	var created bool
	err := c.file(file, func(ctx context.Context, tree *gateway.FileTree, outcome *gateway.FileOutcome) (err error) {
		entry, created, err = u.run(ctx, tree)
		outcome.Bytes = &u.read
		if err == nil {
			outcome.SHA256 = hex.EncodeToString(u.sum.Sum(nil))
		}
		return err
	})
	if err != nil {
		return err
	}
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	c.answerEntry(status, entry)
	return nil
}

// headers reads what the headers say of the upload.
func (u *upload) headers() (err error) {
	h := u.c.r.Header
	if u.digest, err = contentDigest(h.Values("Content-Digest")); err != nil {
		return err
	}
	id, offset := h.Get(sallyport.HeaderUploadID), h.Get(sallyport.HeaderUploadOffset)
	if h.Values(sallyport.HeaderUploadID) == nil && offset == "" {
		return nil
	}
	if u.put.Stage, err = uploadStage(id, u.path); err != nil {
		return err
	}
	if offset != "" {
		n, err := strconv.ParseInt(offset, 10, 64)
		if err != nil || n < 0 {
			return sallyport.Errorf(sallyport.CodeInvalidUploadOffset, "Upload-Offset must be a whole number from 0 on")
		}
		u.put.Resume, u.put.Offset = true, n
	}
	return nil
}

// uploadStage names what is kept of an upload.
func uploadStage(id, path string) (string, error) {
	if len(id) < 1 || len(id) > limits.UploadIDMax || strings.Trim(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") != "" {
		return "", sallyport.Errorf(sallyport.CodeInvalidUploadID, "Upload-Id must be 1 to %d of A-Z, a-z, 0-9, _ and -", limits.UploadIDMax)
	}
	sum := sha256.Sum256([]byte(id + "\x00" + path))
	return gateway.FileStagePrefix + "upload-" + hex.EncodeToString(sum[:16]), nil
}

// contentDigest reads the SHA-256 of a Content-Digest (RFC 9530); nil is none. Other
// algorithms are not looked at.
func contentDigest(fields []string) ([]byte, error) {
	for part := range strings.SplitSeq(strings.Join(fields, ","), ",") {
		value, ok := strings.CutPrefix(strings.TrimSpace(part), "sha-256=")
		if !ok {
			continue
		}
		value, opened := strings.CutPrefix(value, ":")
		value, closed := strings.CutSuffix(value, ":")
		digest, err := base64.StdEncoding.DecodeString(value)
		if !opened || !closed || err != nil || len(digest) != sha256.Size {
			return nil, sallyport.Errorf(sallyport.CodeInvalidContentDigest, "Content-Digest must hold sha-256=:BASE64: of the body")
		}
		return digest, nil
	}
	return nil, nil
}

func (u *upload) run(ctx context.Context, tree *gateway.FileTree) (gateway.FileEntry, bool, error) {
	u.put.New = u.conds.onlyNew()
	if u.conds.any() {
		u.put.Alone = func() func() { return tree.Alone(u.path) }
	}
	u.put.Ready = u.ready
	body, done := u.c.content(ctx, &u.read)
	defer done()
	content := tree.FromCaller(io.TeeReader(body, u.sum))
	entry, created, err := tree.Write(ctx, u.path, content, u.c.r.ContentLength, u.put)
	if u.put.New && sallyport.CodeOf(err) == sallyport.CodeExists {
		err = preconditionFailed()
	}
	return entry, created, err
}

// ready holds what came to what was said of it, and what stands there to the conditions.
func (u *upload) ready(old *gateway.FileEntry) error {
	if u.digest != nil && string(u.sum.Sum(nil)) != string(u.digest) {
		return sallyport.Errorf(sallyport.CodeDigestMismatch, "the body is not what Content-Digest says")
	}
	return u.conds.ready(old)
}

// content is the body of a request, which may send nothing for limits.FileCallerTime; n
// counts it. No read of it outlasts ctx. The caller calls done.
func (c *call) content(ctx context.Context, n *int64) (body io.Reader, done func()) {
	c.bodyTaken = true
	stop := context.AfterFunc(ctx, func() { _ = c.setReadDeadline(time.Unix(1, 0)) }) // who reads is told by ctx
	return contentReader{ctx, c, n}, func() { stop() }
}

type contentReader struct {
	ctx context.Context
	c   *call
	n   *int64
}

func (r contentReader) Read(p []byte) (int, error) {
	err := r.c.setReadDeadline(time.Now().Add(limits.FileCallerTime))
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	if err != nil {
		return 0, canceledCaller(err)
	}
	n, err := r.c.r.Body.Read(p)
	*r.n += int64(n)
	switch {
	case err == nil, err == io.EOF:
	case r.ctx.Err() != nil:
		err = context.Cause(r.ctx)
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = sallyport.Errorf(sallyport.CodeRequestTimeout, "nothing of the body came for %s", limits.FileCallerTime)
	default:
		err = sallyport.Errorf(sallyport.CodeCanceled, "the body broke off").Because(err)
	}
	return n, err
}

// uploadOffset is HEAD with an Upload-Id: how much of an upload is kept.
func (c *call) uploadOffset(path string) error {
	stage, err := uploadStage(c.r.Header.Get(sallyport.HeaderUploadID), path)
	if err != nil {
		return err
	}
	if err := notRoot(path); err != nil {
		return err
	}
	var kept int64
	err = c.file(gateway.File{Op: sallyport.FileOpUploadOffset, Path: path, Writes: true}, func(ctx context.Context, tree *gateway.FileTree, _ *gateway.FileOutcome) error {
		size, since, err := tree.Kept(ctx, path, stage)
		if time.Since(since) < limits.UploadKeepTime {
			kept = size
		}
		return err
	})
	if err != nil {
		return err
	}
	c.w.Header().Set(sallyport.HeaderUploadOffset, strconv.FormatInt(kept, 10))
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

func (c *call) makeDir(path string, mode *uint32) error {
	if c.r.ContentLength != 0 {
		return sallyport.Errorf(sallyport.CodeInvalidBody, "a directory is made with an empty body")
	}
	if mode == nil {
		mode = new(uint32)
		*mode = 0o755
	}
	var entry gateway.FileEntry
	found := path == ""
	err := c.file(gateway.File{Op: sallyport.FileOpMkdir, Path: path, Writes: true}, func(ctx context.Context, tree *gateway.FileTree, _ *gateway.FileOutcome) (err error) {
		if path == "" {
			entry, err = tree.Stat(ctx, path)
			return err
		}
		entry, found, err = tree.Mkdir(ctx, path, *mode)
		return err
	})
	if err != nil {
		return err
	}
	status := http.StatusCreated
	if found {
		status = http.StatusOK
	}
	c.answerEntry(status, entry)
	return nil
}
