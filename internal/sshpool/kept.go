package sshpool

import (
	"context"
	"io"
	"sync"
)

// Make makes something of a session that is worth keeping as long as the connection lasts,
// such as an SFTP client, and takes the session over. It obeys ctx while it makes it.
type Make func(ctx context.Context, s *Session) (io.Closer, error)

// Lease is the use of something that is kept with a connection, by several callers at once
// if it likes. While there are leases the connection isn't idle.
type Lease struct {
	// Value is what Make returned. The pool closes it, when the connection ends or a
	// caller discards it.
	Value io.Closer

	conn *conn
	kept *kept
	once sync.Once
}

// kept is something that is kept with a connection.
type kept struct {
	name  string
	ready chan struct{} // closed when what follows is set
	value io.Closer
	err   error
	done  sync.Once // of its closing
}

// Kept leases what is kept under a name with one of the machine's connections, and makes
// it where it isn't there yet: once for each connection. It takes one of the machine's
// sessions on it, and doesn't keep the connection from being idle. Its errors are those of
// Open and of make. The caller releases the lease.
func (p *Pool) Kept(ctx context.Context, target Target, need Need, name string, make Make) (*Lease, error) {
	need.slotless = true
	c, _, err := p.acquire(ctx, target, need)
	if err != nil {
		return nil, classify(ctx, err)
	}
	k, isNew := c.keptAs(name)
	if isNew {
		// Others may wait for it: it isn't this caller's context that ends its making.
		p.wg.Go(func() { c.make(k, target, need.By, make) })
	}
	select {
	case <-k.ready:
	case <-ctx.Done():
		c.letGo()
		return nil, classify(ctx, context.Cause(ctx))
	}
	if k.err != nil {
		c.letGo()
		return nil, classify(ctx, k.err)
	}
	return &Lease{Value: k.value, conn: c, kept: k}, nil
}

// Lost is closed when the connection has ended, and what is kept with it.
func (l *Lease) Lost() <-chan struct{} { return l.conn.done }

// Release ends the lease. It may be called twice.
func (l *Lease) Release() { l.once.Do(l.conn.letGo) }

// Discard closes what is kept, since it is broken: the next caller makes it anew. It ends
// the lease; others that have one find it closed.
func (l *Lease) Discard() {
	l.conn.drop(l.kept)
	l.kept.close()
	l.Release()
}

// keptAs returns what is kept under a name, and whether the caller is to make it.
func (c *conn) keptAs(name string) (k *kept, isNew bool) {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	if k := c.kept[name]; k != nil {
		return k, false
	}
	k = &kept{name: name, ready: make(chan struct{})}
	if c.kept == nil {
		c.kept = map[string]*kept{}
	}
	c.kept[name] = k
	return k, true
}

// drop lets the next caller make it anew.
func (c *conn) drop(k *kept) {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	if c.kept[k.name] == k {
		delete(c.kept, k.name)
	}
}

// make opens a session, beside what others have of the connection, and makes what is kept.
func (c *conn) make(k *kept, target Target, by Dialer, make Make) {
	defer close(k.ready)
	p := c.pool
	ctx, cancel := context.WithTimeoutCause(p.life, p.connectTime(), errConnectTime)
	defer cancel()
	p.mu.Lock()
	p.takeSlot(c)
	p.mu.Unlock()
	s, err := c.open(ctx)
	if err == nil {
		p.mu.Lock()
		c.busy--
		c.keptSlots++
		s.holds, s.target, s.by = holdsKept, target, by
		p.mu.Unlock()
		if k.value, err = make(ctx, s); err != nil {
			_ = s.Close() // nothing came of it
		}
	}
	if k.err = err; err != nil {
		c.drop(k)
		return
	}
	if !c.alive() {
		k.close() // it ended meanwhile: closeKept may have been before us
	}
}

// closeKept closes all that is kept with a connection that has ended.
func (c *conn) closeKept() {
	c.pool.mu.Lock()
	all := c.kept
	c.kept = nil
	c.pool.mu.Unlock()
	for _, k := range all {
		c.pool.wg.Go(func() {
			<-k.ready
			k.close()
		})
	}
}

// close closes it, once. Its error means nothing: it is done with.
func (k *kept) close() {
	k.done.Do(func() {
		if k.value != nil {
			_ = k.value.Close()
		}
	})
}
