package eicsim_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/crypto/ssh"

	"sallyport/test/eicsim"
	"sallyport/test/sshd"
)

// Each thing that is known of a request for a tunnel is asked for.
func TestTunnelRefusals(t *testing.T) {
	const denied, wrong, bad, gone = "AccessDeniedException", "SignatureDoesNotMatch", "InvalidParameter", "ResourceNotFoundException"
	set := func(name, value string) func(*world, *ask) {
		return func(_ *world, a *ask) { a.query.Set(name, value) }
	}
	edit := func(f func(string) string) func(*world, *ask) {
		return func(_ *world, a *ask) { a.edit = f }
	}
	header := func(name, value string) func(*world, *ask) {
		return func(_ *world, a *ask) { a.header.Set(name, value) }
	}
	for _, c := range []struct {
		name   string
		change func(*world, *ask)
		code   string
	}{
		{"secret", func(w *world, _ *ask) { w.credentials.SecretAccessKey += "x" }, wrong},
		{"access key", func(w *world, _ *ask) { w.credentials.AccessKeyID += "X" }, "UnrecognizedClientException"},
		{"a token that isn't its", func(w *world, _ *ask) { w.credentials.SessionToken = "x" }, "UnrecognizedClientException"},
		{"unsigned", edit(func(q string) string { return "remotePort=22" }), denied},
		{"changed afterwards", edit(func(q string) string { return strings.Replace(q, "Duration=3600", "Duration=3599", 1) }), wrong},
		{"host sent", func(_ *world, a *ask) { a.host = "other.example.com" }, wrong},
		{"host sent and signed", func(_ *world, a *ask) { a.host, a.signedFor = "other.example.com", "other.example.com" }, bad},
		{"unsorted", edit(func(q string) string {
			parts := strings.Split(q, "&")
			slices.Reverse(parts)
			return strings.Join(parts, "&")
		}), wrong},
		{"not encoded", edit(func(q string) string { return strings.ReplaceAll(q, "%2F", "/") }), wrong},
		{"no X-Amz-Expires", func(_ *world, a *ask) { a.query.Del("X-Amz-Expires") }, wrong},
		{"X-Amz-Expires", set("X-Amz-Expires", "61"), wrong},
		{"hash", func(_ *world, a *ask) { a.hash = "UNSIGNED-PAYLOAD" }, wrong},
		{"service", func(_ *world, a *ask) { a.service = "ec2" }, wrong},
		{"another signed header", func(_ *world, a *ask) { a.signedHeader = "X-Other"; a.header.Set("X-Other", "x") }, wrong},
		{"port", set("remotePort", "80"), bad},
		{"no duration", func(_ *world, a *ask) { a.query.Del("maxTunnelDuration") }, bad},
		{"duration", set("maxTunnelDuration", "3601"), bad},
		{"unknown endpoint", set("instanceConnectEndpointId", "eice-1"), gone},
		{"address of another VPC", set("privateIpAddress", "10.9.9.9"), bad},
		{"address", set("privateIpAddress", "example.com"), bad},
		{"unknown parameter", set("instanceId", instanceID), bad},
		{"origin", header("Origin", "http://x"), bad},
		{"authorization", header("Authorization", "Bearer x"), bad},
		{"denied", func(w *world, _ *ask) { w.Deny(eicsim.OpenTunnel) }, denied},
		{"expired", func(w *world, a *ask) {
			a.edit = func(q string) string { w.clock.add(61 * time.Second); return q }
		}, "RequestExpired"},
		{"an endpoint that is deleted", func(w *world, _ *ask) {
			w.UpdateEndpoint(endpointID, func(e *eicsim.EndpointRecord) { e.State = "delete-in-progress" })
		}, gone},
		{"IPv6 through an endpoint without", func(w *world, a *ask) {
			w.UpdateInstance(instanceID, func(i *eicsim.Instance) { i.IPv6 = "2001:db8::1" })
			a.query.Set("privateIpAddress", "2001:db8::1")
		}, bad},
		{"injected", func(w *world, _ *ask) {
			w.Faults(eicsim.Faults{Error: map[string]eicsim.APIError{eicsim.OpenTunnel: {Code: "Odd", Times: 1}}})
		}, "Odd"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, eicsim.Options{}, echo(t))
			w.AddInstance(eicsim.Instance{ID: "i-9", VPC: "vpc-9", PrivateIP: "10.9.9.9"})
			a := w.newAsk()
			c.change(w, a)
			conn, response, err := w.open(a)
			if err == nil || conn != nil || response == nil {
				t.Fatalf("it was opened, or not answered: %v", err)
			}
			body, _ := io.ReadAll(response.Body)
			if got := codeOf(body); got != c.code {
				t.Errorf("%d %s, want %s; %v", response.StatusCode, body, c.code, w.Rejections())
			}
			if len(w.Rejections()) == 0 || w.Calls(eicsim.OpenTunnel) != 1 {
				t.Error("it was not counted")
			}
		})
	}
}

