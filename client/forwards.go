package client

import (
	"context"
	"fmt"
	"iter"
	"net"
	"net/http"
	"net/url"
	"strconv"

	"sallyport/client/sallyport"
)

// Forward opens a TCP connection to a port of a workspace's machine, an id or a name. The
// machine connects: host is a name or an address as the machine sees it, without brackets;
// empty is 127.0.0.1. When Forward returns a connection, the target has accepted it.
//
// ctx bounds the opening alone. A refusal is a *sallyport.Error: its code is
// forward_forbidden for a target that the workspace's forward_allow doesn't have,
// forward_failed, with a reason, for one that doesn't take connections. Nothing is tried
// again, and the caller closes the connection. It takes the scope forward.
func (c *Client) Forward(ctx context.Context, workspace, host string, port int) (*ForwardConn, error) {
	r, err := c.forwardCall(workspace, host, port)
	if err != nil {
		return nil, err
	}
	req, err := c.request(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.doing, err)
	}
	ws, out, err := c.openSocket(req, sallyport.SubprotocolForward, nil)
	if err != nil {
		if ctx.Err() != nil {
			err = ended(ctx)
		}
		return nil, fmt.Errorf("%s: %w", r.doing, err)
	}
	return newForwardConn(context.WithoutCancel(ctx), r.doing, addr(forwardTarget(host, port)), addr(workspace), ws, out), nil
}

// CheckForward asks whether Forward would be allowed, with the same checks, and opens
// nothing: whether the target takes connections is not known. Nil is yes.
func (c *Client) CheckForward(ctx context.Context, workspace, host string, port int) error {
	r, err := c.forwardCall(workspace, host, port)
	if err != nil {
		return err
	}
	return c.checkUpgrade(ctx, r)
}

func (c *Client) forwardCall(workspace, host string, port int) (call, error) {
	if err := checkRef("workspace", workspace); err != nil {
		return call{}, err
	}
	q := url.Values{"port": {strconv.Itoa(port)}}
	set(q, "host", host)
	set(q, "org", c.Org)
	return call{
		doing: "forward to " + forwardTarget(host, port) + " of workspace " + workspace, method: http.MethodGet,
		path: path("workspaces", workspace, "forward"), query: q,
	}, nil
}

func forwardTarget(host string, port int) string {
	if host == "" {
		host = sallyport.ForwardHostDefault
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}

// ListForwards returns one page of a workspace's forwards, running and ended, newest first.
// status, if it isn't empty, is that of all, such as sallyport.StatusRunning.
func (c *Client) ListForwards(ctx context.Context, workspace, status string, p Page) (sallyport.List[sallyport.Activity], error) {
	return c.listActs(ctx, "forwards", workspace, status, p)
}

// AllForwards yields every one of them, newest first, and ends with the first error.
func (c *Client) AllForwards(ctx context.Context, workspace, status string) iter.Seq2[sallyport.Activity, error] {
	return all(func(cursor string) (sallyport.List[sallyport.Activity], error) {
		return c.ListForwards(ctx, workspace, status, Page{Limit: pageMax, Cursor: cursor})
	})
}

// GetForward returns one forward of a workspace: its row in the activity log.
func (c *Client) GetForward(ctx context.Context, workspace, id string) (sallyport.Activity, error) {
	return c.getAct(ctx, "forward", workspace, id)
}

// EndForward ends a running forward, whoever opened it, and returns when it has ended. Both
// of its ends see a connection that was reset. The error's code is not_running where it has
// ended before.
func (c *Client) EndForward(ctx context.Context, workspace, id string) error {
	return c.endAct(ctx, "forward", workspace, id)
}
