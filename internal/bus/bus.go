// Package bus carries notices between whoever changes something and whoever waits
// for it, and questions from one replica to another, in one process or many. A notice
// says that there is something to look at, never what: what it is about stands in the
// store, and a notice that is lost costs time and nothing else.
//
// Whoever can write to the bus can make replicas look, and ask what replicas answer:
// the servers of a cluster are to be told apart from others by NATS itself, with a user
// or TLS in its URL.
package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

const (
	// startTime bounds the start of the embedded server.
	startTime = 10 * time.Second
	// flushTime bounds the wait until the server knows of a listener.
	flushTime = time.Second
	// noticeBytesMax is more than a notice or a question ever takes.
	noticeBytesMax = 64 << 10
	// pendingMax is how many notices wait for a slow listener. Later ones are lost,
	// which is no loss: a listener that has so many to look at looks.
	pendingMax = 1024

	// connectTime bounds a try to reach one server of a cluster, and reconnectWait is
	// between two.
	connectTime   = time.Second
	reconnectWait = 250 * time.Millisecond
	// pingEvery and pingsOut find a server that hangs: it owes the answer to so many.
	pingEvery = time.Second
	pingsOut  = 2
)

// subjectActivity is followed by an organisation's id. An id is a UUID, so that no
// other's can be matched with it.
const subjectActivity = "sallyport.activity."

// Options say where the bus is.
type Options struct {
	// URL names the servers of a NATS cluster, comma-separated; empty starts one in this
	// process, which listens nowhere.
	URL string
	Log *slog.Logger
}

// Bus is a connection to NATS. Make it with Open. It is safe for concurrent use.
type Bus struct {
	conn *nats.Conn
	log  *slog.Logger
	// embedded is the server in this process; nil with a cluster.
	embedded *server.Server

	// answering are the questions that are being answered, until ctx ends.
	answering sync.WaitGroup
	ctx       context.Context
	stop      context.CancelFunc

	mu     sync.Mutex // guards the fields below
	closed bool       // no question is taken any more
}

// Open connects to a NATS cluster, or starts a server in this process and connects to
// that. A cluster that can't be reached is no error: it is tried again until it can, and
// Connected tells. Close it: the end of ctx doesn't.
func Open(ctx context.Context, o Options) (*Bus, error) {
	b := &Bus{log: o.Log}
	b.ctx, b.stop = context.WithCancel(context.WithoutCancel(ctx))
	options := []nats.Option{
		nats.Name("sallyport"), nats.MaxReconnects(-1), nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(reconnectWait, reconnectWait), nats.Timeout(connectTime), nats.RetryOnFailedConnect(true),
		nats.PingInterval(pingEvery), nats.MaxPingsOutstanding(pingsOut),
		// A notice that waited would tell of what has been seen by then.
		nats.ReconnectBufSize(-1),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { b.log.Warn("bus", "error", err) }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				b.log.Warn("the bus is gone; events and revocations come later", "error", err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { b.log.Info("the bus is back") }),
	}
	if o.URL == "" {
		if err := b.embed(); err != nil {
			return nil, errors.Join(err, b.Close())
		}
		options = append(options, nats.InProcessServer(b.embedded))
	}
	conn, err := nats.Connect(o.URL, options...)
	if err != nil {
		// The library's words may hold the URL, which may hold a password.
		return nil, errors.Join(fmt.Errorf("bus: the URL is none of NATS's: %s", withoutURL(err, o.URL)), b.Close())
	}
	b.conn = conn
	return b, nil
}

// embed starts a server in this process.
func (b *Bus) embed() error {
	embedded, err := server.NewServer(&server.Options{
		ServerName: "sallyport", DontListen: true, NoSigs: true, NoLog: true, NoSystemAccount: true,
		MaxPayload: noticeBytesMax,
	})
	if err != nil {
		return fmt.Errorf("bus: %w", err)
	}
	b.embedded = embedded
	embedded.Start()
	if !embedded.ReadyForConnections(startTime) {
		return fmt.Errorf("bus: the embedded server did not start within %s", startTime)
	}
	return nil
}

// withoutURL returns the text of err without any part of the URL that may be a secret.
func withoutURL(err error, url string) string {
	text := err.Error()
	for _, part := range strings.FieldsFunc(url, func(r rune) bool { return strings.ContainsRune(",/@:", r) }) {
		if len(part) > 3 {
			text = strings.ReplaceAll(text, part, "…")
		}
	}
	return text
}

// Close ends the connection and the embedded server, and waits for both, and for the
// questions that are being answered. No listener is called afterwards.
func (b *Bus) Close() error {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.stop()
	if b.conn != nil {
		b.conn.Close()
	}
	b.answering.Wait()
	if b.embedded != nil {
		b.embedded.Shutdown()
		b.embedded.WaitForShutdown()
	}
	return nil
}

// Connected tells whether notices arrive at present.
func (b *Bus) Connected() bool { return b.conn.IsConnected() }

// ActivityChanged gives notice that the log of an organisation has changed. It
// doesn't block, and says nothing when the bus is down: who waits for notices looks
// by itself too, now and then.
func (b *Bus) ActivityChanged(orgID string) {
	_ = b.conn.Publish(subjectActivity+orgID, nil)
}

// OnActivity calls f after each ActivityChanged of the organisation, in any process,
// until stop is called; a last call may still be going on then. f must not block.
// Once it returns no notice is missed, unless the bus is down.
func (b *Bus) OnActivity(orgID string, f func()) (stop func(), err error) {
	return b.listen(subjectActivity+orgID, func(*nats.Msg) { f() })
}

func (b *Bus) listen(subject string, f func(*nats.Msg)) (stop func(), err error) {
	sub, err := b.conn.Subscribe(subject, f)
	if err == nil {
		err = sub.SetPendingLimits(pendingMax, pendingMax*noticeBytesMax)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on the bus: %w", err)
	}
	_ = b.conn.FlushTimeout(flushTime)           // a client that has lost its server tells it later
	return func() { _ = sub.Unsubscribe() }, nil // a connection that has gone has none
}
