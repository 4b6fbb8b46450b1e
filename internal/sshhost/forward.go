package sshhost

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
)

const (
	// forwardsMax bounds the forwards of one connection: each holds a descriptor and two
	// buffers.
	forwardsMax = 4096
	// forwardDialTime is how long a target may take to take a connection.
	forwardDialTime = 10 * time.Second
	// forwardPieceBytes is what a forward holds of each direction.
	forwardPieceBytes = 32 << 10
)

// forward connects to where a direct-tcpip channel (RFC 4254, section 7.2) wants to go, as a
// program of the account would, and carries what comes and goes; or refuses the channel, in
// the words of OpenSSH.
func (c *connection) forward(channel ssh.NewChannel) {
	var target struct {
		Host       string
		Port       uint32
		OriginHost string
		OriginPort uint32
	}
	if err := ssh.Unmarshal(channel.ExtraData(), &target); err != nil || target.Port > 65535 {
		_ = channel.Reject(ssh.ConnectionFailed, "Invalid target") // a connection that has gone needs no answer
		return
	}
	select {
	case c.forwards <- struct{}{}:
	default:
		_ = channel.Reject(ssh.ResourceShortage, "too many forwards")
		return
	}
	c.sessions.Go(func() {
		defer func() { <-c.forwards }()
		dialer := net.Dialer{Timeout: forwardDialTime}
		conn, err := dialer.DialContext(c.life, "tcp", net.JoinHostPort(target.Host, strconv.Itoa(int(target.Port))))
		if err != nil {
			_ = channel.Reject(ssh.ConnectionFailed, dialFault(err))
			return
		}
		defer conn.Close()
		if ch, requests, err := channel.Accept(); err == nil {
			c.carry(ch, requests, conn.(*net.TCPConn))
		}
	})
}

// dialFault is a failed dial in OpenSSH's words: programs tell its reasons apart by them.
func dialFault(err error) string {
	var unknown *net.DNSError
	var fault syscall.Errno
	switch {
	case errors.As(err, &unknown):
		return "Name or service not known"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "Connection refused"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT):
		return "Connection timed out"
	case errors.As(err, &fault):
		return fault.Error()
	}
	return "Connect failed"
}

// carry copies both ways until both have ended, or one has failed. A direction that ends is
// ended on the other side, and that alone. A channel that the client closes takes nothing more,
// but what it has sent still goes to the target, for as long as the connection lasts.
func (c *connection) carry(ch ssh.Channel, requests <-chan *ssh.Request, conn *net.TCPConn) {
	up := make(chan struct{})
	defer context.AfterFunc(c.life, func() { _ = conn.Close() })()
	c.sessions.Go(func() {
		ssh.DiscardRequests(requests) // until the channel is closed
		_ = conn.CloseRead()
	})
	c.sessions.Go(func() {
		defer close(up)
		_, err := io.CopyBuffer(struct{ io.Writer }{conn}, struct{ io.Reader }{ch}, make([]byte, forwardPieceBytes))
		if err == nil {
			err = conn.CloseWrite()
		}
		if err != nil {
			_ = conn.Close() // so that the other direction ends
		}
	})
	_, err := io.CopyBuffer(struct{ io.Writer }{ch}, struct{ io.Reader }{conn}, make([]byte, forwardPieceBytes))
	if err == nil {
		err = ch.CloseWrite()
	}
	if err != nil {
		_ = ch.Close()
		_ = conn.Close()
	}
	<-up
	_ = ch.Close() // the end, unless it has ended already
}
