package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"sallyport/client/sallyport"
)

// answerBytesMax bounds an answer that is read whole: a page of 500 rows of the
// activity log with the longest argv each, escaped.
const answerBytesMax = 512 << 20

// call is one request of the API.
type call struct {
	// doing names the call in its errors.
	doing  string
	method string
	// path is escaped, from the API's root.
	path  string
	query url.Values
	// body is sent as JSON; nil is no body.
	body any
	// stream is sent as it is, with its media type, where body is nil; nil is none.
	stream    io.Reader
	mediaType string
	// key is the Idempotency-Key; "" is none.
	key string
}

// path joins the elements of a route, each escaped.
func path(elements ...string) string {
	var b strings.Builder
	for _, e := range elements {
		b.WriteString("/")
		b.WriteString(url.PathEscape(e))
	}
	return b.String()
}

// checkRef refuses text that can be neither an id nor a name, and would make another route.
func checkRef(what, ref string) error {
	if ref == "" {
		return fmt.Errorf("the %s is missing: give its name or its id", what)
	}
	if strings.Trim(ref, ".") == "" {
		return fmt.Errorf("%q is neither the name nor the id of a %s", ref, what)
	}
	return nil
}

// do sends a call and reads its JSON answer into out; nil reads none. Its errors
// say what was being done.
func (c *Client) do(ctx context.Context, r call, out any) error {
	err := c.roundTrip(ctx, r, out)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		err = ended(ctx)
	}
	return fmt.Errorf("%s: %w", r.doing, err)
}

func (c *Client) roundTrip(ctx context.Context, r call, out any) error {
	req, err := c.request(ctx, r)
	if err != nil {
		return err
	}
	answer, err := c.send(req)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode >= 300 {
		return readError(answer)
	}
	if out == nil {
		return nil
	}
	if !isMedia(answer, sallyport.MediaJSON) {
		return notOurs(answer)
	}
	return c.read(answer, out)
}

// read reads an answer whole, and decodes it.
func (c *Client) read(answer *http.Response, out any) error {
	body, err := io.ReadAll(io.LimitReader(answer.Body, answerBytesMax+1))
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if len(body) > answerBytesMax {
		return fmt.Errorf("the answer is larger than %d bytes", answerBytesMax)
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if c.OnAnswer != nil {
		c.OnAnswer(body)
	}
	return nil
}

func (c *Client) request(ctx context.Context, r call) (*http.Request, error) {
	base, err := c.base()
	if err != nil {
		return nil, err
	}
	address := base + r.path
	if len(r.query) > 0 {
		address += "?" + r.query.Encode()
	}
	body, mediaType := r.stream, r.mediaType
	if r.body != nil {
		line, err := encodeLine(r.body)
		if err != nil {
			return nil, err
		}
		body, mediaType = line, sallyport.MediaJSON
	}
	req, err := http.NewRequestWithContext(ctx, r.method, address, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(c.Token)) // a file's ends in a newline
	req.Header.Set("Accept", sallyport.MediaJSON)
	if body != nil {
		req.Header.Set("Content-Type", mediaType)
	}
	if r.key != "" {
		req.Header.Set(sallyport.HeaderIdempotencyKey, r.key)
	}
	return req, nil
}

// encodeLine is v as JSON on one line, with its end.
func encodeLine(v any) (*bytes.Buffer, error) {
	var line bytes.Buffer
	encoder := json.NewEncoder(&line)
	encoder.SetEscapeHTML(false) // it would make six bytes of one
	return &line, encoder.Encode(v)
}

// base is URL without the slash at its end, checked.
func (c *Client) base() (string, error) {
	u, err := url.Parse(c.URL)
	switch {
	case err != nil:
		return "", errors.New("the server's URL can't be read; write it as https://HOST or http://HOST:PORT")
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return "", fmt.Errorf("%q is not a server's URL; write it as https://HOST or http://HOST:PORT", u.Redacted())
	case u.User != nil, u.RawQuery != "", u.Fragment != "":
		return "", fmt.Errorf("the server's URL is its address alone, and %q has a user, a query or a fragment", u.Redacted())
	}
	return strings.TrimRight(u.String(), "/"), nil
}

// send sends a request, and takes a redirect for the answer.
func (c *Client) send(req *http.Request) (*http.Response, error) {
	sender := http.Client{}
	if c.HTTPClient != nil {
		sender = *c.HTTPClient
	}
	sender.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	answer, err := sender.Do(req)
	if err != nil {
		var withURL *url.Error
		if errors.As(err, &withURL) {
			err = withURL.Err
		}
		return nil, fmt.Errorf("reach %s://%s: %w", req.URL.Scheme, req.URL.Host, err)
	}
	return answer, nil
}

func isMedia(answer *http.Response, want string) bool {
	media, _, err := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	return err == nil && media == want
}

// Page asks for a part of a listing. The zero value is the first page, as long
// as the server makes it.
type Page struct {
	// Limit is how many items to get at most; over 500 is 500.
	Limit int
	// Cursor is the NextCursor of the page before.
	Cursor string
}

func (p Page) query() url.Values {
	q := url.Values{}
	if p.Limit != 0 {
		q.Set("limit", strconv.Itoa(p.Limit))
	}
	set(q, "cursor", p.Cursor)
	return q
}

// set sets a parameter that has a value.
func set(q url.Values, key, value string) {
	if value != "" {
		q.Set(key, value)
	}
}

// all yields the items of every page, and ends with the first error.
func all[T any](page func(cursor string) (sallyport.List[T], error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		for cursor := ""; ; {
			list, err := page(cursor)
			if err != nil {
				yield(none, err)
				return
			}
			for _, item := range list.Items {
				if !yield(item, nil) {
					return
				}
			}
			if list.NextCursor == "" {
				return
			}
			if list.NextCursor == cursor {
				yield(none, errors.New("the server names the same page twice"))
				return
			}
			cursor = list.NextCursor
		}
	}
}
