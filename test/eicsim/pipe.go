package eicsim

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

const (
	// messageBytesMax is the largest message that a client may send.
	messageBytesMax = 65_000
	// queuedMax are the messages of a client on their way: 1 MB of them at most.
	queuedMax = 16
	// chunkBytes is what one message to the client holds at most. It is above what
	// some WebSocket libraries read unless they are told to.
	chunkBytes = 64 << 10
	// lookEvery is how often a tunnel looks at its clock and its faults.
	lookEvery = 10 * time.Millisecond
	// pingEvery and pongWaitMax are those of the fault Ping.
	pingEvery   = 50 * time.Millisecond
	pongWaitMax = 10 * time.Second
)

// pipe is one open tunnel.
type pipe struct {
	sim    *Sim
	conn   *websocket.Conn
	raw    net.Conn // what conn runs over
	ctx    context.Context
	cancel context.CancelFunc
	up     chan []byte // from the client
	down   atomic.Int64
	once   sync.Once // the end
	texted bool
}

// carry serves a tunnel until its end.
func (s *Sim) carry(conn *websocket.Conn, raw net.Conn, way route) {
	p := &pipe{sim: s, conn: conn, raw: raw, up: make(chan []byte, queuedMax)}
	p.ctx, p.cancel = context.WithCancel(s.ctx)
	conn.SetReadLimit(-1) // we look ourselves, and count
	s.mu.Lock()
	s.tunnels[p] = struct{}{}
	if s.ended {
		p.cut()
	}
	s.mu.Unlock()
	var wg sync.WaitGroup
	wg.Go(p.read)
	opened := s.now() // by the clock as it is before anything comes back
	wg.Go(func() { p.watch(opened, way.life) })
	wg.Go(p.ping)
	p.connect(way.target())
	p.cancel()
	_ = conn.CloseNow() // it is over, one way or the other
	wg.Wait()
	s.mu.Lock()
	delete(s.tunnels, p)
	s.mu.Unlock()
}

// connect dials the target and passes bytes until an end.
func (p *pipe) connect(target string) {
	f, _ := p.sim.inForce()
	unreachable := func() { p.end(f.endCode(), "Unable to connect to target") }
	if p.sim.cannotConnect() || target == "" {
		if wait(p.ctx, f.CannotConnectAfter) {
			unreachable()
		}
		return
	}
	conn, err := (&net.Dialer{}).DialContext(p.ctx, "tcp", target)
	if err != nil {
		unreachable()
		return
	}
	defer conn.Close()
	stop := context.AfterFunc(p.ctx, func() { _ = conn.Close() })
	defer stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer p.cancel()
	wg.Go(func() { p.toTarget(conn) })
	p.toClient(conn)
}

func (f Faults) endCode() websocket.StatusCode {
	return cmp.Or(websocket.StatusCode(f.EndCode), websocket.StatusInternalError)
}

// end closes the tunnel with a close frame; the first end counts.
func (p *pipe) end(code websocket.StatusCode, reason string) {
	p.once.Do(func() {
		_ = p.conn.Close(code, reason) // the client may have gone
		p.cancel()
	})
}

// cut ends the tunnel at once, without a word.
func (p *pipe) cut() {
	raw := p.raw
	if t, ok := raw.(*tls.Conn); ok {
		raw = t.NetConn() // which would say goodbye
	}
	_ = raw.Close()
	p.cancel()
}

// read takes the client's messages, always, so that its end is seen.
func (p *pipe) read() {
	defer p.cancel()
	for {
		kind, reader, err := p.conn.Reader(p.ctx)
		if err != nil {
			return
		}
		message, err := io.ReadAll(io.LimitReader(reader, messageBytesMax+1))
		switch {
		case err != nil:
			return
		case kind != websocket.MessageBinary:
			p.sim.reject(OpenTunnel, "protocol error: a text message")
			p.end(websocket.StatusUnsupportedData, "text")
			return
		case len(message) > messageBytesMax:
			p.sim.reject(OpenTunnel, "protocol error: a message of more than %d bytes", messageBytesMax)
			p.end(websocket.StatusMessageTooBig, "too big")
			return
		}
		select {
		case p.up <- message:
		case <-p.ctx.Done():
			return
		}
	}
}

