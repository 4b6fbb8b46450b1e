package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"sallyport/internal/store"
)

const (
	// operationTime bounds each method, the wait for a connection included. Who waits
	// for a row to be written gets an answer within two seconds, come what may.
	operationTime = 1500 * time.Millisecond
	// statementTime ends a statement at the server, before we give up on its
	// connection: a lock that is held for long is no reason to connect anew.
	statementTime = 1200 * time.Millisecond
	// idleTime ends a transaction whose replica has stopped or was cut off in the
	// midst of it: it may hold an organisation's lock.
	idleTime = 1500 * time.Millisecond
	// connectTime bounds the making of a connection.
	connectTime = time.Second
	// lookAgain is how often who waits for a connection looks for one, while the database
	// makes no more.
	lookAgain = 5 * time.Millisecond
	// connsMax is how many connections there are, unless the URL says (pool_max_conns).
	// A quarter of them write. A commit takes the lock of its organisation's log, so
	// that more would only wait for each other.
	connsMax = 16
	// connsListing of them read listings, which may take a second: a caller that asks for
	// many of them delays no authentication and no look-up.
	connsListing = 3
	// connsOwn of them are the server's own: one for its lease, one for what others have
	// left, one for its log. There are these, and one that reads and one that writes, also
	// where the URL wants fewer.
	connsOwn = 3
)

// database is the database that a URL names.
type database struct {
	config *pgxpool.Config
	// name names the database for an operator, without any secret.
	name string
}

// parse reads the URL of a database, or its keyword=value form. No error of its holds
// any part of the URL: wherever its password ended up, it isn't shown.
func parse(url string) (database, error) {
	if err := store.CheckURL(url); err != nil {
		return database{}, err
	}
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return database{}, errURL
	}
	c := config.ConnConfig
	if c.ConnectTimeout == 0 || c.ConnectTimeout > connectTime {
		c.ConnectTimeout = connectTime
	}
	hosts := []string{hostName(c.Host, c.Port)}
	for _, fallback := range c.Fallbacks {
		if host := hostName(fallback.Host, fallback.Port); hosts[len(hosts)-1] != host {
			hosts = append(hosts, host)
		}
	}
	if !strings.Contains(url, "pool_max_conns") {
		config.MaxConns = connsMax
	}
	return database{config: config, name: fmt.Sprintf("%q at %s", c.Database, strings.Join(hosts, ","))}, nil
}

// errURL tells nothing of the URL, whatever is wrong with it.
var errURL = errors.New("the database's URL can't be read, it must be like postgres://USER:PASSWORD@HOST:PORT/DATABASE " +
	"(it isn't shown here, since it may hold a password)")

func hostName(host string, port uint16) string {
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}

// pools are connections that don't wait for each other.
type pools struct {
	// readers is for look-ups, writers for changes of records.
	readers, writers *pool
	// listings is for pages of the log and of records, which may take long.
	listings *pool
	// own is for what the server itself writes, one after another: leases, and the commits
	// of its activity log. However many changes tenants make, it waits for none of them.
	own *pool
}

// open opens the pools.
func (d database) open(ctx context.Context) (pools, error) {
	var p pools
	writing := max(1, d.config.MaxConns/4)
	for _, one := range []struct {
		pool  **pool
		conns int32
	}{
		{&p.readers, max(1, d.config.MaxConns-writing-connsListing-connsOwn)}, {&p.writers, writing},
		{&p.listings, connsListing}, {&p.own, connsOwn},
	} {
		var err error
		if *one.pool, err = d.pool(ctx, one.conns); err != nil {
			p.close()
			return pools{}, err
		}
	}
	return p, nil
}

// close closes those that are open.
func (p pools) close() {
	for _, one := range []*pool{p.readers, p.writers, p.listings, p.own} {
		if one != nil {
			one.Close()
		}
	}
}

func (d database) pool(ctx context.Context, conns int32) (*pool, error) {
	config := d.config.Copy()
	config.MaxConns = conns
	config.MinConns, config.MinIdleConns = 0, 0
	// A connection that has died is found out by its first use, which is then done again
	// with another; to ask it before each would cost a round trip.
	config.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return false }
	setDefault(config.ConnConfig, "application_name", "sallyport")
	// A plan that is kept was made for tables as they were: in a young database, small ones,
	// where reading a whole log seems as good as an index.
	setDefault(config.ConnConfig, "plan_cache_mode", "force_custom_plan")
	setDefault(config.ConnConfig, "statement_timeout", millis(statementTime))
	setDefault(config.ConnConfig, "idle_in_transaction_session_timeout", millis(idleTime))
	p, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	return &pool{p}, nil
}

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

func setDefault(config *pgx.ConnConfig, parameter, value string) {
	if _, ok := config.RuntimeParams[parameter]; !ok {
		config.RuntimeParams[parameter] = value
	}
}

// pool is a pool of connections whose every use is bounded.
type pool struct{ *pgxpool.Pool }

// do lets act use a connection. A caller's context counts while it waits for one; act's
// is bounded but doesn't end with the caller's, since that would cost the connection,
// and leave it open whether a commit was made.
//
// act tells whether it may be done again, with another connection, if the one that it
// had turns out to be dead. Once is enough: all that are idle are given up then.
func (p *pool) do(ctx context.Context, act func(context.Context, *pgx.Conn) (again bool, err error)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	deadline := time.Now().Add(operationTime)
	again, lost, err := p.once(ctx, deadline, act)
	if again && lost {
		_, _, err = p.once(ctx, deadline, act)
	}
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return errSlow
	}
	return err
}

func (p *pool) once(
	ctx context.Context, deadline time.Time, act func(context.Context, *pgx.Conn) (bool, error),
) (again, lost bool, err error) {
	waiting, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	conn, err := p.acquire(waiting)
	if err != nil {
		return false, false, oneLine(err)
	}
	defer func() { p.giveBack(conn) }() // also when act panics
	inside, cancelInside := context.WithDeadline(context.WithoutCancel(ctx), deadline)
	defer cancelInside()
	again, err = act(inside, conn.Conn())
	return again, err != nil && isLost(err, conn.Conn().IsClosed()), err
}

// acquire waits for a connection. Where the database has none left for one more, one that
// the pool has already will do: what serves does so for as long as it has any.
func (p *pool) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	for {
		conn, err := p.Acquire(ctx)
		if codeOf(err) != codeTooManyConnections || p.Stat().TotalConns() == 0 {
			return conn, err
		}
		select {
		case <-time.After(lookAgain):
		case <-ctx.Done():
			return nil, err
		}
	}
}

// giveBack returns a connection to the pool. One that broke leaves it at once: it
// would hold its place until it is cleaned up, for which pgx waits long. Those that
// are idle have broken with it, as likely as not.
func (p *pool) giveBack(conn *pgxpool.Conn) {
	if conn.Conn().IsClosed() {
		conn.Hijack()
		p.Reset()
		return
	}
	conn.Release()
}
