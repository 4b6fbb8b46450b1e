package gateway

import (
	"context"
	"encoding/hex"
	"errors"
	"sync"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/limits"
	"sallyport/internal/live"
	"sallyport/internal/policy"
	"sallyport/internal/principal"
	"sallyport/internal/store"
)

// Peers are the other servers that share the store.
type Peers interface {
	// Ended tells all of them what was ended. When it returns each has acted on it, or is
	// dead, or has found out by itself.
	Ended(ctx context.Context, e live.Ending)
	// Signal has the replica signal the command of an exec, or end the forward, that it runs, and tells
	// whether there was one.
	Signal(ctx context.Context, replica string, s Signal) (sent bool, err error)
	// OpenTerminal has the replica serve a client of a terminal that it holds. A
	// *sallyport.Error is the replica's own. The caller closes the stream.
	OpenTerminal(ctx context.Context, replica string, p PassedTerminal) (PeerStream, error)
}

// Signal is a signal for the command of an exec, as one server passes it on to another.
type Signal struct {
	ExecID string       `json:"exec_id"`
	Name   string       `json:"signal"`
	By     PassedCaller `json:"by"`
}

// PassedCaller is a caller as another server has authenticated it. Empty fields are nobody's:
// the version before names none.
type PassedCaller struct {
	OrgID       string `json:"org_id,omitempty"`
	WorkspaceID string `json:"workspace_id,omitempty"`
	TokenID     string `json:"token_id,omitempty"`
	// SessionID is that of live.SessionID.
	SessionID string `json:"session_id,omitempty"`
}

func passedCaller(by Caller) PassedCaller {
	return PassedCaller{OrgID: by.OrgID, WorkspaceID: by.WorkspaceID, TokenID: by.TokenID, SessionID: live.SessionID(by.Session)}
}

// caller is the one who was passed on, for a look whether its token and session are there.
func (p PassedCaller) caller() (Caller, error) {
	by := Caller{Principal: principal.Principal{OrgID: p.OrgID, WorkspaceID: p.WorkspaceID, TokenID: p.TokenID}}
	if p.SessionID == "" {
		return by, nil
	}
	if n, err := hex.Decode(by.Session[:], []byte(p.SessionID)); err != nil || n != len(by.Session) {
		return by, errors.New("the session of a caller that was passed on is none")
	}
	return by, nil
}

// End acts on an ending here: no caller is proven by what was known before, no act begins
// on a workspace as it was before, and what runs under what has ended ends.
func (g *Gateway) End(e live.Ending) {
	g.Access.ClearCache()
	if e.Of == live.EndingOfLookup {
		return
	}
	if g.ClearAuthCache != nil {
		g.ClearAuthCache() // before the epoch changes, by which callers look again
	}
	g.live.End(e.Cause(), e.Matches)
}

// EndEverywhere acts on an ending here and on every other replica.
func (g *Gateway) EndEverywhere(ctx context.Context, e live.Ending) {
	g.End(e)
	if g.Peers != nil {
		g.Peers.Ended(ctx, e)
	}
}

// SessionStore keeps the cookie sessions.
type SessionStore interface {
	SessionByHash(ctx context.Context, hash [32]byte) (store.Session, error)
}

// EndSession ends the acts of a cookie session that has been deleted, on every replica.
func (g *Gateway) EndSession(ctx context.Context, hash [32]byte) {
	g.EndEverywhere(ctx, live.Ending{Of: live.EndingOfSession, ID: live.SessionID(hash)})
}

// EndExpired ends the acts of tokens and sessions that have expired by the clock. It
// is called every limits.RecheckEvery: a timer would know nothing of a clock that was
// set, nor of a machine that was suspended.
func (g *Gateway) EndExpired() {
	g.live.EndExpired(g.Now(), sallyport.Errorf(sallyport.CodeRevoked, "the token has expired"))
}

// WatchExpiry calls EndExpired every limits.RecheckEvery, until ctx ends.
func (g *Gateway) WatchExpiry(ctx context.Context) {
	look := time.NewTicker(limits.RecheckEvery)
	defer look.Stop()
	for {
		select {
		case <-look.C:
			g.EndExpired()
		case <-ctx.Done():
			return
		}
	}
}

// LoseExecs ends every running act, since another replica may adopt its row.
func (g *Gateway) LoseExecs() {
	g.live.End(interrupted(), func(c *live.Call) bool { return c.Acts })
}

func interrupted() *sallyport.Error {
	return sallyport.Errorf(sallyport.CodeInterrupted, "the server was cut off from its store, so the command was ended; another server may have closed its row")
}

// notBegun is the answer instead for an act that had not begun on its machine.
func notBegun(cause error) *sallyport.Error {
	return sallyport.Errorf(sallyport.CodePlatformUnavailable,
		"the server was cut off from its store, so nothing was run; try again in a moment").WithStarted(false).Because(cause)
}

// Recheck ends the acts of tokens and workspaces that have been deleted. The notices of
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
	case live.EndingOfTier:
		ws, err := g.Workspaces.Workspace(ctx, e.OrgID, e.ID)
		return err == nil && policy.HostExec(ws) != nil, nil // one that is gone ends as such
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

// signalHere signals the command of an exec that this server runs, and tells whether
// there was one.
func (g *Gateway) signalHere(ctx context.Context, execID, signal string) (sent bool, err error) {
	running, ok := g.live.Find(execID)
	if !ok {
		return false, nil
	}
	return running.Signal(ctx, signal)
}

// SignalPassedOn is signalHere for a caller of another server, which has decided and
// recorded. The caller's token must still be there, and the exec this server's own.
func (g *Gateway) SignalPassedOn(ctx context.Context, s Signal) (sent bool, err error) {
	by, err := s.By.caller()
	if err != nil {
		return false, err
	}
	if _, err := g.stillLives(ctx, by, nil); err != nil {
		return false, err
	}
	if g.Holds != nil && !g.Holds() {
		return false, interrupted()
	}
	return g.signalHere(ctx, s.ExecID, s.Name)
}

// signal signals the command of an exec, on whichever replica it runs.
func (g *Gateway) signal(ctx context.Context, by Caller, replica, execID, name string) (sent bool, err error) {
	if replica == g.Replica || g.Peers == nil {
		return g.signalHere(ctx, execID, name)
	}
	return g.Peers.Signal(ctx, replica, Signal{ExecID: execID, Name: name, By: passedCaller(by)})
}
