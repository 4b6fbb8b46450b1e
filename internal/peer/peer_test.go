package peer_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sallyport/client/sallyport"
	"sallyport/internal/keys"
	"sallyport/internal/peer"
	"sallyport/internal/store/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// seal is a new seal file, or one of several keys.
func seal(t testing.TB, texts ...[]byte) *keys.Sealer {
	t.Helper()
	if len(texts) == 0 {
		texts = [][]byte{keys.NewSeal()}
	}
	s, err := keys.ReadSeal(bytes.Join(texts, []byte("\n")))
	must(t, err)
	return s
}

func authority(t testing.TB, s *keys.Sealer) *peer.Authority {
	t.Helper()
	seeds, err := s.Derive(peer.SeedPurpose)
	must(t, err)
	a, err := peer.NewAuthority(seeds)
	must(t, err)
	return a
}

// world is a store and the servers on it.
type world struct {
	db        *sqlite.DB
	authority *peer.Authority
}

func newWorld(t *testing.T) *world {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "test.db"), sqlite.Options{Migrate: true})
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	return &world{db: db, authority: authority(t, seal(t))}
}

// server is one server, which serves until its test ends.
type server struct {
	*peer.Peer
	addr string
}

// start starts a server that has a lease.
func (w *world) start(t *testing.T, replica string, o peer.Options) *server {
	t.Helper()
	if o.Authority == nil {
		o.Authority = w.authority
	}
	o.Replica, o.Leases, o.Log = replica, w.db, slog.New(slog.DiscardHandler)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s := &server{Peer: peer.New(context.WithoutCancel(t.Context()), o), addr: listener.Addr().String()}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(listener) }()
	t.Cleanup(func() {
		must(t, s.Close(context.WithoutCancel(t.Context())))
		must(t, <-ended)
	})
	must(t, w.db.TakeLease(t.Context(), replica, "https://"+s.addr, time.Hour))
	return s
}

// greeting answers with what it was asked, by whom.
func greeting(asked *atomic.Int64) map[string]peer.Handler {
	return map[string]peer.Handler{"greet": peer.Answer(func(_ context.Context, from string, name string) (string, error) {
		asked.Add(1)
		if name == "nobody" {
			refused := sallyport.Errorf(sallyport.CodeNotRunning, "there is nobody")
			refused.Reason = "gone"
			return "", refused
		}
		return "hello " + name + " of " + from, nil
	})}
}

// A server answers another that has the same seal and a lease, by its name, and refuses in
// the contract's words.
func TestCall(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var asked atomic.Int64
	a := w.start(t, "a", peer.Options{})
	w.start(t, "b", peer.Options{Handlers: greeting(&asked)})
	for range 3 {
		var answer string
		must(t, a.Call(t.Context(), "b", "greet", "me", &answer))
		if answer != "hello me of a" {
			t.Errorf("answer %q", answer)
		}
	}
	var answer string
	err := a.Call(t.Context(), "b", "greet", "nobody", &answer)
	if known, ok := errors.AsType[*sallyport.Error](err); !ok || known.Code != sallyport.CodeNotRunning || known.Reason != "gone" || known.Message != "there is nobody" {
		t.Errorf("a refusal: %v", err)
	}
	if err := a.Call(t.Context(), "b", "dance", "me", &answer); sallyport.CodeOf(err) != sallyport.CodeNotFound {
		t.Errorf("an unknown topic: %v", err)
	}
	if err := a.Call(t.Context(), "b", "greet", strings.Repeat("x", 64<<10), &answer); err == nil {
		t.Error("a question without a bound")
	}
	if n := asked.Load(); n != 4 {
		t.Errorf("%d questions were answered", n)
	}
}

