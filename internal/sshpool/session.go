package sshpool

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/crypto/ssh"
)

// Session is one session channel (RFC 4254, section 6) on a pooled connection.
// Read is the remote side's stdout, Stderr its stderr, Write its stdin.
type Session struct{ *Channel }

func newSession(c *conn, ch ssh.Channel, reqs <-chan *ssh.Request) *Session {
	return &Session{&Channel{Channel: ch, conn: c, requests: reqs}}
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

// StartsDirectly reports whether the machine is a host of our own that starts programs
// without a shell, as the connector says: see connector.Link.
func (s *Session) StartsDirectly() bool { return s.conn.direct }

// RequestSubsystem asks for a subsystem, such as sftp, and tells whether it is there.
func (s *Session) RequestSubsystem(name string) (bool, error) {
	return s.SendRequest("subsystem", true, ssh.Marshal(struct{ Name string }{name}))
}

// WindowSize is the size of a PTY in characters.
type WindowSize struct{ Cols, Rows uint32 }

// RequestPTY asks for a PTY (RFC 4254, section 6.2) with modes (section 8) in which it echoes
// nothing, takes no key for a signal or an edit, and changes nothing either way, and tells
// whether there is one. It is called before the session's command.
func (s *Session) RequestPTY(term string, size WindowSize) (bool, error) {
	var modes []byte
	for _, op := range []byte{ssh.ECHO, ssh.ICANON, ssh.ISIG, ssh.ICRNL, ssh.IXON, ssh.OPOST} {
		modes = append(modes, op, 0, 0, 0, 0)
	}
	return s.SendRequest("pty-req", true, ssh.Marshal(struct {
		Term                      string
		Cols, Rows, Width, Height uint32
		Modes                     string
	}{term, size.Cols, size.Rows, 0, 0, string(append(modes, 0))}))
}

// ResizePTY tells the session's PTY its size.
func (s *Session) ResizePTY(size WindowSize) error {
	_, err := s.SendRequest("window-change", false, ssh.Marshal(struct{ Cols, Rows, Width, Height uint32 }{size.Cols, size.Rows, 0, 0}))
	return err
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

// OpenSubsystem opens a session with a subsystem on it, such as sftp. Its errors are those
// of Open, and ErrNoSubsystem.
func (p *Pool) OpenSubsystem(ctx context.Context, target Target, need Need, name string) (*Session, error) {
	s, err := p.Open(ctx, target, need)
	if err != nil {
		return nil, err
	}
	if err := s.startSubsystem(ctx, name); err != nil {
		_ = s.Close() // it serves nothing
		return nil, fmt.Errorf("open subsystem %s: %w", name, err)
	}
	return s, nil
}

// ErrNoSubsystem is a machine that doesn't have the subsystem.
var ErrNoSubsystem = errors.New("the machine has no such subsystem")

// startSubsystem asks for a subsystem, and waits for the answer as long as ctx allows.
func (s *Session) startSubsystem(ctx context.Context, name string) error {
	answer := make(chan error, 1)
	s.Go(func() {
		ok, err := s.RequestSubsystem(name)
		if err == nil && !ok {
			err = ErrNoSubsystem
		}
		answer <- err
	})
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
