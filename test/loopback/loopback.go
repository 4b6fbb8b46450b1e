// Package loopback has addresses of 127.0.0.1 for tests: ports for servers that are stopped and
// started again, and servers of a few lines.
package loopback

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"
)

// Ports below those that Linux gives to outgoing connections (ip_local_port_range): one of
// those could take a server's port while it is stopped.
const (
	first = 10_000
	last  = 32_767
)

// FreePort returns a TCP port on which nobody listens. Two calls may return the same one as
// long as nobody does.
func FreePort() (int, error) {
	for range 100 {
		port := first + rand.IntN(last-first+1)
		listener, err := net.Listen("tcp", address(port))
		if err != nil {
			continue // somebody listens
		}
		return port, listener.Close()
	}
	return 0, errors.New("loopback: none of a hundred ports is free")
}

// FreeAddr returns 127.0.0.1 and a port that is free as FreePort's.
func FreeAddr() (string, error) {
	port, err := FreePort()
	return address(port), err
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// Serve calls serve with each connection to the address that it returns, and closes the connection
// when serve returns, or when the test ends.
func Serve(t testing.TB, serve func(*net.TCPConn)) *net.TCPAddr {
	t.Helper()
	listener, err := net.Listen("tcp", address(0))
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close()
				defer context.AfterFunc(ctx, func() { conn.Close() })()
				serve(conn.(*net.TCPConn))
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		end()
		serving.Wait()
	})
	return listener.Addr().(*net.TCPAddr)
}
