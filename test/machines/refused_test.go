//go:build linux

package machines

import (
	"errors"
	"os"
	"strings"
	"testing"

	"sallyport/client"
	"sallyport/client/sallyport"
	"sallyport/test/sshd"
	"sallyport/test/stack"
)

// An sshd that can't fork refuses to start a command: that is told at once, as what it is,
// and nothing is taken to have started. Its key is free.
func TestMachineThatCanNotFork(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root's sshd has a user whose processes can be bounded apart from the test's")
	}
	s := stack.Start(t, stack.Options{})
	m := newMachine(t, s, sshd.Options{})
	m.sshd.LimitProcesses(t, 1)
	for _, e := range []client.Exec{
		{Cmd: []string{"true"}, IdempotencyKey: "k"},
		{Cmd: []string{"cat"}, Stdin: strings.NewReader("in"), IdempotencyKey: "k"},
	} {
		_, err := m.exec(t.Context(), e)
		known, _ := errors.AsType[*sallyport.Error](err)
		if known == nil || known.Code != sallyport.CodeTooManyExecs || known.Reason != sallyport.ReasonCapacity || known.Started != nil && *known.Started {
			t.Errorf("got %s", quote(err))
		}
		if row := m.row(t); row.Status != sallyport.StatusError || row.Code != sallyport.CodeTooManyExecs || row.SurvivorsUnknown || row.DurationMS != nil {
			t.Errorf("row %+v", row)
		}
	}
	m.sshd.LimitProcesses(t, 0)
	m.sshd.KillConnections()
	m.await(t, sallyport.StateNone)
	if out, err := m.exec(t.Context(), client.Exec{Cmd: []string{"true"}, IdempotencyKey: "k"}); err != nil || out.ExitCode != 0 {
		t.Errorf("afterwards: %v", err)
	}
}
