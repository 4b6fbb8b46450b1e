package httpapi

import (
	"context"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/gateway"
	"sallyport/internal/limits"
)

// listAttachments is GET …/attachments.
func (c *call) listAttachments() error {
	if _, err := c.params("limit", "cursor"); err != nil {
		return err
	}
	page, err := c.page()
	if err != nil {
		return err
	}
	found, err := c.api.Gateway.ListAttachments(c.r.Context(), c.by, c.ref(), page)
	if err != nil {
		return err
	}
	c.answer(http.StatusOK, found)
	return nil
}

// getAttachment is GET …/attachments/{attachment}.
func (c *call) getAttachment() error {
	if _, err := c.params(); err != nil {
		return err
	}
	a, err := c.api.Gateway.Attachment(c.r.Context(), c.by, c.ref(), c.r.PathValue("attachment"))
	if err != nil {
		return err
	}
	c.answer(http.StatusOK, a)
	return nil
}

// deleteAttachment is DELETE …/attachments/{attachment}.
func (c *call) deleteAttachment() error {
	if _, err := c.params(); err != nil {
		return err
	}
	if err := c.api.Gateway.DeleteAttachment(c.r.Context(), c.by, c.ref(), c.r.PathValue("attachment"), c.recorded); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// attachmentContent is GET and HEAD …/attachments/{attachment}/content. What is answered
// never runs in a browser as if it were this server's own.
func (c *call) attachmentContent() error {
	if _, err := c.params(); err != nil {
		return err
	}
	a, err := c.api.Gateway.AttachmentFile(c.r.Context(), c.by, c.ref(), c.r.PathValue("attachment"))
	if err != nil {
		return err
	}
	entry := gateway.FileEntry{Path: a.Path, Size: a.Size, ModTime: a.CreatedAt, ETag: `"` + a.SHA256 + `"`}
	file := gateway.File{Op: sallyport.FileOpAttachmentRead, Path: a.Path, Attachments: true}
	return c.sendContent(file, func(ctx context.Context, tree *gateway.FileTree, mayStop bool, want wanting) (int64, error) {
		n, err := tree.ReadAttachment(ctx, a.ID, a.Name, mayStop, func(e gateway.FileEntry, _ []byte) (gateway.FileSpan, io.Writer, error) {
			if e.Size != a.Size {
				return gateway.FileSpan{}, nil, gateway.AttachmentGone()
			}
			c.w.Header().Set("Cross-Origin-Resource-Policy", "same-origin")
			return want(entry, a.MediaType, true)
		})
		if gateway.IsAttachmentMissing(err) {
			err = gateway.AttachmentGone()
		}
		return n, err
	})
}

// createAttachments is POST …/attachments: a form's files, or a copy of a file of the
// workspace.
func (c *call) createAttachments() error {
	if _, err := c.params(); err != nil {
		return err
	}
	if err := c.checkEncoding(); err != nil {
		return err
	}
	types := c.r.Header["Content-Type"]
	media, params, err := mime.ParseMediaType(strings.Join(types, ","))
	switch {
	case len(types) == 0, err == nil && (media == sallyport.MediaJSON || media == "application/x-www-form-urlencoded"): // which curl -d says
		return c.copyAttachment()
	case err == nil && media == "multipart/form-data" && params["boundary"] != "":
		return c.attachForm(params["boundary"])
	}
	return sallyport.Errorf(sallyport.CodeUnsupportedMediaType, "send multipart/form-data with its boundary, each file a part with a file name, or application/json with the path of a file to copy")
}

// attachmentBody is the JSON body of POST …/attachments.
type attachmentBody struct {
	Path       optional[string]  `json:"path"`
	PathBase64 optional[string]  `json:"path_base64"`
	ExpiresInS optional[integer] `json:"expires_in_s"`
}

func (c *call) copyAttachment() error {
	body, err := decode[attachmentBody](c)
	if err != nil {
		return err
	}
	path, err := body.path()
	if err != nil {
		return err
	}
	life := limits.AttachmentLifeDefault
	if body.ExpiresInS.is() {
		if life, err = attachmentLife(int64(body.ExpiresInS.value)); err != nil {
			return err
		}
	}
	given := false
	return c.attach(gateway.Attach{Copies: true, Next: func(context.Context) (gateway.NewAttachment, error) {
		if given {
			return gateway.NewAttachment{}, io.EOF
		}
		given = true
		return gateway.NewAttachment{Name: path, Life: life, Source: path}, nil
	}})
}

func (b attachmentBody) path() (string, error) {
	var text, coded *string
	if b.Path.is() {
		text = &b.Path.value
	}
	if b.PathBase64.is() {
		coded = &b.PathBase64.value
	}
	raw, err := rawText(text, coded, sallyport.CodeInvalidPath)
	if err != nil {
		return "", err
	}
	path, err := filePath(raw)
	if err != nil {
		return "", err
	}
	if path == "" {
		return "", sallyport.Errorf(sallyport.CodeInvalidPath, "the path of a file is needed; the root itself is none")
	}
	return path, nil
}

// attach makes attachments, and answers with them.
func (c *call) attach(req gateway.Attach) error {
	req.MediaType, req.Recorded = http.DetectContentType, c.recorded
	made, err := c.api.Gateway.Attach(c.r.Context(), c.by, c.ref(), req)
	if err != nil {
		return err
	}
	c.answer(http.StatusCreated, sallyport.Attached{Items: made})
	return nil
}

// attachmentLife is how long an attachment lives that is to expire in so many seconds.
func attachmentLife(seconds int64) (time.Duration, error) {
	const least, most = int64(limits.AttachmentLifeMin / time.Second), int64(limits.AttachmentLifeMax / time.Second)
	if seconds < least || seconds > most {
		return 0, sallyport.Errorf(sallyport.CodeInvalidExpiry, "expires_in_s must be a whole number from %d to %d", least, most)
	}
	return time.Duration(seconds) * time.Second, nil
}
