package sshpool

import (
	"time"

	"sallyport/client/sallyport"
)

// Phase is in which state the way to a machine is.
type Phase string

// Phases of the way to a machine.
const (
	// None: there is no connection; the next act dials.
	None Phase = "none"
	// Connecting: the first connection is being dialled.
	Connecting Phase = "connecting"
	// Connected: there are connections, and sessions on them.
	Connected Phase = "connected"
	// Idle: there are connections, and no session.
	Idle Phase = "idle"
	// BackingOff: the last dial failed, and callers get its error until NotBefore.
	BackingOff Phase = "backing_off"
)

// State is what a pool knows of a key at one moment.
type State struct {
	Phase Phase
	// Since is when it began: with Connected and Idle, when the connections did;
	// with BackingOff, when the first of the failures in a row came; with None,
	// when the last connection ended. Zero where that isn't known.
	Since time.Time
	// Connections counts those that are authenticated.
	Connections int
	// Sessions counts those in use; one that was opened ahead isn't.
	Sessions int
	// SessionsPerConnection is how many are used at most on one connection, by the
	// pool's own bound or as the machine's refusals have told.
	SessionsPerConnection int
	// Waiting counts the callers that wait for a session.
	Waiting int
	// HostKey is the key that the machine has proven last; zero for none yet.
	HostKey HostKey
	// LastError is what went wrong last, in our words, and LastErrorAt when; nil for
	// nothing. It is kept when all is well again.
	LastError   *sallyport.Error
	LastErrorAt time.Time
	// NotBefore is when the next dial may be; zero is at once.
	NotBefore time.Time
}

// State returns how the machine of a key is reached now. It sends nothing.
func (p *Pool) State(key string) State {
	p.start.Do(p.begin)
	p.mu.Lock()
	defer p.mu.Unlock()
	s := State{Phase: None, SessionsPerConnection: p.slots()}
	h := p.histories[key]
	if h == nil {
		return s
	}
	now := time.Now()
	s.HostKey, s.LastError, s.LastErrorAt, s.Since = h.hostKey, h.last, h.lastAt, h.endedAt
	if h.failures > 0 && now.Before(h.notBefore) {
		s.Phase, s.Since, s.NotBefore = BackingOff, h.failedSince, h.notBefore
	}
	g := p.groups[key]
	if g == nil {
		return s
	}
	s.SessionsPerConnection, s.Waiting = g.slots, len(g.waiters)
	channels := 0
	for _, c := range g.conns {
		s.Connections++
		s.Sessions += c.busy
		channels += c.channels
	}
	switch {
	case s.Sessions+channels > 0:
		s.Phase, s.Since = Connected, h.since
	case s.Connections > 0:
		s.Phase, s.Since = Idle, h.since
	case g.dialing > 0:
		s.Phase, s.Since = Connecting, g.dialedAt
	}
	return s
}
