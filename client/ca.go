package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"sallyport"
)

// caBytesMax bounds the file of the CA's keys: a handful of lines.
const caBytesMax = 64 << 10

// CAKeys returns the public keys of the server's SSH CA, newest first: those that
// machines are to trust. It takes no token.
func (c *Client) CAKeys(ctx context.Context) ([]sallyport.CAKey, error) {
	keys, err := c.caKeys(ctx)
	if err != nil {
		if ctx.Err() != nil {
			err = ended(ctx)
		}
		return nil, fmt.Errorf("get the SSH CA's keys: %w", err)
	}
	return keys, nil
}

func (c *Client) caKeys(ctx context.Context) ([]sallyport.CAKey, error) {
	req, err := c.request(ctx, call{method: http.MethodGet, path: "/ca"})
	if err != nil {
		return nil, err
	}
	req.Header.Del("Authorization")
	req.Header.Set("Accept", "text/plain")
	answer, err := c.send(req)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode >= 300 {
		return nil, readError(answer)
	}
	if !isMedia(answer, "text/plain") {
		return nil, notOurs(answer)
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, caBytesMax))
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	var keys []sallyport.CAKey
	for line := range strings.Lines(string(text)) {
		key, err := sallyport.ParseCAKey(line)
		if err != nil {
			return nil, fmt.Errorf("read the answer: %w", err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// RotateCA makes a new key of the SSH CA, which is the admin's to do, and returns
// the keys in force then, newest first. The error's code is too_many_ca_keys where
// as many are in force as can be.
func (c *Client) RotateCA(ctx context.Context, r sallyport.CARotate) ([]sallyport.CAKey, error) {
	var list sallyport.List[sallyport.CAKey]
	err := c.do(ctx, call{doing: "rotate the SSH CA", method: http.MethodPost, path: "/ca/rotate", body: r}, &list)
	return list.Items, err
}
