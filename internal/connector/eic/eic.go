// Package eic is the connector to EC2 instances through EC2 Instance Connect Endpoints:
// AWS's own tunnel into a private subnet, and its own way to let a key in for a minute.
// There is no public address, and no key that stands anywhere.
//
// AWS publishes no description of the tunnel. What is built here on is what its own
// client does (aws-cli v2, ec2-instance-connect open-tunnel); nothing hangs on close
// codes, on HTTP statuses, or on what a full endpoint says.
//
// A connection takes: the instance and the endpoint, which are remembered for minutes;
// a presigned URL that opens a WebSocket, whose binary messages are the bytes of the SSH
// connection; and, side by side with that, a new key pushed to the instance, which the
// login uses within its minute. Afterwards neither the key's end nor the credentials'
// matters.
package eic

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"sallyport/client/sallyport"
	"sallyport/internal/connector"
	"sallyport/internal/limits"
)

// Options configure a Connector.
type Options struct {
	// Region is that of connectors which name none; empty is what AWS's own
	// configuration says.
	Region string
	// TunnelEndpoint is where every tunnel is dialled instead of its endpoint's name, by
	// its scheme (ws, wss, http, https) with TLS or without; what is signed, and the
	// Host that is asked for, stay the endpoint's. Nil is no such thing.
	TunnelEndpoint *url.URL
	// TunnelDuration is how long a tunnel is asked to last, in whole seconds up to
	// limits.TunnelDuration, which 0 stands for.
	TunnelDuration time.Duration
	// EvictIdle asks for an idle connection that takes a place of shared (see
	// connector.Link) to be closed, and tells whether there was one. Nil is for none.
	EvictIdle func(shared string) bool
	// Log takes AWS's request ids, and what callers don't see. Nil discards it.
	Log *slog.Logger
	// Now is the clock of signatures; nil is the system's.
	Now func() time.Time
}

// Connector reaches EC2 instances. Its maker closes it. It is safe for concurrent
// use.
type Connector struct {
	options   Options
	log       *slog.Logger
	accounts  accounts
	instances cache[instanceKey, instance]
	endpoints cache[vpcKey, []endpoint]
	places    places
	dialer    dialer
}

type instanceKey struct {
	account accountKey
	id      string
}

// vpcKey names a VPC, or one endpoint by its id.
type vpcKey struct {
	account accountKey
	vpc, id string
}

// New makes a connector. It asks nobody: AWS's configuration is read at the first use.
func New(o Options) *Connector {
	c := &Connector{options: o, log: o.Log, dialer: dialer{override: o.TunnelEndpoint}}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	c.accounts.region, c.accounts.now = o.Region, o.Now
	if o.Now == nil {
		c.accounts.now = time.Now
	}
	c.places.evictIdle = o.EvictIdle
	if o.EvictIdle == nil {
		c.places.evictIdle = func(string) bool { return false }
	}
	c.instances.max, c.endpoints.max = limits.AWSRecordsMax, limits.AWSRecordsMax
	return c
}

// Close lets go of connections to AWS that are idle. Tunnels are closed by whoever
// dialled them. It always returns nil.
func (c *Connector) Close() error {
	c.accounts.close()
	return nil
}

// Dial opens a tunnel to target's instance, and pushes a key for its login meanwhile. Its
// errors have the code connect_failed or connect_timeout, with a reason, or are
// too_many_execs (capacity) when no tunnel was free in time.
func (c *Connector) Dial(ctx context.Context, target connector.Target) (*connector.Link, error) {
	d := &dial{Connector: c, target: target, user: cmp.Or(target.Spec.User, sallyport.DefaultEICUser)}
	link, err := d.run(ctx)
	if err == nil {
		return link, nil
	}
	if errors.Is(context.Cause(ctx), context.Canceled) {
		return nil, fmt.Errorf("dial %s: %w", target.Spec.InstanceID, context.Canceled)
	}
	c.log.InfoContext(ctx, "eic: not reached", d.attrs("cause", err)...)
	return nil, tell(ctx, err)
}

// dial is one way to one instance, on its way.
type dial struct {
	*Connector
	target  connector.Target
	user    string
	account *account
	found   found
	key     ssh.Signer
}

// found is the result of the walk to the machine.
type found struct {
	instance instance
	endpoint endpoint
	// isCached tells that some of it was remembered, and may be wrong by now.
	isCached bool
}

func (d *dial) attrs(more ...any) []any {
	return append([]any{"workspace_id", d.target.WorkspaceID, "exec_id", d.target.ExecID, "instance_id", d.target.Spec.InstanceID}, more...)
}

func (d *dial) run(ctx context.Context) (link *connector.Link, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if d.account, err = d.accounts.of(ctx, d.target.Spec.Region, d.target.AWS); err != nil {
		return nil, err
	}
	if d.key, err = newKey(); err != nil {
		return nil, err
	}
	s, err := d.reach(ctx)
	if kind, ok := classOf(err); ok && kind == stale && d.found.isCached {
		d.forget()
		s, err = d.reach(ctx)
	}
	if err != nil {
		return nil, err
	}
	return d.link(s), nil
}

