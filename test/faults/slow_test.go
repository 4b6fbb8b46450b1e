//go:build linux

package faults

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/httpapi"
	"sallyport/internal/limits"
	"sallyport/test/spec"
	"sallyport/test/stack"
)

// dripEvery is how often a slow caller sends a byte: often enough that no limit
// on silence would ever end it.
const dripEvery = 300 * time.Millisecond

// dripping is a connection on which a caller sends a byte now and then, and what
// the server said to it until it hung up.
type dripping struct {
	name string
	// head is sent at once; then bytes of filler drip.
	head   string
	filler byte
	// status and code are what is answered; 0 is nothing of ours.
	status int
	code   sallyport.Code
	// limit is what ends it.
	limit time.Duration
}

// TestDripping sends requests so slowly that they would never be whole: each is
// ended by its limit, not before, and others are served meanwhile.
func TestDripping(t *testing.T) {
	t.Parallel()                                                               // it takes as long as the limits
	times := httpapi.Times{HeaderRead: time.Second, BodyRead: 3 * time.Second} // real ones take ten times as long
	s := stack.Start(t, stack.Options{Times: times})
	auth := rawHead(s, "HTTP/1.1")
	public := "GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
	const length = "Content-Length: 100000\r\n\r\n"
	stranger := strings.Replace(auth, s.Token, "nobody", 1) // is refused before the body is looked at
	all := []dripping{
		{"request line", "GET /", 'x', 0, "", times.HeaderRead},
		{"header", public + "X-Slow: ", 'x', 0, "", times.HeaderRead},
		{"header of an exec", auth + "X-Slow: ", 'x', 0, "", times.HeaderRead},
		{"body of an exec", auth + length + `{"cmd":["`, 'x', http.StatusRequestTimeout, sallyport.CodeRequestTimeout, times.BodyRead},
		{"chunked body", auth + "Transfer-Encoding: chunked\r\n\r\n1000\r\n", 'x', http.StatusRequestTimeout, sallyport.CodeRequestTimeout, times.BodyRead},
		{"size of a chunk", auth + "Transfer-Encoding: chunked\r\n\r\n", '0', http.StatusRequestTimeout, sallyport.CodeRequestTimeout, times.BodyRead},
		{"body of a stranger", stranger + length, 'x', http.StatusUnauthorized, sallyport.CodeUnauthenticated, times.BodyRead},
		{"body of an encoding that isn't taken", auth + "Content-Encoding: gzip\r\n" + length, 'x', http.StatusUnsupportedMediaType, sallyport.CodeUnsupportedMediaType, times.BodyRead},
		{"body that nobody asked for", public + length, 'x', http.StatusOK, "", times.BodyRead},
	}
	var wg sync.WaitGroup
	for _, d := range all {
		conn := dial(t, s)
		wg.Go(func() { d.check(t, conn) })
	}
	over := make(chan struct{})
	go func() { wg.Wait(); close(over) }()
	c := newCaller(t, s)
	for served := 0; ; served++ {
		c.mustServe(t)
		select {
		case <-over:
			if rows := s.Execs(t); len(rows) != served+1 {
				t.Errorf("%d rows of %d execs", len(rows), served+1)
			}
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// check drips until the server hangs up, and holds what came to what should.
func (d dripping) check(t *testing.T, conn *net.TCPConn) {
	const lateness = 10 * time.Second // a busy machine's
	began := time.Now()
	if err := conn.SetDeadline(began.Add(d.limit + lateness)); err != nil { // ends what the server doesn't
		t.Error(err)
	}
	answered := make(chan []byte, 1)
	go func() {
		answer, _ := io.ReadAll(conn) // a reset is an end too
		answered <- answer
	}()
	if _, err := io.WriteString(conn, d.head); err != nil {
		t.Errorf("%s: %v", d.name, err)
	}
	tick := time.NewTicker(dripEvery)
	defer tick.Stop()
	var answer []byte
	for open := true; open; {
		select {
		case answer = <-answered:
			open = false
		case <-tick.C:
			_, _ = conn.Write([]byte{d.filler}) // the reader notices the end
		}
	}
	took := time.Since(began)
	status, code := 0, ""
	// Behind what was never whole net/http may put a 400 of its own.
	if len(answer) > 0 && !(d.status == 0 && strings.HasPrefix(string(answer), "HTTP/1.1 400 ")) {
		status, code = readAnswer(t, d.head, answer)
	}
	if status != d.status || code != string(d.code) {
		t.Errorf("%s: got %q, want %d %s", d.name, answer, d.status, d.code)
	}
	if took >= d.limit+lateness {
		t.Errorf("%s: it still lived after %s, the limit is %s", d.name, took.Round(time.Second), d.limit)
	}
	// What was refused for another reason needs no waiting.
	if (d.status == 0 || d.code == sallyport.CodeRequestTimeout) && took < d.limit-100*time.Millisecond {
		t.Errorf("%s: ended after %s, before the limit of %s", d.name, took, d.limit)
	}
}

// readAnswer reads the first answer to a request in what came over a connection.
func readAnswer(t *testing.T, request string, raw []byte) (status int, code string) {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(string(raw))), nil)
	if err != nil {
		t.Errorf("%q: %v", raw, err)
		return 0, ""
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Errorf("%q: %v", raw, err)
	}
	method, rest, _ := strings.Cut(request, " ")
	target, _, _ := strings.Cut(rest, " ")
	if err := spec.CheckRead(method, target, resp, body); err != nil {
		t.Error(err)
	}
	if resp.StatusCode < 400 {
		return resp.StatusCode, ""
	}
	return resp.StatusCode, stack.Answer{Body: string(body)}.Code()
}

// TestIdleConnections keeps a thousand connections, used once and not used yet,
// and wants others to be served beside them as if they weren't there.
func TestIdleConnections(t *testing.T) {
	const idle = 1000
	server := startChild(t, childOptions{})
	conns := make([]*net.TCPConn, idle)
	for i := range conns {
		conns[i] = dial(t, server.Stack)
		defer conns[i].Close()
		if i%2 == 0 {
			askHealth(t, conns[i])
		}
	}
	c := newCaller(t, server.Stack)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for range 5 {
				if a, err := c.exec(t.Context(), shell("echo served")); err != nil || a.result == nil || string(a.stdout) != "served\n" {
					t.Errorf("%v %s", err, a)
				}
			}
		})
	}
	began := time.Now()
	wg.Wait()
	t.Logf("100 execs beside %d idle connections took %s", idle, time.Since(began))
	for i, conn := range conns {
		if i%2 == 0 {
			askHealth(t, conn) // it was kept
		}
	}
	if code := server.terminate(t); code != 0 {
		t.Errorf("the server ended with %d", code)
	}
}

