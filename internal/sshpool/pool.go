// Package sshpool keeps warm, verified SSH connections and hands out sessions
// on them. Connections are shared within one key (a workspace's machine) and
// never across keys. It knows nothing of tenants or tokens.
package sshpool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"sallyport"
	"sallyport/internal/connector"
	"sallyport/internal/limits"
)

// Target is a machine to reach.
type Target struct {
	// Key names the machine: two targets with one key share connections. It
	// must change with everything that the connection depends on.
	Key string
	// Dial opens the byte stream; see connector.Connector.
	Dial func(ctx context.Context) (*connector.Link, error)
	// CheckHostKey judges the key that the machine has proven. Nil accepts only
	// the key that the link itself vouches for. ctx is that of the dial.
	CheckHostKey func(ctx context.Context, key HostKey) error
	// HostKey is the key that CheckHostKey will want, as HostKey.Line has it, where
	// that is known: a machine has several, and is asked for this one.
	HostKey string
}

// HostKey is a key that a machine has proven.
type HostKey struct {
	// Line is its type and base64, as known_hosts has it.
	Line string
	// Fingerprint is its SHA-256, as ssh-keygen -l prints it.
	Fingerprint string
}

// Pool is a pool of SSH connections. Fill the fields before the first use; the
// zero value of each is its default. It is safe for concurrent use.
type Pool struct {
	// Log takes what operators need and callers don't see. Nil discards it.
	Log *slog.Logger
	// SessionsPerConnection, ConnectionsPerKey and IdleTime: see package limits.
	SessionsPerConnection int
	ConnectionsPerKey     int
	IdleTime              time.Duration
	// Dialed is told of each connection that was tried: how long it took until it
	// was authenticated, or the error with its code. Nil is for nobody.
	Dialed func(took time.Duration, err error)

	mu     sync.Mutex // guards groups and closed, and every group's and conn's fields that say so
	groups map[string]*group
	closed bool

	start sync.Once       // makes life and end with the first use
	life  context.Context // ends with the pool: dials and the sweeper run under it
	end   context.CancelCauseFunc
	wg    crew
}

// group is what the pool holds of one key.
type group struct {
	target Target
	// conns in the order in which they were opened: the first with a free slot
	// is taken, so that the last ones fall idle. Guarded by Pool.mu.
	conns   []*conn
	dialing int
	waiters []*waiter
}

// waiter is a caller who waits for a slot. got is buffered: a grant never blocks.
type waiter struct {
	group *group
	got   chan grant
}

type grant struct {
	conn *conn
	err  error
}

// errClosed is what a caller of a closed pool gets.
var errClosed = sallyport.Errorf(sallyport.CodeDraining, "the server is ending; try again in a moment")

// Open opens a session on a warm connection to target, and dials when there is
// none with room. Nothing has run on the machine when it fails. It waits as long
// as ctx allows; its errors hold a *sallyport.Error with connect_failed,
// connect_timeout, host_key_mismatch or too_many_execs (reason capacity). The
// caller closes the session.
func (p *Pool) Open(ctx context.Context, target Target) (*Session, error) {
	// An open that a machine refuses, or a connection that turns out to be dead,
	// has run nothing: both may be tried again, within bounds.
	const tries = 8
	var last error
	for range tries {
		c, warm, err := p.acquire(ctx, target)
		if err != nil {
			return nil, classify(ctx, err)
		}
		s, err := c.open(ctx)
		if err == nil {
			s.Warm = warm
			return s, nil
		}
		last = err
		if ctx.Err() != nil {
			break
		}
		p.log().Info("session refused or connection lost", "key", target.Key, "cause", err)
	}
	var refused *ssh.OpenChannelError
	if errors.As(last, &refused) {
		return nil, capacityError().Because(last)
	}
	return nil, classify(ctx, last)
}

// Close closes every connection, waits for all that they run here, and refuses
// callers from then on. It may be called twice. A session that is closed later
// than that has nobody who waits for its end.
func (p *Pool) Close() error {
	p.start.Do(p.begin)
	p.end(errClosed)
	p.mu.Lock()
	p.closed = true
	var all []*conn
	for _, g := range p.groups {
		all = append(all, g.conns...)
		for _, w := range g.waiters {
			w.got <- grant{err: errClosed}
		}
		g.waiters = nil
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
	p.wg.Go(p.sweepUntilClosed)
}

// acquire takes a slot on a connection: a free one, which is warm, or one that is
// being dialled, or one that somebody gives back.
func (p *Pool) acquire(ctx context.Context, target Target) (c *conn, warm bool, err error) {
	w, c, err := p.ask(target)
	if c != nil || err != nil {
		return c, true, err
	}
	select {
	case got := <-w.got:
		return got.conn, false, got.err
	case <-ctx.Done():
		full := p.forget(w)
		if full && errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return nil, false, capacityError()
		}
		return nil, false, context.Cause(ctx)
	}
}

// ask returns a connection with a slot taken, or a waiter that will get one.
func (p *Pool) ask(target Target) (*waiter, *conn, error) {
	p.start.Do(p.begin)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, nil, errClosed
	}
	g := p.groups[target.Key]
	if g == nil {
		g = &group{target: target}
		p.groups[target.Key] = g
	}
	if c := g.free(); c != nil {
		c.busy++
		return nil, c, nil
	}
	w := &waiter{group: g, got: make(chan grant, 1)}
	g.waiters = append(g.waiters, w)
	p.dialMore(g)
	return w, nil, nil
}