// reach finds the way, and goes it. A machine that has just been started may not be
// there yet when its tunnel is: that is waited for a few times.
func (d *dial) reach(ctx context.Context) (*stream, error) {
	var err error
	if d.found, err = d.find(ctx); err != nil {
		return nil, err
	}
	for try := 0; ; try++ {
		s, err := d.open(ctx)
		if err != nil || !d.isYoung() {
			return s, err
		}
		if err = s.awaitByte(ctx); err == nil {
			return s, nil
		}
		_ = s.Close() // the error is told
		if kind, _ := classOf(err); kind != unreachable || try == limits.YoungTries || !pause(ctx, limits.YoungPauseShift+try) {
			return nil, err
		}
	}
}

// isYoung tells whether the machine may still be booting.
func (d *dial) isYoung() bool {
	launched := d.found.instance.LaunchTime
	return !launched.IsZero() && d.accounts.now().Sub(launched) < limits.InstanceYoungTime
}

// open takes a place, and opens a tunnel while the key is pushed. Whichever fails first
// ends the other, and is reported.
func (d *dial) open(outer context.Context) (*stream, error) {
	ctx, cancel := context.WithCancelCause(outer)
	defer cancel(nil)
	var pushed sync.WaitGroup
	var pushErr error
	pushed.Go(func() {
		if pushErr = d.push(ctx); pushErr != nil {
			cancel(pushErr)
		}
	})
	s, err := d.tunnel(ctx)
	if err != nil {
		isFirst := ctx.Err() == nil || outer.Err() != nil
		cancel(err)
		pushed.Wait()
		if isFirst || pushErr == nil {
			return nil, err
		}
		return nil, pushErr
	}
	pushed.Wait()
	if pushErr != nil {
		_ = s.Close() // it is of no use
		return nil, pushErr
	}
	return s, nil
}

// push pushes the key, and logs AWS's name of it.
func (d *dial) push(ctx context.Context) error {
	requestID, err := d.account.push(ctx, d.target.Spec.InstanceID, d.user, d.key.PublicKey())
	if err == nil {
		d.log.InfoContext(ctx, "eic: key pushed", d.attrs("request_id", requestID)...)
	}
	return err
}

// tunnel waits for a place, and opens a tunnel. Where the endpoint says that it is full
// it is asked again, while there is time: others may be using it.
func (d *dial) tunnel(ctx context.Context) (*stream, error) {
	id := d.found.endpoint.ID
	var full error // the last refusal for want of a tunnel
	for tries := d.account.newTries(); ; {
		if err := d.places.take(ctx, id, d.target.WorkspaceID); err != nil {
			return nil, err
		}
		s, requestID, err := d.dialer.open(ctx, d.account, d.route())
		if err == nil {
			s.closed = func() { d.places.release(id, d.target.WorkspaceID) }
			s.failed = d.forget
			d.log.InfoContext(ctx, "eic: tunnel open", d.attrs("request_id", requestID)...)
			return s, nil
		}
		d.account.calls.count(openTunnel, err)
		kind, _ := classOf(err)
		if kind == capacity {
			full = err
			d.places.refused(id, d.target.WorkspaceID)
			continue
		}
		d.places.release(id, d.target.WorkspaceID)
		switch {
		case ctx.Err() != nil && full != nil:
			return nil, full
		case !tries.again(ctx, err):
			return nil, err
		}
	}
}

func (d *dial) route() route {
	return route{
		endpointID: d.found.endpoint.ID, host: d.found.endpoint.DNSName, address: cmp.Or(d.target.Spec.PrivateIP, d.found.instance.address()),
		duration: d.duration(),
	}
}

func (d *dial) duration() time.Duration {
	return cmp.Or(d.options.TunnelDuration, limits.TunnelDuration)
}

// link is an open tunnel and how to log in behind it.
func (d *dial) link(s *stream) *connector.Link {
	first := true
	return &connector.Link{
		Conn: s, User: d.user, MaxLife: d.duration(), Shared: d.found.endpoint.ID,
		Signers: func(ctx context.Context) ([]ssh.Signer, error) {
			if first { // it was pushed while the tunnel opened
				first = false
				return []ssh.Signer{d.key}, nil
			}
			if err := d.push(ctx); err != nil {
				return nil, tell(ctx, err)
			}
			return []ssh.Signer{d.key}, nil
		},
		Explain: d.explain,
	}
}

// explain says what the end of a login means behind a tunnel.
func (d *dial) explain(ctx context.Context, err *sallyport.Error) *sallyport.Error {
	d.log.InfoContext(ctx, "eic: login failed", d.attrs("code", err.Code, "reason", err.Reason)...)
	told := *err
	switch err.Reason {
	case sallyport.ReasonAuthFailed:
		told.Reason = sallyport.ReasonKeyRefused
		told.Message = "AWS took the key, and the machine refused it: is ec2-instance-connect installed there, its metadata service on, and is there a user " + d.user + "?"
		return &told
	case sallyport.ReasonNoBanner, sallyport.ReasonHandshakeFailed, sallyport.ReasonDialFailed:
		told.Reason = sallyport.ReasonUnreachable
	}
	unreachedBy, ok := errors.AsType[*fault](err.Cause)
	if !ok {
		return &told
	}
	// The cached entries of the machine may be the cause.
	if _, err := d.find(ctx); err != nil && ctx.Err() == nil {
		if known, ok := errors.AsType[*sallyport.Error](tell(ctx, err)); ok {
			return known
		}
	}
	told.Message, told.Reason = unreachedBy.words()
	return &told
}