func (p *pipe) toTarget(conn net.Conn) {
	for {
		select {
		case message := <-p.up:
			if !p.sim.flow(p.ctx) {
				return
			}
			_, _ = conn.Write(message) // a target that has gone is seen by who reads
		case <-p.ctx.Done():
			return
		}
	}
}

func (p *pipe) toClient(conn net.Conn) {
	buffer := make([]byte, chunkBytes)
	for {
		n, err := conn.Read(buffer)
		f, _ := p.sim.inForce()
		if f.SplitMerge && err == nil && n < len(buffer) {
			// What comes within a moment goes with it.
			_ = conn.SetReadDeadline(time.Now().Add(2 * time.Millisecond))
			var more int
			more, _ = conn.Read(buffer[n:])
			n += more
			_ = conn.SetReadDeadline(time.Time{})
		}
		if n > 0 && !p.pass(buffer[:n]) {
			return
		}
		if err == nil {
			continue
		}
		if !p.sim.flow(p.ctx) {
			return
		}
		if errors.Is(err, io.EOF) {
			p.end(websocket.StatusNormalClosure, "")
		} else {
			p.end(f.endCode(), "Connection to target lost")
		}
		return
	}
}

// pass sends what came from the target, as the faults say, and tells whether the
// tunnel goes on.
func (p *pipe) pass(b []byte) bool {
	if !p.sim.flow(p.ctx) {
		return false
	}
	f, _ := p.sim.inForce()
	for len(b) > 0 {
		n := len(b)
		switch {
		case f.ByteAtATime:
			n = 1
		case f.SplitMerge:
			n = 1 + rand.IntN(n)
		}
		left := f.DropAfter - p.down.Load()
		dropped := f.DropAfter > 0 && left <= int64(n)
		if dropped {
			n = int(max(0, left))
		}
		if err := p.send(b[:n], f); err != nil {
			return false
		}
		p.down.Add(int64(n))
		if dropped {
			p.cut()
			return false
		}
		b = b[n:]
	}
	return true
}

func (p *pipe) send(b []byte, f Faults) error {
	if f.SplitMerge {
		if err := p.sendFragments(b); err != nil {
			return err
		}
	} else if len(b) > 0 {
		if err := p.conn.Write(p.ctx, websocket.MessageBinary, b); err != nil {
			return err
		}
	}
	if f.TextMessage && !p.texted {
		p.texted = true
		return p.conn.Write(p.ctx, websocket.MessageText, []byte("hello"))
	}
	return nil
}

// sendFragments sends an empty message sometimes, and then one of several frames.
func (p *pipe) sendFragments(b []byte) error {
	if rand.IntN(8) == 0 {
		if err := p.conn.Write(p.ctx, websocket.MessageBinary, nil); err != nil {
			return err
		}
	}
	w, err := p.conn.Writer(p.ctx, websocket.MessageBinary)
	if err != nil {
		return err
	}
	at := rand.IntN(len(b) + 1)
	_, first := w.Write(b[:at])
	_, second := w.Write(b[at:])
	return errors.Join(first, second, w.Close())
}

// watch ends a tunnel, open since start, whose time is over, or that the faults end though nothing passes.
func (p *pipe) watch(start time.Time, life time.Duration) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-p.ctx.Done():
			return
		}
		f, _ := p.sim.inForce()
		down := p.down.Load()
		switch {
		case f.DropAfter > 0 && down >= f.DropAfter:
			p.cut()
		case f.CloseCode != 0 && down >= f.CloseAfter:
			p.end(websocket.StatusCode(f.CloseCode), f.CloseReason)
		case p.sim.now().Sub(start) >= life:
			p.end(f.endCode(), "The tunnel has reached its maximum duration")
		}
	}
}

// ping is the fault Ping.
func (p *pipe) ping() {
	for wait(p.ctx, pingEvery) {
		if f, _ := p.sim.inForce(); !f.Ping || f.Stall {
			continue
		}
		ctx, cancel := context.WithTimeout(p.ctx, pongWaitMax)
		err := p.conn.Ping(ctx)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) && p.ctx.Err() == nil {
			p.sim.reject(OpenTunnel, "a ping was not answered")
			p.cut()
		}
	}
}

// answersPings tells the WebSocket library whether a client's ping gets its pong.
func (s *Sim) answersPings(context.Context, []byte) bool {
	f, _ := s.inForce()
	return !f.Stall
}
