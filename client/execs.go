package client

import (
	"context"
	"iter"
	"net/http"

	"sallyport/client/sallyport"
)

// ListExecs returns one page of a workspace's execs, running and ended, newest first.
// status, if it isn't empty, is that of all, such as sallyport.StatusRunning.
func (c *Client) ListExecs(ctx context.Context, workspace, status string, p Page) (sallyport.List[sallyport.Activity], error) {
	return c.listActs(ctx, "execs", workspace, status, p)
}

// listActs returns one page of what a workspace has of one kind of act, which its route names.
func (c *Client) listActs(ctx context.Context, kind, workspace, status string, p Page) (sallyport.List[sallyport.Activity], error) {
	var list sallyport.List[sallyport.Activity]
	if err := checkRef("workspace", workspace); err != nil {
		return list, err
	}
	q := p.query()
	set(q, "status", status)
	set(q, "org", c.Org)
	err := c.do(ctx, call{doing: "list " + kind + " of workspace " + workspace, method: http.MethodGet, path: path("workspaces", workspace, kind), query: q}, &list)
	return list, err
}

// getAct returns the row of one act that lasts, a forward or a terminal, as kind says.
func (c *Client) getAct(ctx context.Context, kind, workspace, id string) (row sallyport.Activity, err error) {
	r, err := c.oneAct("get ", http.MethodGet, kind, workspace, id)
	if err != nil {
		return row, err
	}
	return row, c.do(ctx, r, &row)
}

// endAct ends one act that lasts, as getAct names it.
func (c *Client) endAct(ctx context.Context, kind, workspace, id string) error {
	r, err := c.oneAct("end ", http.MethodDelete, kind, workspace, id)
	if err != nil {
		return err
	}
	return c.do(ctx, r, nil)
}

func (c *Client) oneAct(doing, method, kind, workspace, id string) (call, error) {
	if err := checkRef("workspace", workspace); err != nil {
		return call{}, err
	}
	if err := checkRef(kind, id); err != nil {
		return call{}, err
	}
	return call{doing: doing + kind + " " + id, method: method, path: path("workspaces", workspace, kind+"s", id), query: orgQuery(c.Org)}, nil
}

// AllExecs yields every one of them, newest first, and ends with the first error.
func (c *Client) AllExecs(ctx context.Context, workspace, status string) iter.Seq2[sallyport.Activity, error] {
	return all(func(cursor string) (sallyport.List[sallyport.Activity], error) {
		return c.ListExecs(ctx, workspace, status, Page{Limit: pageMax, Cursor: cursor})
	})
}

// GetExec returns one exec of a workspace: its row in the activity log.
func (c *Client) GetExec(ctx context.Context, workspace, execID string) (sallyport.Activity, error) {
	var row sallyport.Activity
	if err := checkRef("workspace", workspace); err != nil {
		return row, err
	}
	err := c.do(ctx, call{
		doing: "get exec " + execID, method: http.MethodGet, path: path("workspaces", workspace, "execs", execID), query: orgQuery(c.Org),
	}, &row)
	return row, err
}

// SignalExec sends a signal, one of sallyport.Signals, to the process group of a running
// exec's command. The error's code is not_running where there is none.
func (c *Client) SignalExec(ctx context.Context, workspace, execID, signal string) error {
	if err := checkRef("workspace", workspace); err != nil {
		return err
	}
	return c.do(ctx, call{
		doing: "signal exec " + execID, method: http.MethodPost, path: path("workspaces", workspace, "execs", execID, "signal"), query: orgQuery(c.Org),
		body: sallyport.ExecSignal{Signal: signal},
	}, nil)
}
