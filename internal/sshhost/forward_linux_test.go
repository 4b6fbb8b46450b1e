package sshhost

import (
	"context"
	"net"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// A target that takes no connection keeps nobody: the host gives it up with its client's
// connection, before another does that has begun earlier and waits as long.
func TestSilentTarget(t *testing.T) {
	target := silent(t)
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

// silent is an address of loopback where nobody answers: somebody listens, whose queue is full.
func silent(t *testing.T) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	loopback := [4]byte{127, 0, 0, 1}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: loopback}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	at, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	for range 4 { // more than the queue takes
		waiting, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(waiting) })
		if err := unix.Connect(waiting, at); err != nil && err != unix.EINPROGRESS {
			t.Fatal(err)
		}
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(at.(*unix.SockaddrInet4).Port))
}
