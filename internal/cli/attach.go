package cli

import (
	"context"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"sallyport/client"
	"sallyport/client/sallyport"
)

// attachName is the command's name.
const attachName = "attach"

func (a *app) newAttach() *cobra.Command {
	t := &attachRun{app: a}
	cmd := &cobra.Command{
		Use:   attachName + " WORKSPACE EXEC",
		Short: "Follow a detached exec to its end, with its exit code",
		Long: `Shows what is kept of the output of an exec that exec --detach has started, and goes on
with what it writes until it ends, stdout to stdout and stderr to stderr. The exit code is the
command's, as that of exec is. EXEC is an id, or the beginning of one.

The first Ctrl-C is the command's: it is sent INT, and attach goes on. The second leaves, and
so does the first with --no-signal, or SIGTERM: the command goes on, and attach comes back to it.

A connection that is cut is made again for a minute, and no byte is lost or comes twice.`,
		Example: `  id=$(sallyport exec -d build make all) && sallyport attach build $id
  sallyport attach --no-signal build 0198c9a4-9d10`,
		Args: takes("WORKSPACE", "EXEC"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return t.run(cmd.Context(), args[0], args[1])
		},
		ValidArgsFunction: a.completeExecs(func(r sallyport.Activity) bool {
			return r.Detached && r.Status == sallyport.StatusRunning
		}),
	}
	cmd.Flags().BoolVar(&t.noSignal, "no-signal", false, "leave at the first Ctrl-C, and send the command nothing")
	cmd.Flags().BoolVarP(&a.quiet, "quiet", "q", false, "write no warnings and notes to stderr, errors alone")
	return cmd
}

// attachSignalTime bounds the sending of a signal.
const attachSignalTime = 30 * time.Second

// attachRun is one call of attach.
type attachRun struct {
	*app
	noSignal bool
}

func (t *attachRun) run(ctx context.Context, workspace, exec string) error {
	t.watch.patience.Store(2)
	c, err := t.newClient(false)
	if err != nil {
		return err
	}
	defer c.Close()
	o := &outputCopy{app: t.app, options: client.OutputOptions{Follow: true}}
	if o.workspace, o.execID, err = t.findExec(ctx, c, workspace, exec); err != nil {
		return err
	}
	// The first Ctrl-C, which ends ctx, doesn't end the reading.
	reading, leave := context.WithCancel(context.WithoutCancel(ctx))
	defer leave()
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		t.awaitLeave(ctx, reading, c, o)
		leave()
	}()
	last, err := o.run(reading, c)
	left := reading.Err() != nil
	leave()
	<-watched
	switch {
	case err != nil && left:
		t.note("exec %s goes on; come back to it: sallyport attach %s %s", o.execID, workspace, o.execID)
		return exitCode(t.watch.exitCode())
	case err != nil:
		return err
	}
	return t.endOfOutput(o.workspace, o.execID, last)
}

// awaitLeave returns when the reading is to end, or has. It sends the command the first Ctrl-C.
func (t *attachRun) awaitLeave(ctx, reading context.Context, c *client.Client, o *outputCopy) {
	select {
	case <-reading.Done():
		return
	case <-ctx.Done():
	}
	if t.noSignal || t.watch.last.Load() != int32(syscall.SIGINT) {
		return
	}
	sending, cancel := context.WithTimeout(reading, attachSignalTime)
	defer cancel()
	sent := make(chan error, 1)
	go func() { sent <- c.SignalExec(sending, o.workspace, o.execID, "INT") }()
	for {
		select {
		case <-reading.Done():
		case <-t.watch.interrupt:
		case err := <-sent:
			if err != nil && reading.Err() == nil && sallyport.CodeOf(err) != sallyport.CodeNotRunning {
				t.warn("INT could not be sent: %v", err)
			} else if err == nil {
				t.note("INT sent to exec %s; Ctrl-C again leaves it", o.execID)
			}
			sent = nil
			continue
		}
		return
	}
}
