package sshhost

import (
	"context"
	"net"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

const (
	// handshakeTimeMax ends connections that do not log in. sshd gives a person
	// two minutes for a password; here only keys are asked for.
	handshakeTimeMax = 10 * time.Second
	// sessionsMax bounds the sessions of one connection: each may hold some
	// 100 KiB of buffers, and 2 MiB of input that its command does not read.
	sessionsMax = 512
)

// connection is one client's.
type connection struct {
	host     *Host
	conn     net.Conn
	slots    chan struct{}   // one for each session
	forwards chan struct{}   // one for each forward
	life     context.Context // ends when no more can be sent or received
	sessions sync.WaitGroup

	// openSSH: the client is OpenSSH's and knows eow@openssh.com. Set before
	// the first session.
	openSSH bool
}

func newConnection(h *Host, conn net.Conn) *connection {
	return &connection{
		host:     h,
		conn:     conn,
		slots:    make(chan struct{}, sessionsMax),
		forwards: make(chan struct{}, forwardsMax),
	}
}

// serve returns when the connection has ended and its sessions with it, which it does at ctx's
// end at the latest. The caller closes the net.Conn.
func (c *connection) serve(ctx context.Context) {
	defer context.AfterFunc(ctx, func() { c.conn.Close() })()
	var end context.CancelFunc
	c.life, end = context.WithCancel(ctx)
	defer end()
	conn, channels, requests, err := c.handshake()
	if err != nil {
		c.host.log.Info("ssh host: login failed", "error", err)
		return
	}
	c.openSSH = strings.Contains(string(conn.ClientVersion()), "OpenSSH")

	// Keepalives and requests to forward ports: answered false, as by sshd.
	c.sessions.Go(func() { ssh.DiscardRequests(requests) })
	for channel := range channels {
		c.open(channel)
	}
	end()
	c.sessions.Wait()
}

// handshake logs the client in; a timer that closes the connection bounds it,
// since deadlines are not promised by every net.Conn.
func (c *connection) handshake() (*ssh.ServerConn, <-chan ssh.NewChannel, <-chan *ssh.Request, error) {
	timer := time.AfterFunc(handshakeTimeMax, func() { c.conn.Close() })
	defer timer.Stop()
	return ssh.NewServerConn(c.conn, c.host.config)
}

// open starts a session or a forward, or refuses the channel.
func (c *connection) open(channel ssh.NewChannel) {
	switch channel.ChannelType() {
	case "session":
	case "direct-tcpip":
		c.forward(channel)
		return
	case "direct-streamlocal@openssh.com":
		channel.Reject(ssh.Prohibited, "forwarding is off")
		return
	default:
		channel.Reject(ssh.UnknownChannelType, "only sessions are served")
		return
	}
	select {
	case c.slots <- struct{}{}:
	default:
		channel.Reject(ssh.ResourceShortage, "too many sessions")
		return
	}
	c.sessions.Go(func() {
		defer func() { <-c.slots }()
		if ch, requests, err := channel.Accept(); err == nil {
			s := &session{host: c.host, channel: ch, openSSH: c.openSSH, ended: c.life.Done()}
			s.serve(requests)
		}
	})
}
