package sshpool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"sallyport/client/sallyport"
	"sallyport/internal/connector"
	"sallyport/internal/limits"
)

// dialMore starts as many dials as the waiters need: no more than a few at once,
// since sshd drops connections that have not authenticated yet (MaxStartups), and
// none before the back-off is over. Pool.mu is held.
func (p *Pool) dialMore(g *group) {
	const atOnce = 4
	for g.dialing < atOnce &&
		len(g.conns)+g.dialing < p.connectionsMax() &&
		g.dialing*g.slots < len(g.waiters) {
		if g.history.failures > 0 && g.dialing > 0 {
			return // one is enough to learn whether the machine is back
		}
		if wait := time.Until(g.history.notBefore); wait > 0 {
			p.dialLater(g, wait)
			return
		}
		if g.dialing == 0 {
			g.dialedAt = time.Now()
		}
		g.dialing++
		by := g.nextDialer()
		p.wg.Go(func() { p.dial(g, by) })
	}
}

// dialLater dials when the back-off is over, for the callers that still wait then.
// Pool.mu is held.
func (p *Pool) dialLater(g *group, wait time.Duration) {
	if g.later {
		return
	}
	g.later = true
	p.wg.Go(func() {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-p.life.Done():
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		g.later = false
		if !p.closed {
			p.dialMore(g)
		}
		p.dropIfEmpty(g)
	})
}

// dial opens one connection for g, on behalf of one caller, and tells all waiters.
func (p *Pool) dial(g *group, by Dialer) {
	budget := p.connectTime() - min(limits.DialTellTime, p.connectTime()/8)
	ctx, cancel := context.WithTimeoutCause(p.life, budget, errConnectTime)
	defer cancel()
	began := time.Now()
	c, err := p.connect(ctx, g, by)
	p.reportDial(ctx, time.Since(began), err)
	if err != nil {
		p.dialFailed(g, began, asKnown(ctx, err))
		return
	}
	p.dialSucceeded(g, c)
}

func (p *Pool) dialSucceeded(g *group, c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	g.dialing--
	if p.closed {
		p.wg.Go(func() { c.kill(errClosed) })
		c.removed = true
		p.dropIfEmpty(g)
		return
	}
	g.conns = append(g.conns, c)
	g.history.recordConnection(c)
	p.grantAll(g)
	p.parkIfIdle(c)
	p.retireSpent(g)
	p.dialMore(g)
}

// reportDial calls Dialed, unless the pool's end is what failed the dial.
func (p *Pool) reportDial(ctx context.Context, took time.Duration, err error) {
	if p.Dialed == nil || p.life.Err() != nil {
		return
	}
	if err != nil {
		err = classify(ctx, err)
	}
	p.Dialed(took, err)
}

// dialFailed remembers a dial that failed and tells the waiters, unless there are other
// connections to wait for.
func (p *Pool) dialFailed(g *group, began time.Time, err *sallyport.Error) {
	failures, notBefore, ok := p.settleFailure(g, began, err)
	if !ok {
		return // the pool has ended
	}
	p.log().Info("dial failed", "key", g.target.Key, "code", err.Code, "reason", err.Reason,
		"failures", failures, "not_before", notBefore, "cause", err.Cause)
}

func (p *Pool) settleFailure(g *group, began time.Time, err *sallyport.Error) (failures int, notBefore time.Time, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.dropIfEmpty(g)
	g.dialing--
	if p.closed {
		return 0, time.Time{}, false
	}
	switch err.Code {
	case sallyport.CodePlatformUnavailable:
		// It is the store that failed: nothing was learned of the machine.
	case sallyport.CodeTooManyExecs:
		g.history.last, g.history.lastAt = err, time.Now() // nothing is wrong with the machine
	default:
		p.backOff(g, began, err)
	}
	if len(g.conns) == 0 && g.dialing == 0 {
		g.failWaiters(err)
	}
	p.dialMore(g)
	return g.history.failures, g.history.notBefore, true
}

// hostKey returns the key that the machine must prove: it may be pinned by one dial while
// another is on its way.
func (p *Pool) hostKey(g *group) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return g.target.HostKey
}

// connect dials, shakes hands and checks the host key, on behalf of one caller.
func (p *Pool) connect(ctx context.Context, g *group, by Dialer) (*conn, error) {
	link, err := by.Dial(ctx)
	if err != nil {
		return nil, dialError(ctx, err)
	}
	dialled := time.Now()
	l := &login{link: link, wire: newWire(link.Conn, &p.readBuffers), wantHostKey: p.hostKey(g), check: by.CheckHostKey}
	// The link promises no deadlines: time is enforced by closing.
	stop := context.AfterFunc(ctx, func() { _ = link.Conn.Close() })
	client, chans, reqs, err := l.shake(ctx)
	if !stop() && err == nil {
		p.wg.Go(func() { ssh.DiscardRequests(reqs) })
		p.wg.Go(func() { discardChannels(chans) })
		internalsOf(client).end(client)
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = link.Conn.Close() // the error is told already
		l.packets.drain()
		return nil, l.explain(ctx, l.fault(ctx, err))
	}
	l.wire.authenticate()
	c := &conn{
		pool: p, group: g, client: client, internals: internalsOf(client), wire: l.wire, hostKey: hostKeyOf(l.hostKey), since: dialled, done: make(chan struct{}),
		life: link.MaxLife, shared: link.Shared, direct: link.DirectStart,
	}
	p.wg.Go(func() { c.serveRequests(reqs) })
	p.wg.Go(func() { c.serveChannels(chans) })
	p.wg.Go(c.monitor)
	return c, nil
}