func TestTunnelPolicy(t *testing.T) {
	w := newWorld(t, eicsim.Options{MaxTunnelDuration: 600}, echo(t))
	if _, _, err := w.open(w.newAsk()); err == nil {
		t.Error("more than the policy allows")
	}
	a := w.newAsk()
	a.query.Set("maxTunnelDuration", "600")
	_, response, err := w.open(a)
	if err != nil {
		t.Fatal(err)
	}
	if ids := w.RequestIDs(eicsim.OpenTunnel); len(ids) != 2 || response.Header.Get("X-Amzn-RequestId") != ids[1] {
		t.Errorf("%v, and the answer's is %q", ids, response.Header.Get("X-Amzn-RequestId"))
	}
	if got := w.LastTunnelQuery().Get("maxTunnelDuration"); got != "600" {
		t.Errorf("the last query said %q", got)
	}
}

// The whole way, by hand: push, tunnel, log in, run, and what ends when.
func TestWholeWay(t *testing.T) {
	for _, tls := range []bool{false, true} {
		t.Run(map[bool]string{false: "plain", true: "TLS"}[tls], func(t *testing.T) {
			w := newWorld(t, eicsim.Options{SessionToken: "FwoGZXIvYXdzEXAMPLE//tok+en==", TLS: tls}, "")
			w.trust()
			server := w.startSSHD()
			key, line := newKey(t)
			if err := w.login(server, key); err == nil {
				t.Fatal("logged in without a grant")
			}
			if got := w.push(instanceID, server.User, line, ""); got.status != http.StatusOK {
				t.Fatal(got)
			}
			if err := w.login(server, key); err != nil {
				t.Fatal(err)
			}
			w.clock.add(59 * time.Second)
			if err := w.login(server, key); err != nil {
				t.Errorf("after 59 seconds, for the second time: %v", err)
			}
			other, _ := newKey(t)
			if err := w.login(server, other); err == nil {
				t.Error("logged in with another key")
			}
			w.clock.add(time.Second)
			if err := w.login(server, key); err == nil || len(w.Authorized(instanceID, server.User)) != 0 {
				t.Error("logged in after the grant had expired")
			}
			eventually(t, "all tunnels are closed", func() bool { return w.Tunnels(endpointID) == 0 })
		})
	}
}

// startSSHD puts a real sshd behind the instance.
func (w *world) startSSHD() *sshd.Server {
	w.t.Helper()
	server := sshd.Start(w.t, sshd.Options{Config: w.SSHDConfig(instanceID)})
	w.UpdateInstance(instanceID, func(i *eicsim.Instance) { i.Addr = server.Addr })
	return server
}

// login goes through a tunnel, runs a command and ends.
func (w *world) login(server *sshd.Server, key ssh.Signer) error {
	w.t.Helper()
	ws := w.mustOpen()
	stream := websocket.NetConn(w.t.Context(), ws, websocket.MessageBinary)
	defer stream.Close()
	conn, chans, reqs, err := ssh.NewClientConn(stream, "", &ssh.ClientConfig{
		User: server.User, Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, HostKeyCallback: ssh.FixedHostKey(server.HostKey),
	})
	if err != nil {
		return err
	}
	client := ssh.NewClient(conn, chans, reqs)
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		return err
	}
	defer session.Close()
	session.Stdin = strings.NewReader(strings.Repeat("0123456789abcdef", 1<<12))
	out, err := session.Output("cat; echo $((6*7))")
	if err == nil && (len(out) != 16<<12+3 || !strings.HasSuffix(string(out), "42\n")) {
		err = errors.New("the output isn't whole")
	}
	return err
}

