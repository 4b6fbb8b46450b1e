package client

import (
	"context"
	"net/http"

	"sallyport/client/sallyport"
)

// Session returns the actor, organisation and scopes of the client's token. The error's
// code is unauthenticated if the token is not valid.
func (c *Client) Session(ctx context.Context) (sallyport.Session, error) {
	var s sallyport.Session
	err := c.do(ctx, call{doing: "ask who the token is", method: http.MethodGet, path: "/session"}, &s)
	return s, err
}
