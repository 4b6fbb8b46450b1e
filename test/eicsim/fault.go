package eicsim

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"strconv"
	"time"
)

// Faults are what goes wrong. The zero value is nothing.
type Faults struct {
	// Delay is added to every API call, and to every request for a tunnel.
	Delay time.Duration
	// Error is answered by action, OpenTunnel among them, before anything is looked at.
	Error map[string]APIError
	// StallAPI are actions that are accepted and never answered, until their client
	// goes or the simulator ends.
	StallAPI map[string]bool

	// SplitMerge splits and merges messages at random, sends empty ones, and some in
	// several frames.
	SplitMerge bool
	// ByteAtATime sends one byte a message.
	ByteAtATime bool
	// Ping pings now and then; a tunnel whose client leaves a ping unanswered for ten
	// seconds is rejected and cut.
	Ping bool
	// TextMessage sends a text message after the first binary one.
	TextMessage bool
	// CannotConnect is how many of the next tunnels are upgraded and then closed for
	// "Unable to connect to target", as they are when nothing listens; -1 is all.
	CannotConnect int
	// CannotConnectAfter is how long that takes.
	CannotConnectAfter time.Duration
	// Stall makes tunnels pass nothing, pongs neither, and stay open. What is on its
	// way passes when the fault is lifted.
	Stall bool
	// DropAfter cuts a tunnel without a close frame once so many bytes of it have gone
	// to the client; 0 is never.
	DropAfter int64
	// CloseCode and CloseReason close a tunnel that has carried CloseAfter bytes to
	// the client; code 0 is never.
	CloseCode   int
	CloseReason string
	CloseAfter  int64
	// EndCode is what closes tunnels at the end of their lives and those that can't
	// connect, which nobody knows of AWS; 0 is 1011.
	EndCode int
}

// APIError is an answer that stands in for the real one.
type APIError struct {
	// Status is HTTP's; 0 is 400.
	Status        int
	Code, Message string
	// Times is how often it is answered before it is gone; 0 is always.
	Times int
	// RetryAfter goes with it if it isn't zero, in whole seconds.
	RetryAfter time.Duration
}

// Faults replaces the faults in force, for the tunnels that are open too.
func (s *Sim) Faults(f Faults) {
	f.Error, f.StallAPI = maps.Clone(f.Error), maps.Clone(f.StallAPI)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = f
	close(s.changed)
	s.changed = make(chan struct{})
}

// inForce are the faults, and a channel that is closed when they change.
func (s *Sim) inForce() (Faults, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.faults, s.changed
}

// pause holds a request up, as the faults say, and tells whether it is still wanted.
func (s *Sim) pause(ctx context.Context, action string) bool {
	f, _ := s.inForce()
	if f.StallAPI[action] {
		<-ctx.Done()
		return false
	}
	return wait(ctx, f.Delay)
}

// flow waits until tunnels pass something, and tells whether this one is still wanted.
func (s *Sim) flow(ctx context.Context) bool {
	for {
		f, changed := s.inForce()
		if !f.Stall {
			return ctx.Err() == nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// injected takes the error that is to be answered to an action; nil is none.
func (s *Sim) injected(action string) *APIError {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.faults.Error[action]
	if !ok {
		return nil
	}
	switch e.Times {
	case 0:
	case 1:
		delete(s.faults.Error, action)
	default:
		left := e
		left.Times--
		s.faults.Error[action] = left
	}
	e.Status = cmp.Or(e.Status, http.StatusBadRequest)
	return &e
}

// cannotConnect takes one of the tunnels that are to find nobody.
func (s *Sim) cannotConnect() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.faults.CannotConnect > 0 {
		s.faults.CannotConnect--
		return true
	}
	return s.faults.CannotConnect < 0
}

func (e APIError) writeHeader(w http.ResponseWriter) {
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(e.RetryAfter/time.Second)))
	}
	w.WriteHeader(e.Status)
}

// wait waits for d and tells whether ctx is still alive.
func wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
