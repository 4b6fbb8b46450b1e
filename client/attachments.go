package client

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"mime/multipart"
	"net/http"
	"strconv"
	"time"

	"sallyport/client/sallyport"
)

// Attachments are the files that people and agents hand each other on one workspace. It may
// be used by several goroutines at the same time.
type Attachments struct {
	client    *Client
	workspace string
}

// Attachments returns the attachments of a workspace, an id or a name. Nothing is asked yet.
func (c *Client) Attachments(workspace string) *Attachments {
	return &Attachments{client: c, workspace: workspace}
}

// NewAttachment is a file to attach.
type NewAttachment struct {
	// Name is what the file is called; the server makes it safe.
	Name string
	// Content is read to its end.
	Content io.Reader
}

// List returns one page, newest first.
func (a *Attachments) List(ctx context.Context, p Page) (sallyport.List[sallyport.Attachment], error) {
	var list sallyport.List[sallyport.Attachment]
	r, err := a.call("list attachments", http.MethodGet)
	if err != nil {
		return list, err
	}
	for name, values := range p.query() {
		r.query[name] = values
	}
	return list, a.client.do(ctx, r, &list)
}

// All yields every attachment, newest first, and ends with the first error.
func (a *Attachments) All(ctx context.Context) iter.Seq2[sallyport.Attachment, error] {
	return all(func(cursor string) (sallyport.List[sallyport.Attachment], error) {
		return a.List(ctx, Page{Limit: pageMax, Cursor: cursor})
	})
}

// Get returns the record of an attachment. The error's code is attachment_not_found for one
// that there isn't, or that has expired.
func (a *Attachments) Get(ctx context.Context, id string) (sallyport.Attachment, error) {
	var found sallyport.Attachment
	r, err := a.one("look at attachment", http.MethodGet, id)
	if err != nil {
		return found, err
	}
	return found, a.client.do(ctx, r, &found)
}

// Open opens an attachment's content, as Files.Open does a file's: a transfer that breaks off
// is taken up again, and a short content is never a whole one. The caller closes it.
func (a *Attachments) Open(ctx context.Context, id string) (*File, error) {
	r, err := a.one("read attachment", http.MethodGet, id, "content")
	if err != nil {
		return nil, err
	}
	return openContent(ctx, a.client, r, breaks{files: a.client.Files(a.workspace), name: id})
}

// Add attaches files, 1 to 20, all or none, for life, whole seconds from a minute to 30 days;
// 0 is a week. They are streamed, and can't be sent twice: nothing is tried again.
func (a *Attachments) Add(ctx context.Context, life time.Duration, files ...NewAttachment) ([]sallyport.Attachment, error) {
	r, err := a.call("attach files", http.MethodPost)
	if err != nil {
		return nil, err
	}
	form, contentType, err := formOf(life, files)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.doing, err)
	}
	made, err := a.add(ctx, r, form, contentType)
	if err != nil {
		if ctx.Err() != nil {
			err = ended(ctx)
		}
		return nil, fmt.Errorf("%s: %w", r.doing, err)
	}
	return made, nil
}

func (a *Attachments) add(ctx context.Context, r call, form io.Reader, contentType string) ([]sallyport.Attachment, error) {
	req, err := a.client.request(ctx, r)
	if err != nil {
		return nil, err
	}
	body := &uploadBody{r: form}
	setBody(req, body, -1)
	req.Header.Set("Content-Type", contentType)
	answer, err := a.client.send(req)
	if answer != nil {
		defer answer.Body.Close()
	}
	if own := body.end(); own != nil {
		return nil, &ownError{own}
	}
	if err != nil {
		return nil, err
	}
	if answer.StatusCode >= 300 {
		return nil, readError(answer)
	}
	if !isMedia(answer, sallyport.MediaJSON) {
		return nil, notOurs(answer)
	}
	var made sallyport.Attached
	if err := a.client.read(answer, &made); err != nil {
		return nil, err
	}
	return made.Items, nil
}

// formOf is a form of files, which are read as it is.
func formOf(life time.Duration, files []NewAttachment) (form io.Reader, contentType string, err error) {
	var part bytes.Buffer
	var parts []io.Reader
	w := multipart.NewWriter(&part)
	cut := func() io.Reader {
		text := bytes.Clone(part.Bytes())
		part.Reset()
		return bytes.NewReader(text)
	}
	if life != 0 {
		if err := w.WriteField("expires_in_s", strconv.FormatInt(int64(life/time.Second), 10)); err != nil {
			return nil, "", err
		}
	}
	for _, f := range files {
		if _, err := w.CreateFormFile("file", formName(f.Name)); err != nil {
			return nil, "", err
		}
		parts = append(parts, cut(), f.Content)
	}
	if err := w.Close(); err != nil {
		return nil, "", err
	}
	return io.MultiReader(append(parts, cut())...), w.FormDataContentType(), nil
}

// formName is a file's name as a form can carry it: its header holds no control characters,
// of which the server makes "_" as well.
func formName(name string) string {
	carried := []byte(name)
	for i, c := range carried {
		if c < ' ' || c == 0x7f {
			carried[i] = '_'
		}
	}
	return string(carried)
}

// Copy attaches a file of the workspace, as it is now, for life; see Add. It takes the scope
// files:read too.
func (a *Attachments) Copy(ctx context.Context, name string, life time.Duration) (sallyport.Attachment, error) {
	r, err := a.call("attach "+name, http.MethodPost)
	if err != nil {
		return sallyport.Attachment{}, err
	}
	body := sallyport.AttachmentCopy{ExpiresInS: int64(life / time.Second)}
	body.Path, body.PathBase64 = sallyport.FileText(name)
	r.body = body
	var made sallyport.Attached
	if err := a.client.do(ctx, r, &made); err != nil {
		return sallyport.Attachment{}, err
	}
	if len(made.Items) != 1 {
		return sallyport.Attachment{}, fmt.Errorf("%s: the answer has %d attachments", r.doing, len(made.Items))
	}
	return made.Items[0], nil
}

// Remove deletes an attachment, its file first.
func (a *Attachments) Remove(ctx context.Context, id string) error {
	r, err := a.one("delete attachment", http.MethodDelete, id)
	if err != nil {
		return err
	}
	return a.client.do(ctx, r, nil)
}

// one is a call about one attachment.
func (a *Attachments) one(doing, method, id string, more ...string) (call, error) {
	if err := checkRef("attachment", id); err != nil {
		return call{}, err
	}
	return a.call(doing+" "+id, method, append([]string{id}, more...)...)
}

func (a *Attachments) call(doing, method string, below ...string) (call, error) {
	if err := checkRef("workspace", a.workspace); err != nil {
		return call{}, err
	}
	return call{
		doing: doing + " on " + a.workspace, method: method, query: orgQuery(a.client.Org),
		path: path(append([]string{"workspaces", a.workspace, "attachments"}, below...)...),
	}, nil
}