// Under faults that a client must bear, everything still arrives.
func TestBearableFaults(t *testing.T) {
	for name, f := range map[string]eicsim.Faults{
		"split and merged": {SplitMerge: true},
		"a byte at a time": {ByteAtATime: true},
		"pings":            {Ping: true},
		"delay":            {Delay: 5 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, eicsim.Options{}, "")
			server := w.startSSHD()
			key, line := newKey(t)
			w.push(instanceID, server.User, line, "")
			w.Faults(f)
			if err := w.login(server, key); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTunnelLimit(t *testing.T) {
	w := newWorld(t, eicsim.Options{LimitError: eicsim.APIError{Message: "full"}}, echo(t))
	conns := make([]*websocket.Conn, 20)
	for i := range conns {
		conns[i] = w.mustOpen()
	}
	_, response, err := w.open(w.newAsk())
	if err == nil || response.StatusCode != http.StatusTooManyRequests {
		t.Fatalf("the 21st: %v", err)
	}
	if body, _ := io.ReadAll(response.Body); codeOf(body) != "TunnelLimitExceeded" || !strings.Contains(string(body), "full") {
		t.Errorf("the 21st: %s", body)
	}
	if got := w.Tunnels(endpointID); got != 20 {
		t.Errorf("%d are open", got)
	}
	if err := conns[0].Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Error(err)
	}
	eventually(t, "a tunnel is free", func() bool { return w.Tunnels(endpointID) == 19 })
	w.mustOpen()
}

// end reads until a tunnel's end, and tells how many bytes came and what ended it.
func end(t *testing.T, conn *websocket.Conn) (int, websocket.CloseError, error) {
	t.Helper()
	n := 0
	for {
		kind, b, err := conn.Read(t.Context())
		if err != nil {
			var closed websocket.CloseError
			errors.As(err, &closed)
			return n, closed, err
		}
		if kind == websocket.MessageText {
			return n, websocket.CloseError{Reason: "text"}, nil
		}
		n += len(b)
	}
}

func send(t *testing.T, conn *websocket.Conn, b string) {
	t.Helper()
	if err := conn.Write(t.Context(), websocket.MessageBinary, []byte(b)); err != nil {
		t.Fatal(err)
	}
}

func TestEndings(t *testing.T) {
	const unreachable = "Unable to connect to target"
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	for _, c := range []struct {
		name   string
		target string
		do     func(*world, *websocket.Conn)
		faults eicsim.Faults
		bytes  int
		code   websocket.StatusCode
		reason string
	}{
		{name: "nothing listens", target: listener.Addr().String(), code: 1011, reason: unreachable},
		{name: "cannot connect", faults: eicsim.Faults{CannotConnect: 1, EndCode: 4001}, code: 4001, reason: unreachable},
		{name: "cannot connect, later", faults: eicsim.Faults{CannotConnect: -1, CannotConnectAfter: 20 * time.Millisecond}, code: 1011, reason: unreachable},
		{name: "drop", faults: eicsim.Faults{DropAfter: 3}, do: func(w *world, c *websocket.Conn) { send(w.t, c, "hello") }, bytes: 3},
		{name: "cut", do: func(w *world, _ *websocket.Conn) { w.CutTunnels() }},
		{name: "close", faults: eicsim.Faults{CloseCode: 1001, CloseReason: "why", CloseAfter: 5},
			do: func(w *world, c *websocket.Conn) { send(w.t, c, "hello") }, bytes: 5, code: 1001, reason: "why"},
		{name: "text", faults: eicsim.Faults{TextMessage: true}, do: func(w *world, c *websocket.Conn) { send(w.t, c, "hello") }, bytes: 5, reason: "text"},
		{name: "text from the client", do: func(w *world, c *websocket.Conn) {
			if err := c.Write(w.t.Context(), websocket.MessageText, []byte("hello")); err != nil {
				w.t.Error(err)
			}
		}, code: 1003, reason: "text"},
		{name: "a large message from the client", do: func(w *world, c *websocket.Conn) { send(w.t, c, strings.Repeat("x", 65_001)) }, code: 1009, reason: "too big"},
		{name: "its time is over", do: func(w *world, _ *websocket.Conn) { w.clock.add(time.Hour) }, code: 1011, reason: "The tunnel has reached its maximum duration"},
	} {
		t.Run(c.name, func(t *testing.T) {
			target := c.target
			if target == "" {
				target = echo(t)
			}
			w := newWorld(t, eicsim.Options{}, target)
			w.Faults(c.faults)
			conn := w.mustOpen()
			if c.do != nil {
				// The watch has begun when something has come back.
				if c.faults.DropAfter+int64(c.faults.CloseCode) == 0 && !c.faults.TextMessage {
					send(t, conn, "x")
					if _, _, err := conn.Read(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				c.do(w, conn)
			}
			n, closed, err := end(t, conn)
			if n != c.bytes || closed.Code != c.code || closed.Reason != c.reason {
				t.Errorf("%d bytes, then %d %q: %v", n, closed.Code, closed.Reason, err)
			}
			_ = conn.CloseNow()
			eventually(t, "the tunnel is free", func() bool { return w.Tunnels(endpointID) == 0 })
		})
	}
}

// The largest message that is allowed passes, and the target's end is a normal one.
func TestNormalEnd(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	got := make(chan int64, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		n, _ := io.CopyN(io.Discard, conn, 65_000)
		got <- n
	}()
	w := newWorld(t, eicsim.Options{}, listener.Addr().String())
	conn := w.mustOpen()
	send(t, conn, strings.Repeat("x", 65_000))
	if _, closed, err := end(t, conn); closed.Code != websocket.StatusNormalClosure {
		t.Error(err)
	}
	if n := <-got; n != 65_000 {
		t.Errorf("%d bytes arrived", n)
	}
}

// A stalled tunnel holds everything back, and loses nothing.
func TestStall(t *testing.T) {
	w := newWorld(t, eicsim.Options{}, echo(t))
	conn := w.mustOpen()
	w.Faults(eicsim.Faults{Stall: true})
	send(t, conn, "held")
	read := make(chan string, 1)
	go func() {
		_, b, _ := conn.Read(t.Context())
		read <- string(b)
	}()
	select {
	case b := <-read:
		t.Errorf("%q came through", b)
	case <-time.After(100 * time.Millisecond):
	}
	w.Faults(eicsim.Faults{})
	if b := <-read; b != "held" {
		t.Errorf("%q came", b)
	}
	// A client that goes is noticed all the same.
	w.Faults(eicsim.Faults{Stall: true})
	_ = conn.CloseNow()
	eventually(t, "the tunnel is free", func() bool { return w.Tunnels(endpointID) == 0 })
}

// Pings come again and again where they are answered, and a client's own are.
func TestPings(t *testing.T) {
	w := newWorld(t, eicsim.Options{}, echo(t))
	w.Faults(eicsim.Faults{Ping: true})
	pings := make(chan struct{}, 100)
	conn, _, err := websocket.Dial(t.Context(), w.url(w.newAsk()), &websocket.DialOptions{
		HTTPClient:     w.http,
		OnPingReceived: func(context.Context, []byte) bool { pings <- struct{}{}; return true },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	ctx := conn.CloseRead(t.Context())
	for range 3 {
		<-pings
	}
	if err := conn.Ping(ctx); err != nil || len(w.Rejections()) != 0 {
		t.Errorf("%v; %v", err, w.Rejections())
	}
}

// What nobody answers ends with the simulator.
func TestCloseEndsAll(t *testing.T) {
	w := newWorld(t, eicsim.Options{}, echo(t))
	conn := w.mustOpen()
	w.Faults(eicsim.Faults{StallAPI: map[string]bool{eicsim.OpenTunnel: true}})
	stalled := make(chan error, 1)
	address := w.url(w.newAsk())
	go func() {
		_, _, err := websocket.Dial(t.Context(), address, &websocket.DialOptions{HTTPClient: w.http})
		stalled <- err
	}()
	eventually(t, "the second has come", func() bool { return w.Calls(eicsim.OpenTunnel) == 2 })
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if <-stalled == nil {
		t.Error("a stalled request was answered")
	}
	if _, closed, err := end(t, conn); err == nil || closed.Code != 0 {
		t.Errorf("the tunnel ended with %v", err)
	}
}

// A message that says nothing, or many of them, changes nothing in what arrives.
func TestSplitMergeIsTransparent(t *testing.T) {
	w := newWorld(t, eicsim.Options{}, echo(t))
	w.Faults(eicsim.Faults{SplitMerge: true, Ping: true})
	conn := w.mustOpen()
	sent := make([]byte, 1<<20)
	for i := range sent {
		sent[i] = byte(rand.IntN(256))
	}
	stream := websocket.NetConn(t.Context(), conn, websocket.MessageBinary)
	written := make(chan error, 1)
	go func() {
		var err error
		for piece := range slices.Chunk(sent, 65_000) {
			if _, err = stream.Write(piece); err != nil {
				break
			}
		}
		written <- err
	}()
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(stream, got); err != nil || !slices.Equal(got, sent) {
		t.Errorf("not what was sent: %v", err)
	}
	if err := <-written; err != nil {
		t.Error(err)
	}
}

// A name that is no endpoint's has no certificate, and nobody trusts our CA unasked.
func TestCertificates(t *testing.T) {
	w := newWorld(t, eicsim.Options{TLS: true}, echo(t))
	if _, _, err := w.open(w.newAsk()); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("without its CA: %v", err)
	}
	w.trust()
	w.mustOpen()
	a := w.newAsk()
	a.host = "other.example.com"
	if _, _, err := w.open(a); err == nil {
		t.Error("another name has a certificate")
	}
	if u, err := url.Parse(w.TunnelEndpoint()); err != nil || u.Scheme != "wss" || len(w.CAPEM()) == 0 {
		t.Error(w.TunnelEndpoint())
	}
}
