package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"sallyport/client"
)

const (
	// carriedMax bounds the connections that are carried at the same time: as many as an
	// organisation may have by default.
	carriedMax = 1024
	carryBytes = 64 << 10
)

// forwarding carries the connections of listeners to a workspace.
type forwarding struct {
	app       *app
	client    *client.Client
	workspace string

	// places bounds the connections that are carried at the same time.
	places chan struct{}
	// telling is held while one failure is told.
	telling sync.Mutex
	carried sync.WaitGroup
}

// run accepts connections until ctx ends, which is no error; listener i leads to ports[i].
// It closes the listeners, and returns when no connection is left.
func (f *forwarding) run(ctx context.Context, listeners []net.Listener, ports []forwardPort) error {
	f.places = make(chan struct{}, carriedMax)
	var accepting sync.WaitGroup
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	for i, l := range listeners {
		accepting.Go(func() { cancel(f.accept(ctx, l, ports[i])) })
	}
	<-ctx.Done()
	closeAll(listeners)
	accepting.Wait()
	f.carried.Wait()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// accept returns when the listener takes no more.
func (f *forwarding) accept(ctx context.Context, l net.Listener, p forwardPort) error {
	for {
		select {
		case f.places <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		local, err := l.Accept()
		if err != nil {
			<-f.places
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return err
		}
		f.carried.Go(func() {
			defer func() { <-f.places }()
			f.tell(ctx, f.carry(ctx, local.(*net.TCPConn), p))
		})
	}
}

// tell tells why a connection ended too early. After ctx's end it is known.
func (f *forwarding) tell(ctx context.Context, err error) {
	if err == nil || ctx.Err() != nil {
		return
	}
	f.telling.Lock()
	defer f.telling.Unlock()
	f.app.report(withForwardHint(err))
}

// carry carries one connection to its end. What isn't the target's own end resets local: a
// program must not take it for one.
func (f *forwarding) carry(ctx context.Context, local *net.TCPConn, p forwardPort) error {
	remote, err := f.client.Forward(ctx, f.workspace, p.host, p.port)
	if err != nil {
		reset(local)
		return err
	}
	stop := context.AfterFunc(ctx, func() {
		reset(local)
		_ = remote.Close()
	})
	defer stop()
	var up sync.WaitGroup
	up.Go(func() { _ = carryUp(remote, local) })
	from, to := copyBytes(local, remote)
	if from == nil && to == nil {
		_ = local.CloseWrite() // it can only have gone, and then it has all that it wanted
		<-remote.Done()
	}
	if to != nil { // whoever connected here has gone
		_ = remote.Close()
	}
	end := remote.Err()
	if end != nil {
		reset(local)
	}
	_ = local.Close()
	up.Wait()
	_ = remote.Close()
	if errors.Is(end, net.ErrClosed) {
		return nil
	}
	return end
}

// carryUp copies to the target until from ends, and tells it so. Where from fails, it closes
// remote, and returns the failure; what is wrong with remote, its reader meets.
func carryUp(remote *client.ForwardConn, from io.Reader) error {
	failed, to := copyBytes(remote, from)
	switch {
	case failed != nil:
		_ = remote.Close()
	case to == nil:
		_ = remote.CloseWrite()
	}
	return failed
}

// copyBytes copies until from ends. It tells whose error ended it before that.
func copyBytes(to io.Writer, from io.Reader) (errFrom, errTo error) {
	buffer := make([]byte, carryBytes)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return nil, err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil, nil
		case err != nil:
			return err, nil
		}
	}
}

// carryStdio carries a connection between the target and stdin and stdout, and closes it.
// Stdout ends with the target's direction: ssh waits for that before it closes stdin.
func (a *app) carryStdio(ctx context.Context, remote *client.ForwardConn) error {
	defer func() { _ = remote.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = remote.Close() })
	defer stop()
	failed := make(chan error, 1)
	go func() { failed <- carryUp(remote, a.Stdin) }() // a Read of stdin may be left behind
	from, to := copyBytes(a.out, remote)
	if to != nil {
		return to
	}
	if stdout, ok := a.Stdout.(io.Closer); ok && from == nil {
		_ = stdout.Close()
	}
	<-remote.Done()
	switch end := remote.Err(); {
	case ctx.Err() != nil:
		return ctx.Err()
	case end == nil:
		return remote.Close()
	case errors.Is(end, net.ErrClosed):
		return fmt.Errorf("read stdin: %w", <-failed)
	default:
		return withForwardHint(end)
	}
}

// reset closes a connection in a way that its other end takes for no end.
func reset(conn *net.TCPConn) {
	_ = conn.SetLinger(0)
	_ = conn.Close()
}
