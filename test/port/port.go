// Package port finds ports for servers that tests stop and start again.
package port

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports below those that Linux gives to outgoing connections (ip_local_port_range): one of
// those could take a server's port while it is stopped.
const (
	first = 10_000
	last  = 32_767
)

// Free returns a TCP port of 127.0.0.1 on which nobody listens. Two calls may return the same
// one as long as nobody does.
func Free() (int, error) {
	for range 100 {
		port := first + rand.IntN(last-first+1)
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue // somebody listens
		}
		return port, listener.Close()
	}
	return 0, errors.New("port: none of a hundred is free")
}

// FreeAddr returns 127.0.0.1 and a port that is free as Free's.
func FreeAddr() (string, error) {
	port, err := Free()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), err
}
