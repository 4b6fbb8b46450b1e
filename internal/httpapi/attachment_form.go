package httpapi

import (
	"bufio"
	"context"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/gateway"
	"sallyport/internal/limits"
)

// attachForm makes attachments of the files of a form, as they arrive.
func (c *call) attachForm(boundary string) error {
	body := &formBody{c: c}
	form := &attachmentForm{body: body, parts: multipart.NewReader(body, boundary), trailer: int64(len("\r\n--" + boundary + "--")), life: limits.AttachmentLifeDefault}
	if form.length = c.r.ContentLength; form.length < 0 {
		form.trailer = 0
	}
	err := c.attach(gateway.Attach{Next: form.next})
	if err != nil && body.read > 0 && body.fault == nil {
		c.limitBody(limits.BodyUnreadTime)
		_, _ = io.Copy(io.Discard, c.r.Body) // so that the caller gets to read the answer; one who is slow loses the connection
	}
	return err
}

// attachmentForm is a form whose files become attachments.
type attachmentForm struct {
	body  *formBody
	parts *multipart.Reader
	// length is that of the body, -1 where it isn't known; trailer is how much stands behind
	// the last file at least.
	length, trailer int64
	life            time.Duration
	lifeGiven       bool
	files           int
}

// next is gateway.Attach.Next.
func (f *attachmentForm) next(ctx context.Context) (gateway.NewAttachment, error) {
	defer f.body.within(ctx)()
	f.body.between = limits.AttachmentFormBytesMax
	for {
		began := f.body.read
		part, err := f.parts.NextRawPart()
		if err == io.EOF {
			return gateway.NewAttachment{}, io.EOF
		}
		if err != nil {
			return gateway.NewAttachment{}, f.body.failed(err)
		}
		field, file, isFile, err := disposition(part.Header)
		if err != nil {
			return gateway.NewAttachment{}, err
		}
		if !isFile {
			if err := f.field(field, part); err != nil {
				return gateway.NewAttachment{}, err
			}
			continue
		}
		content := bufio.NewReaderSize(part, 16)
		if _, err := content.Peek(1); err == io.EOF && file == "" {
			continue // a browser's form in which no file was chosen
		}
		f.files++
		return gateway.NewAttachment{Name: file, Life: f.life, Content: f.content(content), SizeMax: f.sizeMax(began)}, nil
	}
}

// disposition is what a part says of itself: the name of its field, and that of its file.
func disposition(h textproto.MIMEHeader) (field, file string, isFile bool, err error) {
	kind, params, err := mime.ParseMediaType(h.Get("Content-Disposition"))
	if err != nil || kind != "form-data" {
		return "", "", false, sallyport.Errorf(sallyport.CodeInvalidAttachments, "a part of the form does not say which field or file it is (Content-Disposition)")
	}
	file, isFile = params["filename"]
	return params["name"], file, isFile, nil
}

// field reads a field that is no file.
func (f *attachmentForm) field(name string, part io.Reader) error {
	if name != "expires_in_s" {
		return unknownField(name, []string{"expires_in_s", "and files, which are parts with a file name"})
	}
	if f.lifeGiven || f.files > 0 {
		return sallyport.Errorf(sallyport.CodeInvalidExpiry, "expires_in_s is given once, before the files")
	}
	const digitsMax = 18
	text, err := io.ReadAll(io.LimitReader(part, digitsMax+1))
	if err != nil {
		return f.body.failed(err)
	}
	seconds, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil || strings.Trim(string(text), "0123456789") != "" {
		seconds = 0
	}
	f.lifeGiven = true
	f.life, err = attachmentLife(seconds)
	return err
}

// content is the content of a file that has begun.
func (f *attachmentForm) content(part io.Reader) func(context.Context) (io.Reader, func()) {
	return func(ctx context.Context) (io.Reader, func()) {
		done := f.body.within(ctx)
		f.body.between = -1
		return formFile{f.body, part}, done
	}
}

// sizeMax is how much there can be of the file that begins here, -1 where that isn't known.
// While the beginning of a part is read, nothing is read beyond; unless it had come before.
func (f *attachmentForm) sizeMax(began int64) int64 {
	if f.length < 0 {
		return -1
	}
	n := f.length - f.body.read - f.trailer + 1 // the byte that was peeked at
	if f.body.read == began {
		const ahead = 4096 // what package multipart reads ahead
		n += ahead
	}
	return max(n, 0)
}

// formFile is the content of a file in a form. Nothing but its end is io.EOF: a form that
// ends within it is no whole file.
type formFile struct {
	body *formBody
	part io.Reader
}

// Read implements io.Reader.
func (f formFile) Read(p []byte) (int, error) {
	n, err := f.part.Read(p)
	if err != nil && err != io.EOF {
		err = f.body.failed(err)
	}
	return n, err
}

// formBody is the body of a form. Between files it gives a byte at a time, so that its
// reader is never ahead of what it has understood, and not more than so many.
type formBody struct {
	c   *call
	ctx context.Context
	// between is how many bytes may still come before the next file; -1 within one.
	between int
	read    int64
	fault   error // why it couldn't be read on, as the caller is told
}

// within keeps reads from outlasting ctx, until the returned function is called.
func (b *formBody) within(ctx context.Context) (done func()) {
	b.ctx, b.c.bodyTaken = ctx, true
	stop := context.AfterFunc(ctx, func() { _ = b.c.setReadDeadline(time.Unix(1, 0)) }) // who reads is told by ctx
	return func() { stop() }
}

// Read implements io.Reader.
func (b *formBody) Read(p []byte) (int, error) {
	if b.between == 0 {
		return 0, sallyport.Errorf(sallyport.CodeInvalidAttachments, "more than %d bytes stand between two files of the form", limits.AttachmentFormBytesMax)
	}
	if b.between > 0 && len(p) > 1 {
		p = p[:1]
	}
	n, err := contentReader{b.ctx, b.c, &b.read}.Read(p)
	if b.between > 0 {
		b.between -= n
	}
	if err != nil && err != io.EOF {
		b.fault = err
	}
	return n, err
}

// failed is the error of a form that can't be read on: its body's, or its own.
func (b *formBody) failed(err error) error {
	if b.fault != nil {
		return b.fault
	}
	if known, ok := errors.AsType[*sallyport.Error](err); ok {
		return known
	}
	return sallyport.Errorf(sallyport.CodeInvalidAttachments, "the form is not well formed, or ends early").Because(err)
}
