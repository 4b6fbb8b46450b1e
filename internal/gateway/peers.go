package gateway

import (
	"context"
	"errors"
	"sync"

	"sallyport/client/sallyport"
	"sallyport/internal/live"
	"sallyport/internal/store"
)

// Peers are the other servers that share the store.
type Peers interface {
	// Ended tells all of them what was ended. When it returns each has acted on it, or is
	// dead, or has found out by itself.
	Ended(ctx context.Context, e live.Ending)
	// Signal has the replica signal the command of an exec that it runs, and tells
	// whether there was one.
	Signal(ctx context.Context, replica, execID, signal string) (sent bool, err error)
}

// End acts on an ending here: no caller is proven by what was known before, and what runs
// under it ends.
func (g *Gateway) End(e live.Ending) {
	if g.ClearAuthCache != nil {
		g.ClearAuthCache() // before the epoch changes, by which callers look again
	}
	g.live.End(e.Cause(), e.Matches)
}

// endEverywhere acts on an ending here and on every other replica.
func (g *Gateway) endEverywhere(ctx context.Context, e live.Ending) {
	g.End(e)
	if g.Peers != nil {
		g.Peers.Ended(ctx, e)
	}
}

// SessionStore keeps the cookie sessions.
type SessionStore interface {
	SessionByHash(ctx context.Context, hash [32]byte) (store.Session, error)
}

// EndSession ends what runs under a cookie session, which is no more, on every replica.
func (g *Gateway) EndSession(ctx context.Context, hash [32]byte) {
	g.endEverywhere(ctx, live.Ending{Of: live.EndingOfSession, ID: live.SessionID(hash)})
}

// EndExpired ends what runs under tokens and sessions that have expired by the clock. It
// is called every limits.RecheckEvery: a timer would know nothing of a clock that was
// set, nor of a machine that was suspended.
func (g *Gateway) EndExpired() {
	g.live.EndExpired(g.Now(), sallyport.Errorf(sallyport.CodeRevoked, "the token has expired"))
}

// LoseExecs ends every running act, since another replica may adopt its row.
func (g *Gateway) LoseExecs() {
	g.live.End(interrupted(), func(c *live.Call) bool { return c.Acts })
}

func interrupted() *sallyport.Error {
	return sallyport.Errorf(sallyport.CodeInterrupted, "the server was cut off from its store, so the command was ended; another server may have closed its row")
}

// notBegun is what is told instead to an act that had not begun on its machine.
func notBegun(cause error) *sallyport.Error {
	return sallyport.Errorf(sallyport.CodePlatformUnavailable,
		"the server was cut off from its store, so nothing was run; try again in a moment").WithStarted(false).Because(cause)
}

// Recheck ends what runs under a token or on a workspace that is no more. The notices of
// other replicas say so at once; this is for those that are lost.
func (g *Gateway) Recheck(ctx context.Context) {
	var looking sync.WaitGroup
	places := make(chan struct{}, recheckAtOnce)
	for _, e := range g.live.PossibleEndings() {
		places <- struct{}{}
		looking.Go(func() {
			defer func() { <-places }()
			if gone, err := g.isGone(ctx, e); err == nil && gone { // else the next time
				g.End(e.Ending)
			}
		})
	}
	looking.Wait()
}

// recheckAtOnce is how many look-ups are made at a time.
const recheckAtOnce = 4

func (g *Gateway) isGone(ctx context.Context, e live.PossibleEnding) (gone bool, err error) {
	switch e.Of {
	case live.EndingOfToken:
		_, err = g.Tokens.Token(ctx, e.OrgID, e.WorkspaceID, e.ID)
	case live.EndingOfSession:
		_, err = g.Sessions.SessionByHash(ctx, e.Session)
	default:
		_, err = g.Workspaces.Workspace(ctx, e.OrgID, e.ID)
	}
	if errors.Is(err, store.ErrNotFound) {
		return true, nil
	}
	return false, err
}

// SignalHere signals the command of an exec that this server runs, and tells whether
// there was one.
func (g *Gateway) SignalHere(ctx context.Context, execID, signal string) (sent bool, err error) {
	running, ok := g.live.Find(execID)
	if !ok {
		return false, nil
	}
	return running.Signal(ctx, signal)
}

// signal signals the command of an exec, whoever runs it.
func (g *Gateway) signal(ctx context.Context, replica, execID, signal string) (sent bool, err error) {
	if replica == g.Replica || g.Peers == nil {
		return g.SignalHere(ctx, execID, signal)
	}
	return g.Peers.Signal(ctx, replica, execID, signal)
}