// free returns the first connection with a free slot. Pool.mu is held.
func (g *group) free() *conn {
	for _, c := range g.conns {
		if c.busy < c.slots && c.alive() {
			return c
		}
	}
	return nil
}

// forget takes back a waiter whose caller has gone; a slot that it was granted
// in the same moment goes to the next. It tells whether the machine had as many
// connections as it may, all of them busy.
func (p *Pool) forget(w *waiter) (full bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	g := w.group
	for i, other := range g.waiters {
		if other == w {
			g.waiters = append(g.waiters[:i], g.waiters[i+1:]...)
			p.dropIfEmpty(g)
			return len(g.conns) >= p.connectionsMax()
		}
	}
	if got := <-w.got; got.conn != nil {
		p.giveBack(got.conn)
	}
	return false
}

// giveBack frees a slot and grants it to who has waited longest. Pool.mu is held.
func (p *Pool) giveBack(c *conn) {
	c.busy--
	c.idleSince = time.Now()
	p.grantAll(c.group)
}

// grantAll hands free slots to waiters. Pool.mu is held.
func (p *Pool) grantAll(g *group) {
	for len(g.waiters) > 0 {
		c := g.free()
		if c == nil {
			return
		}
		c.busy++
		g.waiters[0].got <- grant{conn: c}
		g.waiters = g.waiters[1:]
	}
}

// dialMore starts as many dials as the waiters need: no more than a few at once,
// since sshd drops connections that have not authenticated yet (MaxStartups).
// Pool.mu is held.
func (p *Pool) dialMore(g *group) {
	const atOnce = 4
	for g.dialing < atOnce &&
		len(g.conns)+g.dialing < p.connectionsMax() &&
		g.dialing*p.slots() < len(g.waiters) {
		g.dialing++
		p.wg.Go(func() { p.dial(g) })
	}
}

// dial opens one connection for g and tells the waiters.
func (p *Pool) dial(g *group) {
	ctx, cancel := context.WithTimeoutCause(p.life, limits.ConnectTime, errConnectTime)
	defer cancel()
	began := time.Now()
	c, err := p.connect(ctx, g)
	p.dialed(ctx, time.Since(began), err)

	p.mu.Lock()
	defer p.mu.Unlock()
	g.dialing--
	if err == nil && p.closed {
		c.kill(errClosed)
		err = errClosed
	}
	if err != nil {
		p.dialFailed(g, err)
		return
	}
	g.conns = append(g.conns, c)
	p.grantAll(g)
	p.dialMore(g)
}

// dialed tells who watches of a dial, unless the pool's end is what failed it.
func (p *Pool) dialed(ctx context.Context, took time.Duration, err error) {
	if p.Dialed == nil || p.life.Err() != nil {
		return
	}
	if err != nil {
		err = classify(ctx, err)
	}
	p.Dialed(took, err)
}

// dialFailed tells the waiters that no connection could be made. Those of a
// machine that has others go on waiting for a slot. Pool.mu is held.
func (p *Pool) dialFailed(g *group, err error) {
	if len(g.conns) > 0 {
		return
	}
	if g.dialing == 0 {
		for _, w := range g.waiters {
			w.got <- grant{err: err}
		}
		g.waiters = nil
	}
	p.dropIfEmpty(g)
}

// remove takes a connection that has ended out of the pool.
func (p *Pool) remove(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	g := c.group
	for i, other := range g.conns {
		if other == c {
			g.conns = append(g.conns[:i], g.conns[i+1:]...)
			break
		}
	}
	if len(g.waiters) > 0 && !p.closed {
		p.dialMore(g)
	}
	p.dropIfEmpty(g)
}

// dropIfEmpty forgets a key of which nothing is left. Pool.mu is held.
func (p *Pool) dropIfEmpty(g *group) {
	if len(g.conns) == 0 && g.dialing == 0 && len(g.waiters) == 0 && p.groups[g.target.Key] == g {
		delete(p.groups, g.target.Key)
	}
}

func (p *Pool) slots() int {
	if p.SessionsPerConnection > 0 {
		return p.SessionsPerConnection
	}
	return limits.SessionsPerConnection
}

func (p *Pool) connectionsMax() int {
	if p.ConnectionsPerKey > 0 {
		return p.ConnectionsPerKey
	}
	return limits.ConnectionsPerWorkspace
}

func (p *Pool) idleTime() time.Duration {
	if p.IdleTime > 0 {
		return p.IdleTime
	}
	return limits.ConnectionIdleTime
}

func (p *Pool) log() *slog.Logger {
	if p.Log != nil {
		return p.Log
	}
	return slog.New(slog.DiscardHandler)
}

// errConnectTime is the cause of a context whose connect budget is used up.
var errConnectTime = errors.New("connect budget used up")

func capacityError() *sallyport.Error {
	e := sallyport.Errorf(sallyport.CodeTooManyExecs, "the machine takes no more sessions now; try again in a moment")
	e.Reason = "capacity"
	return e
}

// classify gives an error of the way to a machine its code.
func classify(ctx context.Context, err error) error {
	var known *sallyport.Error
	switch {
	case errors.As(err, &known):
		return err
	case errors.Is(context.Cause(ctx), context.Canceled):
		return fmt.Errorf("reach the machine: %w", err)
	case ctx.Err() != nil, errors.Is(err, errConnectTime), errors.Is(err, context.DeadlineExceeded):
		return sallyport.Errorf(sallyport.CodeConnectTimeout, "the machine did not answer in time").Because(err)
	}
	return sallyport.Errorf(sallyport.CodeConnectFailed, "the machine could not be reached").Because(err)
}
