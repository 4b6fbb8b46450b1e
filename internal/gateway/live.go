package gateway

import (
	"context"
	"errors"

	"sallyport/internal/access"
	"sallyport/internal/identity"
	"sallyport/internal/live"
	"sallyport/internal/store"
)

// Admit lets a call in that acts on a workspace, or returns draining. The caller
// calls done when it has answered.
func (g *Gateway) Admit() (done func(), err error) { return g.live.Admit() }

// Draining tells whether Drain was called.
func (g *Gateway) Draining() bool { return g.live.Draining() }

// Drain refuses new calls from now on, lets the running ones end until ctx does,
// then ends the rest, which is recorded. It returns when nothing runs any more, or
// when what is left waits for nothing but a caller that takes no answer: closing
// its connection ends it, and AwaitIdle waits for that. It must be called once.
func (g *Gateway) Drain(ctx context.Context) { g.live.Drain(ctx) }

// AwaitIdle waits, after Drain, until nothing runs any more.
func (g *Gateway) AwaitIdle() { g.live.AwaitIdle() }

// RevocationEpoch returns the count as it stands. It is read before authentication, for
// Caller.RevocationEpoch.
func (g *Gateway) RevocationEpoch() live.Epoch { return g.live.Epoch() }

// stillMay looks again at the token and the workspace, if there is one, of a call
// that was just tracked, if any were ended since its caller was proven: live.Calls.End
// may have come in between and not seen it. It returns the workspace as it is now.
func (g *Gateway) stillMay(ctx context.Context, by Caller, ws *store.Workspace) (now store.Workspace, err error) {
	if g.RevocationEpoch() != by.RevocationEpoch {
		return g.stillLives(ctx, by, ws)
	}
	if ws != nil {
		now = *ws
	}
	return now, nil
}

// stillLives looks at the token, the session and the workspace, those that there are, of a
// call, and returns the workspace as it is now. It returns unauthenticated or
// workspace_not_found where one is no more.
func (g *Gateway) stillLives(ctx context.Context, by Caller, ws *store.Workspace) (now store.Workspace, err error) {
	if by.TokenID != "" {
		switch _, err := g.Tokens.Token(ctx, by.OrgID, by.WorkspaceID, by.TokenID); {
		case errors.Is(err, store.ErrNotFound):
			return now, identity.Unauthenticated()
		case err != nil:
			return now, access.Unavailable(err)
		}
	}
	if by.Session != ([32]byte{}) {
		switch _, err := g.Sessions.SessionByHash(ctx, by.Session); {
		case errors.Is(err, store.ErrNotFound):
			return now, identity.Unauthenticated()
		case err != nil:
			return now, access.Unavailable(err)
		}
	}
	if ws == nil {
		return now, nil
	}
	switch now, err = g.Workspaces.Workspace(ctx, ws.OrgID, ws.ID); {
	case errors.Is(err, store.ErrNotFound):
		return now, access.WorkspaceNotFound()
	case err != nil:
		return now, access.Unavailable(err)
	}
	return now, nil
}