// Bytes go both ways at once, the end of each way is its own, and a reader that stops holds
// up the writer.
func TestStream(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.start(t, "a", peer.Options{})
	w.start(t, "b", peer.Options{Handlers: map[string]peer.Handler{
		"echo": func(_ context.Context, _ string, _ []byte, s *peer.Stream) error {
			s.Accept()
			if _, err := io.Copy(s, s); err != nil {
				return err
			}
			_, err := s.Write([]byte("that was all"))
			return err
		},
	}})
	s, err := a.Open(t.Context(), "b", "echo", nil)
	must(t, err)
	defer s.Close()
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // more than all windows hold
	wrote := make(chan error, 1)
	go func() {
		_, err := s.Write(sent)
		wrote <- errors.Join(err, s.CloseWrite())
	}()
	got, err := io.ReadAll(s)
	must(t, err)
	must(t, <-wrote)
	if want := append(sent, "that was all"...); !bytes.Equal(got, want) {
		t.Errorf("got %d bytes, want %d", len(got), len(want))
	}
}

// Who goes away ends what the other does for it; an answer that fails half way, or is cut,
// is never taken for one that has ended.
func TestStreamEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.start(t, "a", peer.Options{})
	ended := make(chan error, 1)
	b := w.start(t, "b", peer.Options{Handlers: map[string]peer.Handler{
		"wait": func(ctx context.Context, _ string, _ []byte, s *peer.Stream) error {
			_, err := s.Write([]byte("x"))
			<-ctx.Done()
			ended <- err
			return ctx.Err()
		},
		"fail": func(_ context.Context, _ string, _ []byte, s *peer.Stream) error {
			_, err := s.Write([]byte("half"))
			return errors.Join(err, sallyport.Errorf(sallyport.CodeInterrupted, "that's it: “quoted”\n"))
		},
	}})
	for name, leave := range map[string]func(s *peer.Stream, cancel func()){
		"close":  func(s *peer.Stream, _ func()) { s.Close() },
		"cancel": func(_ *peer.Stream, cancel func()) { cancel() },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		s, err := a.Open(ctx, "b", "wait", nil)
		must(t, err)
		_, err = io.ReadFull(s, make([]byte, 1))
		must(t, err)
		leave(s, cancel)
		must(t, <-ended)
		if _, err := s.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("after %s the stream ends with %v", name, err)
		}
		cancel()
		s.Close()
	}
	s, err := a.Open(t.Context(), "b", "fail", nil)
	must(t, err)
	defer s.Close()
	got, err := io.ReadAll(s)
	if string(got) != "half" || sallyport.CodeOf(err) != sallyport.CodeInterrupted {
		t.Errorf("got %q, %v", got, err)
	}
	s, err = a.Open(t.Context(), "b", "wait", nil)
	must(t, err)
	defer s.Close()
	must(t, b.Close(t.Context()))
	<-ended
	if _, err := io.ReadAll(s); err == nil {
		t.Error("a stream whose server has closed ends as if all had been said")
	}
}

// What was passed on once is not passed on again.
func TestPassedOnOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var asked atomic.Int64
	a := w.start(t, "a", peer.Options{Handlers: greeting(&asked)})
	var b *server
	again := make(chan error, 1)
	b = w.start(t, "b", peer.Options{Handlers: map[string]peer.Handler{
		"again": peer.Answer(func(ctx context.Context, from, name string) (answer string, _ error) {
			again <- b.Call(ctx, from, "greet", name, &answer)
			return answer, nil
		}),
	}})
	var answer string
	must(t, a.Call(t.Context(), "b", "again", "me", &answer))
	if err := <-again; !errors.Is(err, peer.ErrPassedOn) || asked.Load() != 0 {
		t.Errorf("it was passed on: %v", err)
	}
}

