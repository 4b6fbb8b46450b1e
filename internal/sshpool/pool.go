// Package sshpool keeps warm, verified SSH connections and hands out sessions
// on them. Connections are shared within one key (a workspace's machine) and
// never across keys. It knows nothing of tenants or tokens.
//
// A machine takes so many sessions on a connection and refuses more: that is
// capacity, learned from its refusals, and more connections are opened as needed.
// A machine that can't be reached is asked again after a pause that grows, and
// until then every caller gets the same error at once. A session is opened ahead
// on a connection that is in use, so that the next act saves a round trip.
package sshpool

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"sallyport/internal/limits"
)

// Pool is a pool of SSH connections. Fill the fields before the first use; the
// zero value of each is its default. It is safe for concurrent use.
type Pool struct {
	// Log takes what operators need and callers don't see. Nil discards it.
	Log *slog.Logger
	// SessionsPerConnection, ConnectionsPerKey, ConnectionsIdleMax, IdleTime,
	// ConnectTime, BackoffMin and BackoffMax: see package limits.
	SessionsPerConnection int
	ConnectionsPerKey     int
	ConnectionsIdleMax    int
	IdleTime              time.Duration
	ConnectTime           time.Duration
	BackoffMin            time.Duration
	BackoffMax            time.Duration
	// Dialed is called for each connection that was tried, with the time until it was
	// authenticated, or with the error and its code. It may be nil.
	Dialed func(took time.Duration, err error)

	mu        sync.Mutex // guards the fields below, and every group's, history's and conn's fields that say so; never held over I/O or a log
	groups    map[string]*group
	histories map[string]*history
	idle      idleSet
	closed    bool

	start sync.Once       // makes life and end with the first use
	life  context.Context // ends with the pool: dials and the sweeper run under it
	end   context.CancelCauseFunc
	wg    crew

	readBuffers sync.Pool // of *readBuffer
}

// Open opens a session on a warm connection to target, and dials on the caller's behalf
// when there is none with room. Nothing has run on the machine when it fails. It waits as
// long as ctx allows; its errors hold a *sallyport.Error with connect_failed (and a
// reason), connect_timeout, host_key_mismatch or too_many_execs (reason capacity).
// The caller closes the session.
func (p *Pool) Open(ctx context.Context, target Target, need Need) (*Session, error) {
	// An open that a machine refuses, or a connection that turns out to be dead,
	// has run nothing: both may be tried again, within bounds.
	attempts, rounds := 8, 64
	var last error
	for attempts > 0 && rounds > 0 {
		rounds--
		c, warm, err := p.acquire(ctx, target, need)
		if err != nil {
			return nil, classify(ctx, err)
		}
		s, err := c.open(ctx)
		if err == nil {
			s.Warm, s.target, s.by = warm, target, need.By
			c.openAhead()
			return s, nil
		}
		last = err
		if ctx.Err() != nil {
			break
		}
		attempts -= attemptCost(err)
		p.log().Info("session refused or connection lost", "key", target.Key, "cause", err)
	}
	var refused *ssh.OpenChannelError
	if errors.As(last, &refused) {
		return nil, capacityError().Because(last)
	}
	return nil, classify(ctx, last)
}

// attemptCost is what a failed open takes of the attempts that there are: a refusal beside
// other sessions is how a connection's capacity is learned, and costs none; a
// machine that refuses the only session is given a second connection and no more.
func attemptCost(err error) int {
	var crowded *crowdedError
	var refused *ssh.OpenChannelError
	switch {
	case errors.As(err, &crowded):
		return 0
	case errors.As(err, &refused):
		return 4
	}
	return 1
}

// Close closes every connection, waits for all that they run here, and refuses
// callers from then on. It may be called twice. The end of a session that is closed later
// is not waited for.
func (p *Pool) Close() error {
	p.start.Do(p.begin)
	p.end(errClosed)
	p.mu.Lock()
	p.closed = true
	var all []*conn
	for _, g := range p.groups {
		all = append(all, g.conns...)
		g.failWaiters(errClosed)
	}
	p.mu.Unlock()
	for _, c := range all {
		c.kill(errClosed)
	}
	p.wg.Wait()
	return nil
}

// begin makes what the pool runs on, and starts the sweeper.
func (p *Pool) begin() {
	p.life, p.end = context.WithCancelCause(context.Background())
	p.groups = map[string]*group{}
	p.histories = map[string]*history{}
	p.wg.Go(p.sweepUntilClosed)
}

func (p *Pool) slots() int { return or(p.SessionsPerConnection, limits.SessionsPerConnection) }

func (p *Pool) connectionsMax() int { return or(p.ConnectionsPerKey, limits.ConnectionsPerWorkspace) }

func (p *Pool) idleMax() int { return or(p.ConnectionsIdleMax, limits.ConnectionsIdleMax) }

func (p *Pool) idleTime() time.Duration { return or(p.IdleTime, limits.ConnectionIdleTime) }

func (p *Pool) connectTime() time.Duration { return or(p.ConnectTime, limits.ConnectTime) }

// or is a setting, or its default.
func or[T int | time.Duration](set, byDefault T) T {
	if set > 0 {
		return set
	}
	return byDefault
}

func (p *Pool) log() *slog.Logger {
	if p.Log != nil {
		return p.Log
	}
	return slog.New(slog.DiscardHandler)
}
