package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sallyport/client/sallyport"
)

// Tries to take a connection up again.
const (
	resumeWaitMin = 100 * time.Millisecond
	resumeWaitMax = 2 * time.Second
	// resumeTryTime is how long one may take.
	resumeTryTime = 10 * time.Second
)

// resume takes the terminal up again, until its time is over or the server says that it is
// over.
func (t *Terminal) resume(lost *terminalLost) (*terminalConn, error) {
	ctx, cancel := context.WithTimeout(t.lasting, t.resumes)
	defer cancel()
	for wait := resumeWaitMin; ; wait = min(2*wait, resumeWaitMax) {
		conn, err := t.tryResume(ctx)
		if err == nil || ctx.Err() == nil && refusesForGood(err) {
			return conn, err
		}
		again := time.NewTimer(wait)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return nil, lost
		}
	}
}

// refusesForGood tells whether a server that refuses to resume would refuse again.
func refusesForGood(err error) bool {
	switch sallyport.CodeOf(err) {
	case "", sallyport.CodePlatformUnavailable, sallyport.CodeDraining, sallyport.CodeRateLimited, sallyport.CodeInternal:
		return errors.Is(err, errTerminalGap)
	}
	return true
}

// errTerminalGap: the two ends no longer have all that the other lacks.
var errTerminalGap = errors.New("the terminal can't be taken up again without a gap")

func (t *Terminal) tryResume(ctx context.Context) (*terminalConn, error) {
	ctx, cancel := context.WithTimeout(ctx, resumeTryTime)
	defer cancel()
	t.mu.Lock()
	arrived, cols, rows := t.arrived, t.cols, t.rows
	t.mu.Unlock()
	frame := sallyport.TerminalResume{Type: sallyport.FrameResume, ID: t.Started.ID, Received: &arrived, Cols: cols, Rows: rows}
	var resumed sallyport.TerminalResumed
	conn, err := t.client.openTerminal(ctx, t.lasting, t.call, frame, sallyport.FrameResumed, &resumed)
	if err != nil {
		return nil, err
	}
	if resumed.From != arrived || !t.input.rewind(resumed.InputReceived) {
		conn.close()
		return nil, cutBy(fmt.Errorf("%w: of the output it has all from byte %d, of the input all up to %d", errTerminalGap, resumed.From, resumed.InputReceived))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	// The server counts what has arrived as acked, and an ack is never less than one before.
	t.conn, t.acked = conn, arrived
	return conn, nil
}