// A server that has no lease is neither asked nor answered, over a connection that it had
// before neither; nor is one that has no address.
func TestLeaseIsNeeded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var asked atomic.Int64
	a, b := w.start(t, "a", peer.Options{Handlers: greeting(&asked)}), w.start(t, "b", peer.Options{Handlers: greeting(&asked)})
	var answer string
	must(t, a.Call(t.Context(), "b", "greet", "me", &answer))
	must(t, w.db.EndLease(t.Context(), "a"))
	if err := a.Call(t.Context(), "b", "greet", "me", &answer); sallyport.CodeOf(err) != sallyport.CodePlatformUnavailable {
		t.Errorf("one without a lease was answered: %v", err)
	}
	if err := b.Call(t.Context(), "a", "greet", "me", &answer); !errors.Is(err, peer.ErrUnreachable) {
		t.Errorf("one without a lease was asked: %v", err)
	}
	stranger := w.start(t, "c", peer.Options{})
	must(t, w.db.EndLease(t.Context(), "c"))
	if err := stranger.Call(t.Context(), "b", "greet", "me", &answer); !errors.Is(err, peer.ErrUnreachable) {
		t.Errorf("one that never had a lease: %v", err)
	}
	must(t, w.db.TakeLease(t.Context(), "d", "", time.Hour))
	if err := b.Call(t.Context(), "d", "greet", "me", &answer); !errors.Is(err, peer.ErrNowhere) {
		t.Errorf("one without an address: %v", err)
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("%d questions were answered", n)
	}
}

// Servers find each other while the key of the seal is replaced on one after the other.
func TestSealIsReplaced(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old, next := keys.NewSeal(), keys.NewSeal()
	onlyOld, both, onlyNext := authority(t, seal(t, old)), authority(t, seal(t, next, old)), authority(t, seal(t, next))
	for i, pair := range [][2]*peer.Authority{{onlyOld, both}, {both, onlyOld}, {both, onlyNext}, {onlyNext, both}, {onlyOld, onlyNext}} {
		var asked atomic.Int64
		a := w.start(t, "a", peer.Options{Authority: pair[0]})
		w.start(t, "b", peer.Options{Authority: pair[1], Handlers: greeting(&asked)})
		var answer string
		err := a.Call(t.Context(), "b", "greet", "me", &answer)
		if isStranger := i == 4; isStranger != errors.Is(err, peer.ErrUnreachable) || isStranger != (asked.Load() == 0) {
			t.Errorf("pair %d: %v, asked %d", i, err, asked.Load())
		}
	}
}

// attack opens TLS to a server as somebody with a certificate, or none, and asks.
func attack(t *testing.T, addr string, shown ...tls.Certificate) (answered string) {
	t.Helper()
	protocols := &http.Protocols{}
	protocols.SetHTTP2(true)
	transport := &http.Transport{
		Protocols: protocols, DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: shown},
	}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+addr+"/greet", strings.NewReader("\x00\x00\x00\x04\"me\""))
	must(t, err)
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body) // what there is of it
	return resp.Status + string(text)
}

// Whoever hasn't the seal, or shows a certificate that is no living server's, gets no byte.
func TestStrangers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var asked atomic.Int64
	b := w.start(t, "b", peer.Options{Handlers: greeting(&asked)})
	must(t, w.db.TakeLease(t.Context(), "a", "", time.Hour))
	issue := func(by *peer.Authority, replica string, at time.Time) tls.Certificate {
		c, err := by.Issue(replica, at)
		must(t, err)
		return *c
	}
	now := time.Now()
	for name, shown := range map[string][]tls.Certificate{
		"nothing":                       nil,
		"a certificate of another seal": {issue(authority(t, seal(t)), "a", now)},
		"one that has ended":            {issue(w.authority, "a", now.Add(-25*time.Hour))},
		"one that has not begun":        {issue(w.authority, "a", now.Add(time.Hour))},
		"one of a server that is dead":  {issue(w.authority, "z", now)},
		"the server's own":              {issue(w.authority, "b", now)},
	} {
		if answered := attack(t, b.addr, shown...); answered != "" {
			t.Errorf("with %s: %q", name, answered)
		}
	}
	if got := attack(t, b.addr, issue(w.authority, "a", now)); !strings.HasPrefix(got, "200") || asked.Load() != 1 {
		t.Errorf("with a living server's: %q, asked %d", got, asked.Load())
	}
	plain, err := net.Dial("tcp", b.addr)
	must(t, err)
	defer plain.Close()
	_, err = plain.Write([]byte("GET / HTTP/1.1\r\nHost: b\r\n\r\n"))
	must(t, err)
	if got, _ := io.ReadAll(plain); strings.HasPrefix(string(got), "HTTP/1.1 200") {
		t.Errorf("without TLS: %q", got)
	}
}

