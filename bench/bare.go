package main

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"

	"golang.org/x/crypto/ssh"

	"sallyport/internal/connector"
	"sallyport/internal/connector/local"
)

// bare is the base: plain sessions of x/crypto/ssh, on connections that are warm.
type bare struct {
	host    *local.Connector
	clients []*ssh.Client
	next    atomic.Int64
}

// bareConnections is as many connections as 32 sessions take of the pool.
const bareConnections = 7

func newBare(ctx context.Context) (*bare, error) {
	host, err := local.New(local.Config{})
	if err != nil {
		return nil, err
	}
	b := &bare{host: host}
	for range bareConnections {
		client, err := dialBare(ctx, host)
		if err != nil {
			b.close()
			return nil, err
		}
		b.clients = append(b.clients, client)
	}
	return b, nil
}

func dialBare(ctx context.Context, host *local.Connector) (*ssh.Client, error) {
	link, err := host.Dial(ctx, connector.Target{})
	if err != nil {
		return nil, err
	}
	signers, err := link.Signers(ctx)
	if err != nil {
		return nil, err
	}
	conn, chans, reqs, err := ssh.NewClientConn(link.Conn, "", &ssh.ClientConfig{
		User: link.User, Auth: []ssh.AuthMethod{ssh.PublicKeys(signers...)}, HostKeyCallback: ssh.FixedHostKey(link.HostKey),
	})
	if err != nil {
		return nil, err
	}
	return ssh.NewClient(conn, chans, reqs), nil
}

// run runs a command line on the first connection, or with spread on the next
// one in turn, and sends its output to w.
func (b *bare) run(line string, w io.Writer, spread bool) error {
	client := b.clients[0]
	if spread {
		client = b.clients[b.next.Add(1)%bareConnections]
	}
	session, err := client.NewSession()
	if err != nil {
		return err
	}
	defer session.Close()
	session.Stdout = w
	if err := session.Run(line); err != nil {
		return fmt.Errorf("bare session: %w", err)
	}
	return nil
}

func (b *bare) close() {
	for _, c := range b.clients {
		c.Close()
	}
	_ = b.host.Close() // it always succeeds
}
