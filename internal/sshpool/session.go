package sshpool

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// Session is one session channel (RFC 4254, section 6) on a pooled connection.
// Read is the remote side's stdout, Stderr its stderr, Write its stdin.
type Session struct {
	ssh.Channel
	// Warm tells that the session was had at once, on a connection with room: nobody
	// waited for a dial, or for another session's end.
	Warm bool

	conn     *conn
	target   Target
	by       Dialer // of the caller that opened it
	requests <-chan *ssh.Request
	wg       sync.WaitGroup
	once     sync.Once
}

func newSession(c *conn, ch ssh.Channel, reqs <-chan *ssh.Request) *Session {
	return &Session{Channel: ch, conn: c, requests: reqs}
}

// Requests carries what the machine says of the session: exit-status,
// exit-signal. It is closed when the session has ended, or its connection.
// Somebody must read it until Close.
func (s *Session) Requests() <-chan *ssh.Request { return s.requests }

// Go runs f in a goroutine that ends when the session's channel does; the
// session waits for it, and keeps its slot until then.
func (s *Session) Go(f func()) { s.wg.Go(f) }

// Lost is closed when the connection under the session has ended.
func (s *Session) Lost() <-chan struct{} { return s.conn.done }

// Broken tells whether the connection no longer carries anything, whoever broke it: the
// machine, the network, or this side over a packet that made no sense, a forged one, or a
// host key that has changed. It is true before the streams of a session end for that: an
// end of file that was seen while it is false is the machine's own.
func (s *Session) Broken() bool { return s.conn.broken() }

// RoundTrip is the shortest that was seen on the session's connection.
func (s *Session) RoundTrip() time.Duration { return time.Duration(s.conn.trip.Load()) }

// learnTrip takes how long an answer took.
func (c *conn) learnTrip(d time.Duration) {
	for {
		known := c.trip.Load()
		if known != 0 && known <= int64(d) || c.trip.CompareAndSwap(known, int64(d)) {
			return
		}
	}
}

// Learned is what Learn was last called with on the session's connection, by whoever:
// something about the machine that holds as long as the connection does. It is "" before.
func (s *Session) Learned() string {
	if word := s.conn.learned.Load(); word != nil {
		return *word
	}
	return ""
}

// Learn keeps a word for all sessions on the session's connection.
func (s *Session) Learn(word string) { s.conn.learned.Store(&word) }

// Keep returns what make returned when Keep was first called for the session's machine. It
// is kept as long as the pool has connections to that machine.
func (s *Session) Keep(make func() any) any {
	p := s.conn.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	g := s.conn.group
	if g.kept == nil {
		g.kept = make()
	}
	return g.kept
}

// Ping waits for a round trip to the machine, on this session's channel: what
// the machine sent before its reply has arrived when Ping returns nil.
func (s *Session) Ping(ctx context.Context) error {
	answer := make(chan error, 1)
	s.Go(func() {
		_, err := s.SendRequest("keepalive@openssh.com", true, nil)
		answer <- err
	})
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// RequestSubsystem asks for a subsystem, such as sftp, and tells whether it is there.
func (s *Session) RequestSubsystem(name string) (bool, error) {
	return s.SendRequest("subsystem", true, ssh.Marshal(struct{ Name string }{name}))
}

// Sibling opens another session to the same machine: on the same connection,
// whatever its slots say, or on another one of the pool.
func (s *Session) Sibling(ctx context.Context) (*Session, error) {
	p := s.conn.pool
	p.mu.Lock()
	p.takeSlot(s.conn)
	p.mu.Unlock()
	sibling, err := s.conn.open(ctx)
	if err == nil {
		sibling.target, sibling.by = s.target, s.by
		return sibling, nil
	}
	if sibling, err = p.Open(ctx, s.target, Need{By: s.by}); err != nil {
		return nil, fmt.Errorf("sibling session: %w", err)
	}
	return sibling, nil
}

// Close closes the channel and returns at once. The slot is free again when the
// machine has confirmed; one that never does loses its connection. Closing does
// not end the command. It may be called twice.
func (s *Session) Close() error {
	s.once.Do(func() {
		_ = s.Channel.Close() // a connection that is lost needs none
		s.conn.pool.wg.Go(s.release)
	})
	return nil
}

func (s *Session) release() {
	w := s.conn.awaitReply("close")
	ssh.DiscardRequests(s.requests)
	w.stop()
	s.wg.Wait()
	p := s.conn.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	p.releaseSlot(s.conn)
}
