package client

import (
	"context"
	"net/http"

	"sallyport"
)

// Session tells who the client's token is. The error's code is unauthenticated
// when it is nobody's.
func (c *Client) Session(ctx context.Context) (sallyport.Session, error) {
	var s sallyport.Session
	err := c.do(ctx, call{doing: "ask who the token is", method: http.MethodGet, path: "/session"}, &s)
	return s, err
}
