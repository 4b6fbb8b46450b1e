package sshpool

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"time"

	"sallyport/internal/connector"
	"sallyport/internal/limits"
)

// Stage is how far a Probe came.
type Stage int

// Stages, in order. Each was passed when the next was reached.
const (
	StageDial Stage = iota
	StageBanner
	StageHostKey
	StageLogin
	StageSession
)

// Probe is the result of a connection that was made to look at a machine.
type Probe struct {
	// Reached is the stage at which it ended: with Err, or StageSession.
	Reached Stage
	Err     error
	// Banner is the machine's version line, which begins with SSH-, as far as it is
	// printable; HostKey the key that it has proven.
	Banner  string
	HostKey HostKey
	// Said is the first line of what is no SSH server. It is for the log.
	Said string
	// Took is how long each stage took that was passed.
	Took map[Stage]time.Duration
}

// Probe makes a connection of its own to target on a caller's behalf, hands a session on
// it to use, and closes both. What by.CheckHostKey says is obeyed. Nothing of it is kept.
func (p *Pool) Probe(ctx context.Context, target Target, by Dialer, use func(*Session)) Probe {
	p.start.Do(p.begin)
	w := &watch{began: time.Now(), took: map[Stage]time.Duration{}}
	c, err := p.connect(ctx, &group{target: target, history: &history{}, slots: 1}, w.over(by))
	if err == nil {
		w.reach(StageSession)
		defer c.kill(errProbed)
		p.mu.Lock()
		c.removed = true // no other caller is given it
		p.takeSlot(c)
		p.mu.Unlock()
		var s *Session
		if s, err = c.open(ctx); err == nil {
			s.target, s.by = target, by
			use(s)
			_ = s.Close()
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return Probe{Reached: w.stage, Err: err, Banner: printable(w.banner), Said: printable(w.said), HostKey: w.key, Took: w.took}
}

var errProbed = errors.New("the probe is over")

// watch observes how a connection is made.
type watch struct {
	mu     sync.Mutex // guards the fields below
	began  time.Time  // of the stage
	stage  Stage
	took   map[Stage]time.Duration
	banner []byte // the version line, or nil
	said   []byte // the first line that is none
	key    HostKey
}

// over is by, observed.
func (w *watch) over(by Dialer) Dialer {
	dial, check := by.Dial, by.CheckHostKey
	by.Dial = func(ctx context.Context) (*connector.Link, error) {
		link, err := dial(ctx)
		if err == nil {
			w.reach(StageBanner)
			link.Conn = &watchedConn{Conn: link.Conn, watch: w, left: limits.LoginBytesMax}
		}
		return link, err
	}
	by.CheckHostKey = func(ctx context.Context, key HostKey) error {
		w.mu.Lock()
		w.key = key
		w.mu.Unlock()
		w.reach(StageHostKey)
		if check != nil {
			if err := check(ctx, key); err != nil {
				return err
			}
		}
		w.reach(StageLogin)
		return nil
	}
	return by
}

// reach ends the stages before stage.
func (w *watch) reach(stage Stage) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if stage > w.stage {
		now := time.Now()
		w.took[w.stage] = now.Sub(w.began)
		w.stage, w.began = stage, now
	}
}

// watchedConn looks for the version line in what it reads. Other lines may come before it
// (RFC 4253, section 4.2).
type watchedConn struct {
	net.Conn
	watch *watch
	lines int    // that have ended
	line  []byte // the one at hand, as far as it has come
	left  int    // bytes to look at before it is given up
	over  bool
}

// bannerLineBytesMax is the longest version line (RFC 4253, section 4.2).
const bannerLineBytesMax = 255

func (c *watchedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.watch.mu.Lock()
	defer c.watch.mu.Unlock()
	for _, b := range p[:n] {
		if c.over || c.left == 0 {
			break
		}
		c.left--
		c.take(b)
	}
	return n, err
}

// take looks at a byte. The watch's lock is held.
func (c *watchedConn) take(b byte) {
	if b != '\n' && len(c.line) < bannerLineBytesMax {
		c.line = append(c.line, b)
	}
	isVersion := bytes.HasPrefix(c.line, []byte("SSH-"))
	switch {
	case isVersion:
		c.watch.banner, c.over = c.line, b == '\n'
	case c.lines == 0:
		c.watch.said = c.line
	}
	if b == '\n' {
		c.line = nil
		c.lines++
	}
}

// printable keeps what a hostile machine says from being anything but text.
func printable(b []byte) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, string(b))
}
