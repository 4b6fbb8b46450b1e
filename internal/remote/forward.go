package remote

import (
	"context"
	"errors"
	"io"
	"sync/atomic"

	"sallyport/client/sallyport"
	"sallyport/internal/limits"
	"sallyport/internal/sshpool"
)

// ForwardCaller is the caller's side of a forward. Read returns io.EOF when the caller has
// ended its direction, and any other error when it has gone.
type ForwardCaller interface {
	io.ReadWriter
	// CloseWrite tells the caller that nothing comes any more. It is called once.
	CloseWrite() error
	// AwaitGone waits, after Read has returned io.EOF, until the caller has gone, and returns
	// how.
	AwaitGone() error
	// Lost is closed when the caller has gone, also where nobody reads: its input is held back.
	Lost() <-chan struct{}
}

// Carried counts the bytes of a forward. It is safe for concurrent use.
type Carried struct {
	// Input went to the target, Output came from it.
	Input, Output atomic.Int64
}

// Forward carries what comes and goes between a caller and the target of ch, pieces of
// limits.ForwardPieceBytes at a time, until both directions have ended, which is nil, or one
// has failed, or ctx has ended: its cause. What still waits for the machine or the caller then
// ends with the channel and the caller, which Forward's own caller closes.
func Forward(ctx context.Context, ch *sshpool.Channel, caller ForwardCaller, n *Carried) error {
	input, output, gone := make(chan error, 1), make(chan error, 1), make(chan error, 1)
	over := make(chan struct{})
	defer close(over)
	ch.Go(func() {
		err := forwardInput(ch, caller, n)
		input <- err
		if err == nil {
			gone <- caller.AwaitGone()
		}
	})
	ch.Go(func() { output <- forwardOutput(ch, caller, n, over) })
	for ended := 0; ended < 2; {
		var err error
		select {
		case err = <-input:
			ended++
		case err = <-output:
			ended++
		case err = <-gone:
		case <-caller.Lost():
			err = sallyport.Errorf(sallyport.CodeCanceled, "the caller has gone")
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// forwardInput copies to the target until the caller's direction ends.
func forwardInput(ch *sshpool.Channel, caller io.Reader, n *Carried) error {
	piece := make([]byte, limits.ForwardPieceBytes)
	for {
		got, err := caller.Read(piece)
		if got > 0 {
			if _, err := ch.Write(piece[:got]); err != nil {
				return broke(err)
			}
			n.Input.Add(int64(got))
		}
		switch {
		case errors.Is(err, io.EOF):
			if err := ch.CloseWrite(); err != nil {
				return broke(err)
			}
			return nil
		case err != nil:
			return err
		}
	}
}

// errOver is the end of a direction by that of the forward.
var errOver = errors.New("the forward is over")

// forwardOutput copies to the caller until the target's direction ends. An end that is seen
// when the forward is over is that of the channel, and none of the target's.
func forwardOutput(ch *sshpool.Channel, caller ForwardCaller, n *Carried, over <-chan struct{}) error {
	piece := make([]byte, limits.ForwardPieceBytes)
	for {
		got, err := ch.Read(piece)
		if got > 0 {
			if _, err := caller.Write(piece[:got]); err != nil {
				return err
			}
			n.Output.Add(int64(got))
		}
		switch {
		case err != nil && (!errors.Is(err, io.EOF) || ch.Broken()):
			return broke(err)
		case err != nil && isClosed(over):
			return errOver
		case err != nil:
			return caller.CloseWrite()
		}
	}
}

// broke is what the caller is told when the machine takes or gives no more.
func broke(cause error) error {
	return sallyport.Errorf(sallyport.CodeExecTransport, "the connection to the machine, or to the target, broke").WithStarted(true).Because(cause)
}
