package sshhost

import (
	"context"
	"net"
	"testing"

	"sallyport/test/loopback"
)

// A target that takes no connection keeps nobody: the host gives it up with its client's
// connection, before another does that has begun earlier and waits as long.
func TestSilentTarget(t *testing.T) {
	target := loopback.Silent(t).String()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	gaveUp := make(chan error, 1)
	eventuallyConnects(t, "the other", func() {
		go func() {
			dialer := net.Dialer{Timeout: forwardDialTime}
			_, err := dialer.DialContext(ctx, "tcp", target)
			gaveUp <- err
		}()
	})
	t.Run("host", func(t *testing.T) { // which has ended when this returns
		client := newBench(t).dial(t)
		asked := make(chan error, 1)
		eventuallyConnects(t, "the host", func() {
			go func() {
				_, err := client.Dial("tcp", target)
				asked <- err
			}()
		})
		client.Close()
		if err := <-asked; err == nil {
			t.Error("a forward over a connection that has ended")
		}
	})
	select {
	case err := <-gaveUp:
		t.Errorf("the other gave up first: %v", err)
	default:
		stop()
		<-gaveUp
	}
}

// eventuallyConnects waits until somebody has one connection more than before.
func eventuallyConnects(t *testing.T, who string, begin func()) {
	t.Helper()
	before := countDescriptors(t)
	begin()
	eventually(t, who+" to connect", func() bool { return countDescriptors(t) > before })
}
