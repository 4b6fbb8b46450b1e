// Package peer is how the servers on one store ask each other for what one of them holds:
// over TLS 1.3, each side with a certificate that only a server with the same seal can
// make, for a replica whose lease is in force. A question may become a stream, both ways. A
// question that was passed on is not passed on again.
package peer

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"time"

	"sallyport/internal/limits"
	"sallyport/internal/store"
)

// Why a server was not asked.
var (
	// ErrUnreachable: there is no way to the other server, or it has not answered.
	ErrUnreachable = errors.New("the other server can't be reached")
	// ErrNowhere: the other server has no address for others.
	ErrNowhere = errors.New("the other server has no replica.url")
	// ErrPassedOn: what is asked came from another server already.
	ErrPassedOn = errors.New("a question of another server is not passed on again")
)

// Leases tells which replicas are alive.
type Leases interface {
	// ReplicaURL returns where a replica is reached, empty for nowhere, or
	// store.ErrNotFound for one that has no lease.
	ReplicaURL(ctx context.Context, replica string) (string, error)
}

// Handler answers a question of another server, from. Its ctx ends when the other gives up,
// or this server closes. What it returns is told to the other: nil is an end in order.
type Handler func(ctx context.Context, from string, question []byte, s *Stream) error

// Options are what a Peer needs. All are set, but for ConnState and Now.
type Options struct {
	// Replica is this server.
	Replica   string
	Authority *Authority
	Leases    Leases
	Log       *slog.Logger
	// Handlers answer what this server is asked, by topic.
	Handlers map[string]Handler
	// ConnState follows the connections of Serve, as an http.Server's does.
	ConnState func(net.Conn, http.ConnState)
	// Now is the clock of certificates; nil is time.Now.
	Now func() time.Time
}

// Peer is this server among the others. Make it with New, and close it. It is safe for
// concurrent use.
type Peer struct {
	o         Options
	identity  *identity
	transport *http.Transport
	server    *http.Server
	// asked bounds what is answered at a time.
	asked chan struct{}
	stop  context.CancelFunc
}

// New returns a Peer that can ask; Serve lets others ask it, and what they ask ends with ctx.
func New(ctx context.Context, o Options) *Peer {
	if o.Now == nil {
		o.Now = time.Now
	}
	p := &Peer{o: o, asked: make(chan struct{}, limits.PeerQuestionsMax)}
	p.identity = &identity{authority: o.Authority, replica: o.Replica, now: o.Now}
	p.transport = p.newTransport()
	ctx, p.stop = context.WithCancel(ctx)
	p.server = p.newServer(ctx)
	return p
}

// Serve answers what others ask until Close. It closes l.
func (p *Peer) Serve(l net.Listener) error {
	if err := p.server.ServeTLS(l, "", ""); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve other servers: %w", err)
	}
	return nil
}

// Close ends what this server is asked, and waits for it until ctx ends. What it asks is its
// callers' to end. It may be called twice.
func (p *Peer) Close(ctx context.Context) error {
	p.stop()
	err := p.server.Shutdown(ctx)
	if err != nil {
		_ = p.server.Close() // what is left is given up
	}
	p.transport.CloseIdleConnections()
	return err
}

// Call asks a replica a question about a topic, and reads its answer. Both are JSON, of
// limits.PeerQuestionBytesMax at most. It returns ErrNowhere, ErrPassedOn or an error that
// wraps ErrUnreachable where nobody has answered; a *sallyport.Error is the other's own.
func (p *Peer) Call(ctx context.Context, replica, topic string, question, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, limits.PeerAnswerTime)
	defer cancel()
	s, err := p.Open(ctx, replica, topic, question)
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.CloseWrite(); err != nil {
		return unreachable(replica, err)
	}
	text, err := io.ReadAll(io.LimitReader(s, limits.PeerQuestionBytesMax+1))
	switch {
	case err != nil:
		return err
	case len(text) > limits.PeerQuestionBytesMax:
		return fmt.Errorf("the answer of replica %s is longer than %d bytes", replica, limits.PeerQuestionBytesMax)
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return fmt.Errorf("the answer of replica %s: %w", replica, err)
	}
	return nil
}

// Answer makes a Handler of a function from a question to its answer: the other side of
// Call.
func Answer[Q, A any](f func(ctx context.Context, from string, question Q) (A, error)) Handler {
	return func(ctx context.Context, from string, text []byte, s *Stream) error {
		var question Q
		if err := json.Unmarshal(text, &question); err != nil {
			return fmt.Errorf("a question of replica %s: %w", from, err)
		}
		answer, err := f(ctx, from, question)
		if err != nil {
			return err
		}
		text, err = json.Marshal(answer)
		if err != nil {
			return err
		}
		_, err = s.Write(text)
		return err
	}
}

// Check looks whether a server answers at a replica.url with a certificate of the authority.
// It shows none itself, and asks nothing.
func Check(ctx context.Context, at *url.URL, authority *Authority) error {
	ctx, cancel := context.WithTimeout(ctx, limits.PeerDialTime)
	defer cancel()
	dialer := &tls.Dialer{Config: &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{"h2"},
		InsecureSkipVerify: true, // the name is that of a run, which nobody but the store knows
		VerifyConnection:   func(state tls.ConnectionState) error { return authority.has(state.PeerCertificates, time.Now()) },
	}}
	conn, err := dialer.DialContext(ctx, "tcp", hostPort(at))
	if err != nil {
		return err
	}
	_ = conn.Close() // nothing was sent
	return nil
}

// hostPort is where a replica.url is dialled.
func hostPort(at *url.URL) string {
	return net.JoinHostPort(at.Hostname(), cmp.Or(at.Port(), "443"))
}

// find returns where a replica is reached.
func (p *Peer) find(ctx context.Context, replica string) (*url.URL, error) {
	ctx, cancel := context.WithTimeout(ctx, limits.LeaseCallTime)
	defer cancel()
	text, err := p.o.Leases.ReplicaURL(ctx, replica)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, unreachable(replica, errors.New("it has no lease"))
	case err != nil:
		return nil, unreachable(replica, err)
	case text == "":
		return nil, fmt.Errorf("ask replica %s: %w", replica, ErrNowhere)
	}
	at, err := url.Parse(text)
	if err != nil || at.Host == "" {
		return nil, unreachable(replica, fmt.Errorf("its replica.url is %q", text))
	}
	return at, nil
}

func unreachable(replica string, cause error) error {
	return fmt.Errorf("ask replica %s: %w: %w", replica, ErrUnreachable, cause)
}

// frameQuestion puts the length before a question, so that what follows is the stream's.
func frameQuestion(question any) ([]byte, error) {
	text, err := json.Marshal(question)
	if err != nil {
		return nil, err
	}
	if len(text) > limits.PeerQuestionBytesMax {
		return nil, fmt.Errorf("a question for another server is longer than %d bytes", limits.PeerQuestionBytesMax)
	}
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...), nil
}

func readQuestion(body io.Reader) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(body, length[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(length[:])
	if n > limits.PeerQuestionBytesMax {
		return nil, fmt.Errorf("it is longer than %d bytes", limits.PeerQuestionBytesMax)
	}
	text := make([]byte, n)
	_, err := io.ReadFull(body, text)
	return text, err
}
