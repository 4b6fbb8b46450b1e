package postgres

import (
	"bytes"
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/internal/store"
)

// deafConn sends one last batch when it is told to, and hears no answer.
type deafConn struct {
	net.Conn
	armed    *atomic.Bool
	prepared bool
	deaf     atomic.Bool
}

func (c *deafConn) Write(p []byte) (int, error) {
	switch {
	case !c.armed.Load():
	case c.prepared:
		c.deaf.Store(true)
		c.armed.Store(false)
	case bytes.Contains(p, []byte("UPDATE activity SET replica")):
		c.prepared = true // what runs it comes next
	}
	return c.Conn.Write(p)
}

func (c *deafConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.deaf.Load() {
		return 0, errors.Join(net.ErrClosed, c.Conn.Close())
	}
	return n, err
}

// TestAdoptLost: what was adopted by a commit of which nobody knows whether it was made is
// handed over by the next try. Its replica is alive, so that nobody else would see to it.
func TestAdoptLost(t *testing.T) {
	url := migrated(t)
	other := openURL(t, url)
	d, err := parse(url)
	must(t, err)
	var armed atomic.Bool
	d.config.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		return &deafConn{Conn: conn, armed: &armed}, err
	}
	db := &DB{}
	db.pools, err = d.open(t.Context())
	must(t, err)
	defer db.Close()
	must(t, db.TakeLease(t.Context(), "a", "", time.Hour))
	left := newExec("org") // nobody's
	must(t, other.CommitActivity(t.Context(), []store.ActivityChange{{Row: left}}, true))
	armed.Store(true)
	if rows, err := db.AdoptActs(t.Context(), "a", 9); err == nil {
		t.Fatalf("adopted %v", rows)
	}
	for began := time.Now(); ; <-time.After(10 * time.Millisecond) { // the commit may be on its way
		row, err := other.Activity(t.Context(), "org", left.ID)
		must(t, err)
		if row.Replica == "a" {
			break
		}
		if time.Since(began) > operationTime {
			t.Fatalf("the commit was not made: replica %q", row.Replica)
		}
	}
	for _, want := range []int{1, 0} {
		rows, err := db.AdoptActs(t.Context(), "a", 9)
		must(t, err)
		if len(rows) != want || want == 1 && rows[0].ID != left.ID {
			t.Errorf("adopted %v, want %d", rows, want)
		}
	}
}
