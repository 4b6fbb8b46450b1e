package gateway

import (
	"context"
	"encoding/hex"
	"errors"
	"sync"

	"sallyport/client/sallyport"
	"sallyport/internal/store"
)

// Peers are the other servers that share the store.
type Peers interface {
	// Ended tells all of them what was ended. When it returns each has acted on it, or is
	// dead, or has found out by itself.
	Ended(ctx context.Context, e Ending)
	// Signal has the replica signal the command of an exec that it runs, and tells
	// whether there was one.
	Signal(ctx context.Context, replica, execID, signal string) (sent bool, err error)
}

// Ending is the end of something that calls run under. What it is about is on disk.
type Ending struct {
	Of EndingOf `json:"of"`
	ID string   `json:"id"`
}

// EndingOf says what has ended.
type EndingOf string

// What ends calls: a token that was revoked, a cookie session that was ended, whose ID is
// its hash in hexadecimal, a workspace or an organisation that was deleted.
const (
	EndingOfToken     EndingOf = "token"
	EndingOfSession   EndingOf = "session"
	EndingOfWorkspace EndingOf = "workspace"
	EndingOfOrg       EndingOf = "org"
)

// cause is what a call is told that runs under it.
func (e Ending) cause() *sallyport.Error {
	switch e.Of {
	case EndingOfWorkspace:
		return sallyport.Errorf(sallyport.CodeWorkspaceDeleted, "the workspace was deleted")
	case EndingOfOrg:
		return sallyport.Errorf(sallyport.CodeRevoked, "the organisation was deleted")
	case EndingOfSession:
		return sallyport.Errorf(sallyport.CodeRevoked, "the session was ended")
	}
	return sallyport.Errorf(sallyport.CodeRevoked, "the token was revoked")
}

func (e Ending) matches(c *call) bool {
	switch e.Of {
	case EndingOfToken:
		return c.by.TokenID == e.ID
	case EndingOfSession:
		return e.ID != "" && sessionID(c.by.Session) == e.ID
	case EndingOfWorkspace:
		return c.workspaceID == e.ID
	case EndingOfOrg:
		return c.orgID == e.ID || c.by.OrgID == e.ID
	}
	return false
}

// End acts on an ending here: no caller is proven by what was known before, and what runs
// under it ends.
func (g *Gateway) End(e Ending) {
	if g.ClearAuthCache != nil {
		g.ClearAuthCache() // before the epoch changes, by which callers look again
	}
	g.endCalls(e.cause(), e.matches)
}

// endEverywhere acts on an ending here and on every other replica.
func (g *Gateway) endEverywhere(ctx context.Context, e Ending) {
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
	g.endEverywhere(ctx, Ending{EndingOfSession, sessionID(hash)})
}

// sessionID is a session's hash as text; empty is none.
func sessionID(hash [32]byte) string {
	if hash == ([32]byte{}) {
		return ""
	}
	return hex.EncodeToString(hash[:])
}

// EndExpired ends what runs under tokens and sessions that have expired by the clock. It
// is called every limits.RecheckEvery: a timer would know nothing of a clock that was
// set, nor of a machine that was suspended.
func (g *Gateway) EndExpired() {
	now := g.Now()
	expired := func(c *call) bool { return !c.by.ExpiresAt.IsZero() && !now.Before(c.by.ExpiresAt) }
	if g.live.any(expired) {
		g.endCalls(sallyport.Errorf(sallyport.CodeRevoked, "the token has expired"), expired)
	}
}

// LoseExecs ends every running act, since another replica may adopt its row.
func (g *Gateway) LoseExecs() {
	g.endCalls(interrupted(), func(c *call) bool { return c.acts })
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
	for _, e := range g.live.possibleEndings() {
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

// checkedEnding is an ending that may have been, and of whom.
type checkedEnding struct {
	Ending
	orgID, workspaceID string
	session            [32]byte
}

// possibleEndings are those that would end what runs now, each once.
func (l *live) possibleEndings() []checkedEnding {
	l.mu.Lock()
	defer l.mu.Unlock()
	seen := map[Ending]bool{}
	var all []checkedEnding
	add := func(e checkedEnding) {
		if e.ID != "" && !seen[e.Ending] {
			seen[e.Ending] = true
			all = append(all, e)
		}
	}
	for c := range l.calls {
		add(checkedEnding{Ending: Ending{EndingOfToken, c.by.TokenID}, orgID: c.by.OrgID, workspaceID: c.by.WorkspaceID})
		add(checkedEnding{Ending: Ending{EndingOfSession, sessionID(c.by.Session)}, session: c.by.Session})
		add(checkedEnding{Ending: Ending{EndingOfWorkspace, c.workspaceID}, orgID: c.orgID})
	}
	return all
}

func (g *Gateway) isGone(ctx context.Context, e checkedEnding) (gone bool, err error) {
	switch e.Of {
	case EndingOfToken:
		_, err = g.Tokens.Token(ctx, e.orgID, e.workspaceID, e.ID)
	case EndingOfSession:
		_, err = g.Sessions.SessionByHash(ctx, e.session)
	default:
		_, err = g.Workspaces.Workspace(ctx, e.orgID, e.ID)
	}
	if errors.Is(err, store.ErrNotFound) {
		return true, nil
	}
	return false, err
}

// SignalHere signals the command of an exec that this server runs, and tells whether
// there was one.
func (g *Gateway) SignalHere(ctx context.Context, execID, signal string) (sent bool, err error) {
	running, ok := g.live.find(execID)
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
