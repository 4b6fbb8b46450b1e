package sshpool

// Facts is what callers have learnt of a machine that holds as long as a connection to it
// does. The zero value of each is that it isn't known.
type Facts struct {
	// LoginShell is what the user's login shell is.
	LoginShell LoginShell
}

// LoginShell is a kind of login shell, by what it can be told.
type LoginShell string

// Kinds of login shell.
const (
	LoginShellUnknown LoginShell = ""
	// LoginShellSh is a POSIX shell.
	LoginShellSh LoginShell = "sh"
	// LoginShellOther takes nothing but the plainest line.
	LoginShellOther LoginShell = "other"
)

// Facts returns what is known of the machine, on the channel's connection.
func (c *Channel) Facts() Facts {
	c.conn.pool.mu.Lock()
	defer c.conn.pool.mu.Unlock()
	return c.conn.facts
}

// Learn adds to what is known, for all channels on the connection. learn is quick: it is
// called under the pool's lock.
func (c *Channel) Learn(learn func(*Facts)) {
	c.conn.pool.mu.Lock()
	defer c.conn.pool.mu.Unlock()
	learn(&c.conn.facts)
}

// Keep returns what make returned when Keep was first called for the channel's machine. It
// is kept as long as the pool has connections to that machine. make is quick: it is called
// under the pool's lock.
func (c *Channel) Keep(make func() any) any {
	p := c.conn.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	g := c.conn.group
	if g.kept == nil {
		g.kept = make()
	}
	return g.kept
}
