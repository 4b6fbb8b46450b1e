// Package faultproxy is a TCP proxy on loopback that does to a connection what
// networks do: it delays without reordering, cuts, resets, loses everything, or
// lets a byte through now and then. Faults may be changed while it runs.
package faultproxy

import (
	"errors"
	"net"
	"sync"
	"testing"
	"time"
)

// Faults are what a proxy does to the bytes that pass. The zero value does nothing.
type Faults struct {
	// Delay is added each way: a round trip takes twice as much more. The rate
	// stays as it is.
	Delay time.Duration
	// Blackhole loses everything: new connections are accepted, and nobody is told
	// of anything.
	Blackhole bool
	// Drip lets one byte through, each way, and waits so long before the next.
	Drip time.Duration
	// CutUpAfter and CutDownAfter close a connection, both ways, once so many bytes
	// of it have gone to the server or come from it; 0 is never. Cut at once by Cut.
	CutUpAfter, CutDownAfter int64
	// Once lifts both when a connection was closed for them: the next isn't.
	Once bool
	// Reset makes what CutUpAfter and CutDownAfter do a reset, not an end of file.
	Reset bool
}

// Proxy is a running proxy. It is safe for concurrent use and ends with its test.
type Proxy struct {
	// Addr is where it listens.
	Addr string

	target   string
	listener net.Listener
	wg       sync.WaitGroup

	mu       sync.Mutex // guards the fields below
	faults   Faults
	links    map[*link]struct{}
	accepted int
	ended    bool
}

// Start starts a proxy to target, HOST:PORT.
func Start(t testing.TB, target string, f Faults) *Proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{
		Addr: listener.Addr().String(), target: target, listener: listener,
		faults: f, links: map[*link]struct{}{},
	}
	p.wg.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

// Set changes the faults, for the connections that there are too. What is under
// way keeps the delay that it began with.
func (p *Proxy) Set(f Faults) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = f
}

// Cut ends every connection at once: with an end of file to both ends, or a reset.
func (p *Proxy) Cut(reset bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.cut(reset)
	}
}

// Accepted counts the connections so far.
func (p *Proxy) Accepted() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.accepted
}

// Open counts the connections that there are.
func (p *Proxy) Open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.links)
}

func (p *Proxy) liftCuts() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults.CutUpAfter, p.faults.CutDownAfter = 0, 0
}

func (p *Proxy) now() Faults {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.faults
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.wg.Go(func() { p.serve(client.(*net.TCPConn)) })
	}
}

func (p *Proxy) serve(client *net.TCPConn) {
	l := &link{proxy: p, client: client, done: make(chan struct{})}
	defer l.cut(false)
	if !p.add(l) {
		return
	}
	defer p.remove(l)
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	if !l.connect(server.(*net.TCPConn)) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { l.pass(l.server, l.client, func(f Faults) int64 { return f.CutUpAfter }) })
	both.Go(func() { l.pass(l.client, l.server, func(f Faults) int64 { return f.CutDownAfter }) })
	both.Wait()
}

func (p *Proxy) add(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return false
	}
	p.accepted++
	p.links[l] = struct{}{}
	return true
}

func (p *Proxy) remove(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}

func (p *Proxy) close() {
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	_ = p.listener.Close() // its end is what was wanted
	p.Cut(false)
	p.wg.Wait()
}

// link is one connection through the proxy.
type link struct {
	proxy  *Proxy
	client *net.TCPConn

	mu     sync.Mutex // guards the fields below
	server *net.TCPConn
	once   sync.Once
	done   chan struct{} // closed when it is cut
}

// connect takes the way to the server, unless the link was cut meanwhile.
func (l *link) connect(server *net.TCPConn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.server = server
	select {
	case <-l.done:
		_ = server.Close()
		return false
	default:
		return true
	}
}

func (l *link) cut(reset bool) {
	l.once.Do(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		close(l.done)
		for _, conn := range []*net.TCPConn{l.client, l.server} {
			if conn == nil {
				continue
			}
			if reset {
				_ = conn.SetLinger(0)
			}
			_ = conn.Close()
		}
	})
}

// piece is some bytes on their way, and when they arrive.
type piece struct {
	bytes []byte
	due   time.Time
	eof   bool
}

// inFlightMax bounds the pieces on their way: 256 MiB of them at most.
const inFlightMax = 8192

// pass carries bytes one way until that way's end, which it passes on, or the link's.
func (l *link) pass(to, from *net.TCPConn, cutAfter func(Faults) int64) {
	pieces := make(chan piece, inFlightMax)
	var writer sync.WaitGroup
	writer.Go(func() { l.write(to, pieces) })
	cut := l.read(from, pieces, cutAfter)
	close(pieces)
	writer.Wait()
	if cut { // behind what came before it: a network loses bytes, and changes no order
		l.cut(l.proxy.now().Reset)
	}
}

// read queues what comes, until its end, the link's, or as many bytes as are to pass. It tells
// whether it was the last.
func (l *link) read(from *net.TCPConn, pieces chan<- piece, cutAfter func(Faults) int64) (cut bool) {
	var passed int64
	for {
		buffer := make([]byte, 32<<10)
		n, err := from.Read(buffer)
		f := l.proxy.now()
		limit := cutAfter(f)
		if limit > 0 && passed+int64(n) >= limit {
			n = int(max(0, limit-passed))
			if f.Once {
				l.proxy.liftCuts()
			}
			l.send(pieces, piece{bytes: buffer[:n], due: time.Now()})
			return true
		}
		passed += int64(n)
		if f.Blackhole {
			if err != nil {
				<-l.done // nobody is told
				return false
			}
			continue
		}
		if !l.send(pieces, piece{bytes: buffer[:n], due: time.Now().Add(f.Delay), eof: err != nil}) || err != nil {
			return false
		}
	}
}

func (l *link) send(pieces chan<- piece, p piece) bool {
	select {
	case pieces <- p:
		return true
	case <-l.done:
		return false
	}
}

// write delivers pieces in their order, none before it is due.
func (l *link) write(to *net.TCPConn, pieces <-chan piece) {
	for p := range pieces {
		if !l.wait(time.Until(p.due)) {
			continue // the link is cut: the rest is dropped
		}
		var err error
		if drip := l.proxy.now().Drip; drip > 0 {
			err = l.drip(to, p.bytes, drip)
		} else if len(p.bytes) > 0 {
			_, err = to.Write(p.bytes)
		}
		if err == nil && p.eof {
			err = to.CloseWrite()
		}
		if err != nil && !errors.Is(err, net.ErrClosed) {
			l.cut(false)
		}
	}
}

func (l *link) drip(to *net.TCPConn, bytes []byte, every time.Duration) error {
	for i := range bytes {
		if _, err := to.Write(bytes[i : i+1]); err != nil {
			return err
		}
		if !l.wait(every) {
			return net.ErrClosed
		}
	}
	return nil
}

// wait waits for d and tells whether the link is still there.
func (l *link) wait(d time.Duration) bool {
	if d <= 0 {
		select {
		case <-l.done:
			return false
		default:
			return true
		}
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.done:
		return false
	}
}
