package remote

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"sallyport/internal/limits"
	"sallyport/internal/sshpool"
)

// watch looks at the processes of one machine, for all commands that are being ended there. A
// look costs the machine the same for one command as for fifty: the requests that come
// while one is on its way share the next.
type watch struct {
	mu      sync.Mutex // guards the fields below
	busy    bool       // one of the callers leads
	waiting []*act
}

// act is one caller's look and signal.
type act struct {
	goal   *goal
	signal string
	within time.Duration // in which a look must have started
	lead   chan struct{} // buffered: it is this caller's turn to look, for all that wait
	found  chan sight    // buffered
	failed chan error    // buffered
}

// watchOf is the watch of s's machine.
func watchOf(s *sshpool.Session) *watch {
	return s.Keep(func() any { return &watch{} }).(*watch)
}

// act looks for the processes of g, and sends signal to them, unless it is empty. Where it
// leads, the look is given up when it has not started within a time.
func (w *watch) act(ctx context.Context, s *sshpool.Session, g *goal, signal string, within time.Duration) (sight, error) {
	a := &act{goal: g, signal: signal, within: within, lead: make(chan struct{}, 1), found: make(chan sight, 1), failed: make(chan error, 1)}
	w.join(a)
	for {
		select {
		case found := <-a.found:
			return found, nil
		case err := <-a.failed:
			return sight{}, err
		case <-a.lead:
			w.look(ctx, s, a)
		case <-ctx.Done():
			w.leave(a)
			return sight{}, context.Cause(ctx)
		}
	}
}

func (w *watch) join(a *act) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting = append(w.waiting, a)
	if !w.busy {
		w.busy = true
		a.lead <- struct{}{}
	}
}

// leave removes a request whose caller waits no longer, and passes on the lead if it had it.
func (w *watch) leave(a *act) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting = slices.DeleteFunc(w.waiting, func(other *act) bool { return other == a })
	select {
	case <-a.lead:
		w.pass()
	default:
	}
}

// pass makes the next request lead; one with a signal goes before those that only look. w.mu
// is held.
func (w *watch) pass() {
	w.busy = len(w.waiting) > 0
	if w.busy {
		next := max(0, slices.IndexFunc(w.waiting, func(a *act) bool { return a.signal != "" }))
		w.waiting[next].lead <- struct{}{}
	}
}

// look serves the leader and the requests for the same signal, over a session of its own,
// and passes the lead on.
func (w *watch) look(ctx context.Context, s *sshpool.Session, leader *act) {
	acts := w.take(leader)
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.pass()
	}()
	goals := make([]*goal, len(acts))
	for i, a := range acts {
		goals[i] = a.goal
	}
	found, err := runAct(ctx, s, goals, leader.signal, leader.within)
	for i, a := range acts {
		if err != nil {
			a.failed <- err
		} else {
			a.found <- found[i]
		}
	}
}

// take removes the leader from the waiting requests, and others for the same signal.
func (w *watch) take(leader *act) []*act {
	w.mu.Lock()
	defer w.mu.Unlock()
	taken := []*act{leader}
	w.waiting = slices.DeleteFunc(w.waiting, func(a *act) bool {
		if a != leader && (a.signal != leader.signal || len(taken) == limits.GoalsPerLook) {
			return false
		}
		if a != leader {
			taken = append(taken, a)
		}
		return true
	})
	return taken
}

func runAct(ctx context.Context, s *sshpool.Session, goals []*goal, signal string, within time.Duration) ([]sight, error) {
	sibling, err := s.Sibling(ctx)
	if err != nil {
		return nil, fmt.Errorf("look at processes: %w", err)
	}
	now := time.Now()
	text, err := runScript(ctx, sibling, actScript(goals, signal, now), within)
	if err != nil {
		return nil, fmt.Errorf("look at processes: %w", err)
	}
	return parseSights(text, goals, now)
}
