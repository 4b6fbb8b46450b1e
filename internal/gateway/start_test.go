package gateway

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/fairqueue"
	"sallyport/internal/principal"
)

// An act waits until it is its organisation's turn to start one, leaves no row when it is
// ended before, and lets the next one start as soon as what it does has started.
func TestStartsTakeTurns(t *testing.T) {
	g, ws := newSmallWorld(t)
	g.Starts = fairqueue.New(1, time.Hour)
	by, h := Caller{Principal: principal.Principal{Kind: principal.Admin, Scopes: sallyport.AllScopes()}}, knocking{}
	take := func(orgID string) *fairqueue.Place {
		p, err := g.Starts.Take(t.Context(), orgID)
		must(t, err)
		return p
	}
	others, ours := take("another"), take(ws.OrgID)

	ctx, cancel := context.WithCancelCause(t.Context())
	ended := make(chan error)
	go func() {
		ended <- g.knock(ctx, by, Ref{Workspace: ws.ID}, h, func(context.Context) error {
			return errors.New("it started before its turn")
		})
	}()
	for len(g.live.CountActs()) == 0 {
		runtime.Gosched()
	}
	cancel(context.Canceled)
	if err := <-ended; sallyport.CodeOf(err) != sallyport.CodeCanceled {
		t.Errorf("ended while it waits: %v", err)
	}
	if rows := g.rows(t, ws); len(rows) != 0 {
		t.Errorf("an act that never began left %+v", rows)
	}

	go func() {
		ended <- g.knock(t.Context(), by, Ref{Workspace: ws.ID}, h, func(context.Context) error {
			take(ws.OrgID).Release() // the one place is free again
			return nil
		})
	}()
	others.Release()
	ours.Release()
	must(t, <-ended)
	if rows := g.rows(t, ws); len(rows) != 1 || rows[0].Record.Status != sallyport.StatusOK {
		t.Errorf("rows %+v", rows)
	}
}