// askHealth makes one request over a connection, which stays open.
func askHealth(t *testing.T, conn net.Conn) {
	t.Helper()
	if _, err := io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK || resp.Close {
		t.Fatalf("healthz: %s close %t %v", resp.Status, resp.Close, err)
	}
}

// pipes is a listener in memory, in which time can be made to pass.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (*pipes) Addr() net.Addr { return &net.TCPAddr{} }

// TestIdleTime: a connection is kept for as long as the limit says, and no longer.
func TestIdleTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		web := httpapi.Server(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), slog.New(slog.DiscardHandler), httpapi.Times{})
		listener := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
		served := make(chan error, 1)
		go func() { served <- web.Serve(listener) }()
		ours, theirs := net.Pipe()
		listener.conns <- theirs
		for range 3 { // each request begins the time anew
			askHealth(t, ours)
			<-time.After(limits.IdleTime - time.Second)
		}
		askHealth(t, ours)
		began := time.Now()
		if n, err := ours.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("%d bytes, %v", n, err)
		}
		if idle := time.Since(began); idle != limits.IdleTime {
			t.Errorf("the connection was closed after %s, want %s", idle, limits.IdleTime)
		}
		ours.Close()
		web.Close()
		<-served
	})
}

// TestHeaderTooLarge: a header over the limit is 431, wherever it is large, and
// one a little below it is served.
func TestHeaderTooLarge(t *testing.T) {
	s := stack.Start(t, stack.Options{})
	const below, over = limits.HeaderBytesMax - 512, limits.HeaderBytesMax + 16<<10
	many := func(n int) string { return strings.Repeat("X-Many: of them\r\n", n/len("X-Many: of them\r\n")) }
	tests := []struct {
		name, line, headers string
		status              int
	}{
		{"one header below", "GET /healthz", "X-Large: " + strings.Repeat("x", below) + "\r\n", 200},
		{"many headers below", "GET /healthz", many(below), 200},
		{"query below", "GET /healthz?" + strings.Repeat("x", below), "", 200},
		{"one header over", "GET /healthz", "X-Large: " + strings.Repeat("x", over) + "\r\n", 431},
		{"many headers over", "GET /healthz", many(over), 431},
		{"a name over", "GET /healthz", strings.Repeat("x", over) + ": x\r\n", 431},
		{"cookie over", "GET /healthz", "Cookie: a=" + strings.Repeat("x", over) + "\r\n", 431},
		{"query over", "GET /healthz?" + strings.Repeat("x", over), "", 431},
		{"path over", "GET /" + strings.Repeat("x", over), "", 431},
		{"without an end", "GET /healthz", "X-Large: " + strings.Repeat("x", 10*over), 431},
	}
	for _, tt := range tests {
		conn := dial(t, s)
		// The server may hang up before it has read all: that is no fault of the write.
		go io.WriteString(conn, tt.line+" HTTP/1.1\r\nHost: localhost\r\n"+tt.headers+"\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		resp.Body.Close()
		if resp.StatusCode != tt.status || resp.Close != (tt.status == 431) {
			t.Errorf("%s: got %s, close %t; want %d", tt.name, resp.Status, resp.Close, tt.status)
		}
		conn.Close()
	}
	newCaller(t, s).mustServe(t)
}

// smuggle is a request that two readers, such as a proxy and the server behind
// it, may understand in two ways: as one request, or as one with another behind it.
type smuggle struct {
	name string
	// head is what follows the request's first lines, without the empty line; body
	// is what follows that. In both CMD is the body of an exec, LEN and HEX its
	// length, MORE a little more than that, NEXT another exec's whole request, ALL
	// the length of the whole body.
	head, body string
	// most is how many of the two may take effect, status what the first is told;
	// 0 leaves that open.
	most, status int
}

// smuggles are the shapes. Those that RFC 9112 lets a server take as one of the
// two end their connection, so that nothing behind them is read as a request.
func smuggles() []smuggle {
	const chunked = "HEX\r\nCMD\r\n0\r\n\r\nNEXT"
	const te = "Transfer-Encoding: chunked"
	chunks := func(size string) string { return size + "\r\nCMD\r\n0\r\n\r\nNEXT" }
	return []smuggle{
		{"control: one behind the other", "Content-Length: LEN", "CMDNEXT", 2, 200},
		{"control: chunked", te, "HEX\r\nCMD\r\n0\r\n\r\n", 1, 200},

		{"length and chunked", "Content-Length: ALL\r\n" + te, chunked, 1, 0},
		{"chunked and length", te + "\r\nContent-Length: ALL", chunked, 1, 0},
		{"a length that hides, and chunked", "Content-Length: 5\r\n" + te, chunked, 1, 0},
		{"length, and chunked that isn't", "Content-Length: LEN\r\n" + te, "CMDNEXT", 0, 400},
		{"length and chunked, folded", "Content-Length: ALL\r\nTransfer-Encoding:\r\n chunked", chunked, 1, 0},
		{"length, and chunked in a fold of another", "Content-Length: ALL\r\nX-A: b\r\n " + te, chunked, 0, 400},
		{"chunked twice", te + "\r\n" + te, chunked, 0, 501},
		{"chunked and chunked", "Transfer-Encoding: chunked, chunked", chunked, 0, 501},
		{"chunked and identity", "Transfer-Encoding: chunked, identity\r\nContent-Length: ALL", chunked, 0, 501},
		{"identity and length", "Transfer-Encoding: identity\r\nContent-Length: LEN", "CMDNEXT", 0, 501},
		{"an encoding that isn't known", "Transfer-Encoding: xchunked\r\nContent-Length: ALL", chunked, 0, 501},
		{"a vertical tab in the encoding", "Transfer-Encoding: \vchunked\r\nContent-Length: ALL", chunked, 0, 0},
		{"a blank before the colon", "Transfer-Encoding : chunked\r\nContent-Length: ALL", chunked, 0, 400},
		{"an encoding with a NUL", "Transfer-Encoding: chunked\x00\r\nContent-Length: ALL", chunked, 0, 400},
		{"a carriage return alone", "X-A: b\rTransfer-Encoding: chunked\r\nContent-Length: ALL", chunked, 0, 400},

		{"two lengths, the second longer", "Content-Length: LEN\r\nContent-Length: ALL", "CMDNEXT", 0, 400},
		{"two lengths, the first longer", "Content-Length: ALL\r\nContent-Length: LEN", "CMDNEXT", 0, 400},
		{"two lengths in one", "Content-Length: LEN, ALL", "CMDNEXT", 0, 400},
		{"a length twice in one", "Content-Length: LEN, LEN", "CMDNEXT", 0, 400},
		{"a length with a plus", "Content-Length: +LEN", "CMDNEXT", 0, 400},
		{"a negative length", "Content-Length: -LEN", "CMDNEXT", 0, 400},
		{"a length in hex", "Content-Length: 0xHEX", "CMDNEXT", 0, 400},
		{"a length and more", "Content-Length: LEN x", "CMDNEXT", 0, 400},
		{"an empty length", "Content-Length: ", "CMDNEXT", 0, 400},
		{"a length beyond counting", "Content-Length: 99999999999999999999", "CMDNEXT", 0, 400},
		{"a blank before the length's colon", "Content-Length : LEN", "CMDNEXT", 0, 400},
		{"a length in a fold of another", "X-A: b\r\n Content-Length: LEN", "CMDNEXT", 0, 400},

		{"no size", te, chunks(""), 0, 400},
		{"a size that is none", te, chunks("G"), 0, 400},
		{"a negative size", te, chunks("-HEX"), 0, 400},
		{"a size with a plus", te, chunks("+HEX"), 0, 400},
		{"a size with 0x", te, chunks("0xHEX"), 0, 400},
		{"a blank before the size", te, chunks(" HEX"), 0, 400},
		{"a size beyond counting", te, chunks("1000000000000000000HEX"), 0, 400},
		{"a size that is too small", te, chunks("5"), 0, 400},
		{"a size that is too large", te, chunks("MORE"), 0, 400},
		{"a size that ends in a line feed alone", te, "HEX\nCMD\r\n0\r\n\r\nNEXT", 0, 400},
		{"a size in quotes", te, chunks(`"HEX"`), 0, 400},
	}
}

// TestSmuggling: a request whose end can be seen in two places is refused, or is
// the last of its connection. What stands behind it is never taken for a request.
func TestSmuggling(t *testing.T) {
	s := stack.Start(t, stack.Options{})
	for _, m := range smuggles() {
		dir := t.TempDir()
		first, next := filepath.Join(dir, "first"), filepath.Join(dir, "next")
		rows := len(s.Execs(t))
		answers := m.send(t, s, first, next)
		effects := 0
		for _, mark := range []string{first, next} {
			if exists(mark) {
				effects++
			}
		}
		if effects > m.most || (m.status == 200 && effects < m.most) || (m.most < 2 && exists(next)) {
			t.Errorf("%s: %d requests took effect, that behind it: %t; answers %v", m.name, effects, exists(next), answers)
		}
		if n := len(s.Execs(t)) - rows; n != effects {
			t.Errorf("%s: %d rows of %d effects", m.name, n, effects)
		}
		if len(answers) == 0 || (m.status != 0 && answers[0] != m.status) || (m.most < 2 && len(answers) > 1 && answers[1] < 400) {
			t.Errorf("%s: answers %v, want %d first", m.name, answers, m.status)
		}
	}
}

// send sends the shape, whose two execs leave the marks, and returns the statuses
// of all answers.
func (m smuggle) send(t *testing.T, s *stack.Stack, first, next string) (answers []int) {
	t.Helper()
	cmd := fmt.Sprintf(`{"cmd":["touch",%q]}`, first)
	behind := string(rawExec(t, s, sallyport.ExecRequest{Cmd: []string{"touch", next}}))
	fill := strings.NewReplacer("CMD", cmd, "LEN", fmt.Sprint(len(cmd)), "HEX", fmt.Sprintf("%x", len(cmd)),
		"MORE", fmt.Sprintf("%x", len(cmd)+len("\r\n0")), "NEXT", behind)
	body := fill.Replace(m.body)
	head := strings.ReplaceAll(fill.Replace(m.head), "ALL", fmt.Sprint(len(body)))
	conn := dial(t, s)
	defer conn.Close()
	if _, err := io.WriteString(conn, rawHead(s, "HTTP/1.1")+head+"\r\n\r\n"+body); err != nil {
		t.Fatal(err)
	}
	for in := bufio.NewReader(conn); ; {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			return answers // closed, or silent since the last
		}
		answers = append(answers, resp.StatusCode)
		_, err = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
		// What is behind was sent with it: its answer would be here in no time.
		if err := conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
	}
}
