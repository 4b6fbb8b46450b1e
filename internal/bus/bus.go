// Package bus carries notices between whoever changes something and whoever waits
// for it, in one process or many. A notice says that there is something to look
// at, never what: what it is about stands in the store, and a notice that is lost
// costs time and nothing else.
package bus

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

const (
	// startTime bounds the start of the embedded server.
	startTime = 10 * time.Second
	// flushTime bounds the wait until the server knows of a listener.
	flushTime = time.Second
	// noticeBytesMax is more than a notice ever takes.
	noticeBytesMax = 4 << 10
	// pendingMax is how many notices wait for a slow listener. Later ones are lost,
	// which is no loss: a listener that has so many to look at looks.
	pendingMax = 1024
)

// subjectActivity is followed by an organisation's id. An id is a UUID, so that no
// other's can be matched with it.
const subjectActivity = "sallyport.activity."

// Bus is a connection to NATS. Make it with Open. It is safe for concurrent use.
type Bus struct {
	conn *nats.Conn
	// embedded is the server in this process, which listens nowhere.
	embedded *server.Server
}

// Open starts a NATS server in this process and connects to it. Close it.
func Open(log *slog.Logger) (*Bus, error) {
	embedded, err := server.NewServer(&server.Options{
		ServerName: "sallyport", DontListen: true, NoSigs: true, NoLog: true, NoSystemAccount: true,
		MaxPayload: noticeBytesMax,
	})
	if err != nil {
		return nil, fmt.Errorf("bus: %w", err)
	}
	b := &Bus{embedded: embedded}
	embedded.Start()
	if !embedded.ReadyForConnections(startTime) {
		return nil, errors.Join(fmt.Errorf("bus: the embedded server did not start within %s", startTime), b.Close())
	}
	b.conn, err = nats.Connect("", nats.InProcessServer(embedded), nats.Name("sallyport"), nats.MaxReconnects(-1),
		// A notice that waited would tell of what has been seen by then.
		nats.ReconnectBufSize(-1),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			log.Warn("bus", "error", err)
		}))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("bus: %w", err), b.Close())
	}
	return b, nil
}

// Close ends the connection and the embedded server, and waits for both. No
// listener is called afterwards.
func (b *Bus) Close() error {
	if b.conn != nil {
		b.conn.Close()
	}
	b.embedded.Shutdown()
	b.embedded.WaitForShutdown()
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
	sub, err := b.conn.Subscribe(subjectActivity+orgID, func(*nats.Msg) { f() })
	if err == nil {
		err = sub.SetPendingLimits(pendingMax, pendingMax*noticeBytesMax)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on the bus: %w", err)
	}
	_ = b.conn.FlushTimeout(flushTime)           // a client that has lost its server tells it later
	return func() { _ = sub.Unsubscribe() }, nil // a connection that has gone has none
}
