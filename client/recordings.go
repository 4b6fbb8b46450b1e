package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"

	"sallyport/client/sallyport"
)

// ListRecordings returns one page of an organisation's or a workspace's recordings of
// terminals, newest first. It takes the scope terminal:read.
func (c *Client) ListRecordings(ctx context.Context, of Owner, p Page) (sallyport.List[sallyport.Recording], error) {
	var list sallyport.List[sallyport.Recording]
	owner, err := of.find(ctx, c)
	if err != nil {
		return list, err
	}
	q := p.query()
	set(q, "org", owner.lookupOrg())
	return list, c.do(ctx, call{doing: "list recordings", method: http.MethodGet, path: owner.path("recordings"), query: q}, &list)
}

// AllRecordings yields every one of them, newest first, and ends with the first error.
func (c *Client) AllRecordings(ctx context.Context, of Owner) iter.Seq2[sallyport.Recording, error] {
	return all(func(cursor string) (sallyport.List[sallyport.Recording], error) {
		return c.ListRecordings(ctx, of, Page{Limit: pageMax, Cursor: cursor})
	})
}

// ReadRecording returns the recording of a terminal, by the terminal's id, as asciicast, version
// 2. It leaves a row in the activity log. The error's code is running while the terminal runs.
// The caller closes what it returns; a Read of a recording that was cut off never ends in
// io.EOF. It takes the scope terminal:read.
func (c *Client) ReadRecording(ctx context.Context, of Owner, id string) (io.ReadCloser, error) {
	r, err := c.oneRecording(ctx, of, "read recording ", http.MethodGet, id)
	if err != nil {
		return nil, err
	}
	body, err := c.openRecording(ctx, r)
	if err != nil {
		if ctx.Err() != nil {
			err = ended(ctx)
		}
		return nil, fmt.Errorf("%s: %w", r.doing, err)
	}
	return body, nil
}

func (c *Client) openRecording(ctx context.Context, r call) (io.ReadCloser, error) {
	req, err := c.request(ctx, r)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", sallyport.MediaAsciicast)
	answer, err := c.send(req)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode == http.StatusOK && isMedia(answer, sallyport.MediaAsciicast) {
		return &recordingBody{answer.Body, r.doing}, nil
	}
	defer answer.Body.Close()
	if answer.StatusCode >= 300 {
		return nil, readError(answer)
	}
	return nil, notOurs(answer)
}

// recordingBody names what is read in its errors.
type recordingBody struct {
	io.ReadCloser
	doing string
}

// Read reads the next bytes of the asciicast.
func (b *recordingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("%s: the answer was cut off: %w", b.doing, err)
	}
	return n, err
}

// DeleteRecording deletes the recording of a terminal, by the terminal's id; the terminal's own
// row stays. It takes the scope workspaces.
func (c *Client) DeleteRecording(ctx context.Context, of Owner, id string) error {
	r, err := c.oneRecording(ctx, of, "delete recording ", http.MethodDelete, id)
	if err != nil {
		return err
	}
	return c.do(ctx, r, nil)
}

func (c *Client) oneRecording(ctx context.Context, of Owner, doing, method, id string) (call, error) {
	if err := checkRef("recording", id); err != nil {
		return call{}, err
	}
	owner, err := of.find(ctx, c)
	if err != nil {
		return call{}, err
	}
	q := url.Values{}
	set(q, "org", owner.lookupOrg())
	return call{doing: doing + id, method: method, path: owner.path("recordings", id), query: q}, nil
}
