package gateway

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"sallyport/internal/id"
	"sallyport/internal/limits"
	"sallyport/internal/remote"
	"sallyport/internal/remote/detached"
	"sallyport/internal/store"
)

// detachedMachine runs the scripts of detached execs on a workspace's machine, each over a
// session of its own. It is a detached.Machine.
type detachedMachine struct {
	g  *Gateway
	by Caller
	ws store.Workspace
	// gate lets a script begin; nil is for what needs no row.
	gate func() error
	// sent tells that a script was sent, and may have done something.
	sent bool
}

// detachedOn are the detached execs of a workspace's machine, as one caller reaches them.
func (g *Gateway) detachedOn(by Caller, ws store.Workspace) detached.Execs {
	return detached.Execs{Machine: &detachedMachine{g: g, by: by, ws: ws}}
}

// Run implements detached.Machine. When ctx ends, the script does, and nothing that it has
// started by then.
func (m *detachedMachine) Run(ctx context.Context, argv []string, stdin io.Reader, stdout io.Writer) error {
	process, err := m.start(ctx, argv, stdout)
	if err != nil {
		return err
	}
	var feeding sync.WaitGroup
	defer feeding.Wait()
	feeding.Go(func() {
		in := process.Stdin()
		_, _ = io.Copy(in, stdin) // what isn't taken is told by how the script ends
		_ = in.Close()
	})
	outcome := process.Wait()
	closePipe(stdin)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case outcome.End == remote.Exited:
		return nil
	case outcome.End == remote.Canceled && outcome.Cause != nil:
		return outcome.Cause // that of the writer which failed
	}
	return lost(outcome.Cause)
}

// start starts a script, over another connection where one turns out to be broken before
// anything was sent.
func (m *detachedMachine) start(ctx context.Context, argv []string, stdout io.Writer) (remote.Process, error) {
	if err := hasHost(m.ws); err != nil { // it had one when the exec began
		return remote.Process{}, err
	}
	connectBy := time.Now().Add(m.g.ConnectTime)
	connectCtx, cancel := context.WithDeadline(ctx, connectBy)
	defer cancel()
	gate := m.gate
	if gate == nil {
		gate = func() error { return nil }
	}
	for attempt := 1; ; attempt++ {
		session, err := m.g.Pool.Open(connectCtx, target(m.ws), m.g.need(m.by, m.ws, "", 0))
		if err != nil {
			return remote.Process{}, fmt.Errorf("reach workspace %s: %w", m.ws.ID, err)
		}
		process, err := remote.Start(ctx, session, remote.Command{
			Argv: argv, OpenStdin: true, ExecID: id.New(), Timeout: limits.DetachedTimeout + limits.DetachedKeep, ConnectBy: connectBy,
			OutputGrace: limits.FileOutputGrace, Gate: gate, Stdout: stdout, Stderr: io.Discard, Started: func(remote.Process) { m.sent = true },
		})
		if err == nil || attempt == execAttempts || !remote.MayRetry(err) || connectCtx.Err() != nil {
			return process, err
		}
	}
}