// login is one attempt to log in to the machine behind a link. How far it came is
// what its error says.
type login struct {
	link        *connector.Link
	wire        *wire
	wantHostKey string // see Target.HostKey
	check       func(ctx context.Context, key HostKey) error

	hostKey    ssh.PublicKey // the one that was proven and accepted
	credential error         // why there is nothing to log in with
	rekeys     pace          // of those that came after few bytes
	packets    packets       // those that wait to be taken; nil until the login is under way
}

func (l *login) shake(ctx context.Context) (ssh.Conn, <-chan ssh.NewChannel, <-chan *ssh.Request, error) {
	signers := func() ([]ssh.Signer, error) {
		signers, err := l.link.Signers(ctx)
		l.credential = err
		return signers, err
	}
	return ssh.NewClientConn(l.wire, "", &ssh.ClientConfig{
		User: l.link.User,
		// A grant may run out between its making and its use: what is refused is
		// tried once more with a new one.
		Auth:              []ssh.AuthMethod{ssh.RetryableAuthMethod(ssh.PublicKeysCallback(signers), 2)},
		HostKeyCallback:   func(_ string, _ net.Addr, key ssh.PublicKey) error { return l.judge(ctx, key) },
		HostKeyAlgorithms: hostKeyAlgorithms(l.wantHostKey),
		ClientVersion:     "SSH-2.0-Sallyport",
		AuthCallback: func(under *ssh.ClientAuthContext) (ssh.AuthMethod, error) {
			if l.packets = packetsOf(under.Metadata); l.packets != nil {
				l.wire.unthrottle()
			}
			return nil, nil // one of Auth
		},
	})
}

// judge accepts the machine's host key or doesn't, at each exchange of keys.
func (l *login) judge(ctx context.Context, key ssh.PublicKey) error {
	if l.hostKey != nil {
		return l.judgeRekey(key)
	}
	switch {
	case l.link.HostKey != nil && !bytes.Equal(l.link.HostKey.Marshal(), key.Marshal()), l.link.HostKey == nil && l.check == nil:
		return hostKeyError()
	case l.link.HostKey == nil:
		if err := l.check(ctx, hostKeyOf(key)); err != nil {
			return err
		}
	}
	l.hostKey = key
	l.wire.throttle()
	return nil
}

// judgeRekey accepts an exchange of keys on a connection that is in use. One costs some
// milliseconds of ours: it is paid for by the bytes that the connection has carried since
// the last, however fast, or else by time.
func (l *login) judgeRekey(key ssh.PublicKey) error {
	carried := l.wire.carried.Swap(0)
	switch {
	case !bytes.Equal(l.hostKey.Marshal(), key.Marshal()):
		return hostKeyError()
	case carried < limits.RekeyBytesMin && !l.rekeys.allow(limits.RekeysPerMinuteMax, time.Minute):
		return errRekeys
	}
	return nil
}

func hostKeyOf(key ssh.PublicKey) HostKey {
	return HostKey{Line: connector.HostKeyLine(key), Fingerprint: ssh.FingerprintSHA256(key)}
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

var errRekeys = errors.New("the machine exchanges keys without end")

// discardChannels takes what a connection that has ended still offers.
func discardChannels(chans <-chan ssh.NewChannel) {
	for ch := range chans {
		_ = ch.Reject(ssh.Prohibited, "the connection has ended") // nobody hears it
	}
}

// pace counts events in a window of time.
type pace struct {
	since time.Time
	n     int
}

// allow counts one more, and tells whether there are at most most in a window.
func (p *pace) allow(most int, window time.Duration) bool {
	if now := time.Now(); now.Sub(p.since) > window {
		p.since, p.n = now, 0
	}
	p.n++
	return p.n <= most
}

// dialError gives the error of a connector its code and reason.
func dialError(ctx context.Context, err error) error {
	var known *sallyport.Error
	isKnown := errors.As(err, &known)
	hasReason := isKnown && (known.Code != sallyport.CodeConnectFailed || known.Reason != "" && known.Reason != sallyport.ReasonDialFailed)
	switch {
	case hasReason:
		return fmt.Errorf("dial: %w", err)
	case isKnown && context.Cause(ctx) == nil:
		known = known.Because(fmt.Errorf("dial: %w", err))
		known.Reason = sallyport.ReasonDialFailed
		return known
	case context.Cause(ctx) != nil:
		return timeoutError(ctx, sallyport.ReasonDialFailed, "the machine did not answer in time: nothing took the connection", err)
	}
	return failure(sallyport.ReasonDialFailed, "the machine could not be reached: the connection was refused, or there is no way to it", err)
}