// A server that stands where another should is not asked: its certificate names itself.
func TestImpostor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var asked atomic.Int64
	a := w.start(t, "a", peer.Options{})
	c := w.start(t, "c", peer.Options{Handlers: greeting(&asked)})
	other := w.start(t, "d", peer.Options{Authority: authority(t, seal(t)), Handlers: greeting(&asked)})
	var answer string
	for _, addr := range []string{c.addr, other.addr} {
		must(t, w.db.TakeLease(t.Context(), "b", "https://"+addr, time.Hour))
		if err := a.Call(t.Context(), "b", "greet", "me", &answer); !errors.Is(err, peer.ErrUnreachable) || asked.Load() != 0 {
			t.Errorf("another was asked in its place: %v", err)
		}
	}
}

// A look at where a server should be finds one that has the same seal, and no other.
func TestCheck(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.start(t, "b", peer.Options{})
	at := &url.URL{Scheme: "https", Host: b.addr}
	must(t, peer.Check(t.Context(), at, w.authority))
	if err := peer.Check(t.Context(), at, authority(t, seal(t))); err == nil {
		t.Error("a server of another seal is taken for one's own")
	}
}

// What somebody has recorded of a connection is worth nothing on another.
func TestReplay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var asked atomic.Int64
	a := w.start(t, "a", peer.Options{})
	b := w.start(t, "b", peer.Options{Handlers: greeting(&asked)})
	between, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer between.Close()
	recorded := make(chan []byte, 1)
	go func() { recorded <- record(between, b.addr) }()
	must(t, w.db.TakeLease(t.Context(), "b", "https://"+between.Addr().String(), time.Hour))
	var answer string
	must(t, a.Call(t.Context(), "b", "greet", "me", &answer))
	must(t, a.Close(t.Context())) // its connection, too
	again, err := net.Dial("tcp", b.addr)
	must(t, err)
	defer again.Close()
	sent := <-recorded
	if _, err := again.Write(sent); err != nil || len(sent) < 1000 {
		t.Fatalf("%d bytes, %v", len(sent), err)
	}
	_, _ = io.ReadAll(again) // until the server has had enough
	if n := asked.Load(); n != 1 {
		t.Errorf("%d questions were answered", n)
	}
}

// record relays one connection to addr, and returns what its client sent.
func record(l net.Listener, addr string) []byte {
	client, err := l.Accept()
	if err != nil {
		return nil
	}
	defer client.Close()
	server, err := net.Dial("tcp", addr)
	if err != nil {
		return nil
	}
	defer server.Close()
	answers := make(chan struct{})
	go func() {
		defer close(answers)
		_, _ = io.Copy(client, server)
		_ = client.Close()
	}()
	var sent bytes.Buffer
	_, _ = io.Copy(server, io.TeeReader(client, &sent))
	_ = server.Close()
	<-answers
	return sent.Bytes()
}

// A server that accepts and says nothing, as one that was halted does, is given up in time.
func TestHalted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.start(t, "a", peer.Options{})
	halted, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts for it
	must(t, err)
	defer halted.Close()
	must(t, w.db.TakeLease(t.Context(), "b", "https://"+halted.Addr().String(), time.Hour))
	var answer string
	if err := a.Call(t.Context(), "b", "greet", "me", &answer); !errors.Is(err, peer.ErrUnreachable) {
		t.Errorf("it ended with %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.Call(ctx, "b", "greet", "me", &answer); !errors.Is(err, peer.ErrUnreachable) {
		t.Errorf("a caller that has gone: %v", err)
	}
}
