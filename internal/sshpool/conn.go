package sshpool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"sallyport"
	"sallyport/internal/connector"
	"sallyport/internal/limits"
)

// conn is one authenticated connection.
type conn struct {
	pool   *Pool
	group  *group
	client ssh.Conn
	done   chan struct{} // closed when the connection has ended

	// Guarded by Pool.mu.
	busy      int
	slots     int
	idleSince time.Time

	once  sync.Once
	cause error // why we ended it; set before done is closed
}

// connect dials, shakes hands and checks the host key.
func (p *Pool) connect(ctx context.Context, g *group) (*conn, error) {
	link, err := g.target.Dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", cause(ctx, err))
	}
	// The link promises no deadlines: time is enforced by closing.
	stop := context.AfterFunc(ctx, func() { link.Conn.Close() })
	client, chans, reqs, err := handshake(ctx, link, g.target)
	if !stop() && err == nil {
		client.Close()
		err = context.Cause(ctx)
	}
	if err != nil {
		link.Conn.Close()
		return nil, fmt.Errorf("handshake: %w", cause(ctx, err))
	}
	c := &conn{
		pool: p, group: g, client: client, done: make(chan struct{}),
		slots: p.slots(), idleSince: time.Now(),
	}
	p.wg.Go(func() { ssh.DiscardRequests(reqs) })
	p.wg.Go(func() { rejectChannels(chans) })
	p.wg.Go(c.monitor)
	return c, nil
}

// handshake logs in to the machine behind link.
func handshake(ctx context.Context, link *connector.Link, target Target) (ssh.Conn, <-chan ssh.NewChannel, <-chan *ssh.Request, error) {
	signers, err := link.Signers(ctx)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("signers: %w", err)
	}
	client, chans, reqs, err := ssh.NewClientConn(link.Conn, "", &ssh.ClientConfig{
		User:              link.User,
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(signers...)},
		HostKeyCallback:   hostKeyCallback(ctx, link, target.CheckHostKey),
		HostKeyAlgorithms: hostKeyAlgorithms(target.HostKey),
		ClientVersion:     "SSH-2.0-Sallyport",
	})
	return client, chans, reqs, err
}

func hostKeyCallback(ctx context.Context, link *connector.Link, check func(context.Context, HostKey) error) ssh.HostKeyCallback {
	return func(_ string, _ net.Addr, key ssh.PublicKey) error {
		switch {
		case link.HostKey != nil && bytes.Equal(link.HostKey.Marshal(), key.Marshal()):
			return nil
		case link.HostKey == nil && check != nil:
			line := bytes.TrimSpace(ssh.MarshalAuthorizedKey(key))
			return check(ctx, HostKey{Line: string(line), Fingerprint: ssh.FingerprintSHA256(key)})
		}
		return sallyport.Errorf(sallyport.CodeHostKeyMismatch, "the machine's host key is not the one it is known by")
	}
}

// hostKeyAlgorithms are those of a key that is known, or else all that are good, the
// shortest keys first. An RSA key has several (RFC 8332).
func hostKeyAlgorithms(known string) []string {
	kind, _, _ := strings.Cut(known, " ")
	switch kind {
	case "":
		return []string{
			ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521,
			ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256,
		}
	case ssh.KeyAlgoRSA:
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	return []string{kind}
}

// cause prefers the reason for which ctx ended to the error that came of it.
func cause(ctx context.Context, err error) error {
	if c := context.Cause(ctx); c != nil {
		return c
	}
	return err
}

// rejectChannels refuses what a server may not ask of a client.
func rejectChannels(chans <-chan ssh.NewChannel) {
	for ch := range chans {
		_ = ch.Reject(ssh.Prohibited, "no channels to this side")
	}
}

// monitor keeps the connection alive, finds a half-open one, and takes it out
// of the pool when it has ended.
func (c *conn) monitor() {
	ended := make(chan struct{})
	go func() {
		_ = c.client.Wait()
		close(ended)
	}()
	tick := time.NewTicker(limits.KeepaliveEvery)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			c.kill(errors.New("connection lost"))
			c.pool.remove(c)
			return
		case <-tick.C:
			watchdog := time.AfterFunc(limits.KeepaliveTimeout, func() { c.kill(errors.New("keepalive unanswered")) })
			// What is wrong is told by the connection's end, or by the watchdog.
			_, _, _ = c.client.SendRequest("keepalive@openssh.com", true, nil)
			watchdog.Stop()
		}
	}
}

// alive tells whether the connection has not ended, as far as we know.
func (c *conn) alive() bool {
	select {
	case <-c.done:
		return false
	default:
		return true
	}
}

// kill ends the connection; the first cause is kept.
func (c *conn) kill(cause error) {
	c.once.Do(func() {
		c.cause = cause
		close(c.done)
	})
	_ = c.client.Close() // its end is what was wanted
}

// open opens a session in the slot that the caller has taken, and frees the
// slot when that fails.
func (c *conn) open(ctx context.Context) (*Session, error) {
	type opened struct {
		ch   ssh.Channel
		reqs <-chan *ssh.Request
		err  error
	}
	answer := make(chan opened, 1)
	c.pool.wg.Go(func() {
		ch, reqs, err := c.client.OpenChannel("session", nil)
		answer <- opened{ch, reqs, err}
	})
	select {
	case o := <-answer:
		if o.err != nil {
			c.refused(o.err)
			return nil, fmt.Errorf("open session: %w", o.err)
		}
		return newSession(c, o.ch, o.reqs), nil
	case <-ctx.Done():
		c.pool.wg.Go(func() {
			watchdog := time.AfterFunc(limits.KeepaliveTimeout, func() { c.kill(errors.New("open unanswered")) })
			defer watchdog.Stop()
			if o := <-answer; o.err != nil {
				c.refused(o.err)
			} else {
				_ = newSession(c, o.ch, o.reqs).Close()
			}
		})
		return nil, fmt.Errorf("open session: %w", context.Cause(ctx))
	}
}

// refused gives the slot back. A refusal tells how many sessions the machine
// takes; anything else means that the connection is broken.
func (c *conn) refused(err error) {
	var refusal *ssh.OpenChannelError
	if !errors.As(err, &refusal) {
		c.kill(err)
	}
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	if refusal != nil {
		c.slots = max(1, c.busy-1)
	}
	c.pool.giveBack(c)
}
