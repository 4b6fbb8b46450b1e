package peer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"

	"sallyport/client/sallyport"
	"sallyport/internal/limits"
)

// passedOn is in the context of what another server has asked, so that it isn't passed on
// again: no two can ask each other in circles.
type passedOn struct{}

func (p *Peer) newServer(ctx context.Context) *http.Server {
	config := p.identity.tls()
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		mine := p.identity.tls()
		mine.VerifyConnection = func(state tls.ConnectionState) error { return p.mayAsk(hello.Context(), replicaOf(&state)) }
		return mine, nil
	}
	return &http.Server{
		Handler: http.HandlerFunc(p.serve), TLSConfig: config, Protocols: onlyHTTP2(), HTTP2: http2Config(), ConnState: p.o.ConnState,
		ReadHeaderTimeout: limits.PeerDialTime, IdleTimeout: limits.PeerIdleTime, MaxHeaderBytes: limits.PeerHeaderBytesMax,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    slog.NewLogLogger(p.o.Log.Handler(), slog.LevelDebug), // of strangers at the port
	}
}

// mayAsk says whether a replica is alive, and so may ask: what a dead one asks is nobody's.
func (p *Peer) mayAsk(ctx context.Context, replica string) error {
	if replica == "" || replica == p.o.Replica {
		return errors.New("it shows no certificate of another server")
	}
	ctx, cancel := context.WithTimeout(ctx, limits.LeaseCallTime)
	defer cancel()
	if _, err := p.o.Leases.ReplicaURL(ctx, replica); err != nil {
		p.o.Log.Warn("a server that has no lease was refused", "replica", replica, "error", err)
		return fmt.Errorf("replica %s: %w", replica, err)
	}
	return nil
}

func (p *Peer) serve(w http.ResponseWriter, r *http.Request) {
	a := &answering{w: w}
	err := p.answer(r, a)
	if err := a.end(p.wireError(r, err)); err != nil {
		p.o.Log.Debug("an answer to another server was cut", "topic", r.URL.Path, "error", err)
	}
}

// answer answers a question, if the one who asks may.
func (p *Peer) answer(r *http.Request, a *answering) error {
	from := replicaOf(r.TLS)
	if err := p.mayAsk(r.Context(), from); err != nil {
		return sallyport.Errorf(sallyport.CodePlatformUnavailable, "the server that asks has no lease").Because(err)
	}
	handler, ok := p.o.Handlers[strings.TrimPrefix(r.URL.Path, "/")]
	if !ok || r.Method != http.MethodPost {
		return sallyport.Errorf(sallyport.CodeNotFound, "the server doesn't know what it is asked; it may be of another version")
	}
	select {
	case p.asked <- struct{}{}:
		defer func() { <-p.asked }()
	default:
		return sallyport.Errorf(sallyport.CodePlatformUnavailable, "the server answers as many questions of others as it can")
	}
	question, err := readQuestion(r.Body)
	if err != nil {
		return sallyport.Errorf(sallyport.CodePlatformUnavailable, "the question of another server can't be read").Because(err)
	}
	s := &Stream{
		reader: r.Body, writer: a, accept: a.begin,
		closeWrite: func() error { return nil }, close: func() { _ = r.Body.Close() },
	}
	return handler(context.WithValue(r.Context(), passedOn{}, from), from, question, s)
}

// wireError is err for the server that has asked; nil stays nil.
func (p *Peer) wireError(r *http.Request, err error) *sallyport.Error {
	if err == nil {
		return nil
	}
	p.o.Log.Info("a question of another server has failed", "topic", r.URL.Path, "replica", replicaOf(r.TLS), "error", err)
	if known, ok := errors.AsType[*sallyport.Error](err); ok {
		return known
	}
	return sallyport.Errorf(sallyport.CodeInternal, "the other server has failed; its log says why")
}
