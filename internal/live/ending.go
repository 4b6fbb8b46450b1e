package live

import (
	"encoding/hex"
	"time"

	"sallyport/client/sallyport"
)

// Ending is the end of something that calls run under, or of what is known of it. What it
// is about is on disk.
type Ending struct {
	Of EndingOf `json:"of"`
	ID string   `json:"id"`
}

// EndingOf says what has ended.
type EndingOf string

// What ends calls: a token that was revoked, a cookie session that was ended, whose ID is
// its hash in hexadecimal, a workspace or an organisation that was deleted. The end of a
// look-up, of a workspace that was changed, ends no call; a tier that was lowered below
// exec's ends those that say so.
const (
	EndingOfToken     EndingOf = "token"
	EndingOfSession   EndingOf = "session"
	EndingOfWorkspace EndingOf = "workspace"
	EndingOfOrg       EndingOf = "org"
	EndingOfTier      EndingOf = "tier"
	EndingOfLookup    EndingOf = "lookup"
)

// Cause is what a call is told that runs under what has ended.
func (e Ending) Cause() *sallyport.Error {
	switch e.Of {
	case EndingOfWorkspace:
		return sallyport.Errorf(sallyport.CodeWorkspaceDeleted, "the workspace was deleted")
	case EndingOfTier:
		return sallyport.Errorf(sallyport.CodeExecTierForbidden, "the workspace's tier was lowered below %d", sallyport.TierPrivileged)
	case EndingOfOrg:
		return sallyport.Errorf(sallyport.CodeRevoked, "the organisation was deleted")
	case EndingOfSession:
		return sallyport.Errorf(sallyport.CodeRevoked, "the session was ended")
	}
	return sallyport.Errorf(sallyport.CodeRevoked, "the token was revoked")
}

// Matches tells whether c runs under what has ended.
func (e Ending) Matches(c *Call) bool {
	switch e.Of {
	case EndingOfToken:
		return c.By.TokenID == e.ID
	case EndingOfSession:
		return e.ID != "" && SessionID(c.By.Session) == e.ID
	case EndingOfWorkspace:
		return c.WorkspaceID == e.ID
	case EndingOfTier:
		return c.EndsBelowTier && c.WorkspaceID == e.ID
	case EndingOfOrg:
		return c.OrgID == e.ID || c.By.OrgID == e.ID
	}
	return false
}

// SessionID is a cookie session's hash as text; empty is none.
func SessionID(hash [32]byte) string {
	if hash == ([32]byte{}) {
		return ""
	}
	return hex.EncodeToString(hash[:])
}

// End ends the running calls that match, with cause. What it is about is on disk: a call
// that is tracked later finds it there.
func (l *Calls) End(cause *sallyport.Error, match func(*Call) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.epoch++
	for c := range l.calls {
		if match(c) {
			c.end(cause)
		}
	}
}

// EndExpired ends with cause what runs under tokens and sessions that have expired at now.
func (l *Calls) EndExpired(now time.Time, cause *sallyport.Error) {
	expired := func(c *Call) bool { return !c.By.ExpiresAt.IsZero() && !now.Before(c.By.ExpiresAt) }
	if l.any(expired) {
		l.End(cause, expired)
	}
}

// any tells whether a running call matches.
func (l *Calls) any(match func(*Call) bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.calls {
		if match(c) {
			return true
		}
	}
	return false
}

// Epoch returns the count as it stands. A caller whose authentication began at another one
// may have been ended since.
func (l *Calls) Epoch() Epoch {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.epoch
}

// PossibleEnding is an ending that may have been, and whose.
type PossibleEnding struct {
	Ending
	OrgID, WorkspaceID string
	Session            [32]byte
}

// PossibleEndings are those that would end what runs now, each once.
func (l *Calls) PossibleEndings() []PossibleEnding {
	l.mu.Lock()
	defer l.mu.Unlock()
	seen := map[Ending]bool{}
	var all []PossibleEnding
	add := func(e PossibleEnding) {
		if e.ID != "" && !seen[e.Ending] {
			seen[e.Ending] = true
			all = append(all, e)
		}
	}
	for c := range l.calls {
		add(PossibleEnding{Ending: Ending{EndingOfToken, c.By.TokenID}, OrgID: c.By.OrgID, WorkspaceID: c.By.WorkspaceID})
		add(PossibleEnding{Ending: Ending{EndingOfSession, SessionID(c.By.Session)}, Session: c.By.Session})
		add(PossibleEnding{Ending: Ending{EndingOfWorkspace, c.WorkspaceID}, OrgID: c.OrgID})
		if c.EndsBelowTier {
			add(PossibleEnding{Ending: Ending{EndingOfTier, c.WorkspaceID}, OrgID: c.OrgID})
		}
	}
	return all
}
