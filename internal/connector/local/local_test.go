package local

import (
	"context"
	"net"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"

	"sallyport/internal/connector"
	"sallyport/internal/connector/connectortest"
	_ "sallyport/test/apart"
)

func open(t *testing.T) *Connector {
	t.Helper()
	c, err := New(Config{User: "worker", Home: "/", Shell: "/bin/sh"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestConnector(t *testing.T) {
	connectortest.Run(t, func(t *testing.T) connectortest.Fixture {
		c, deaf := open(t), open(t)
		ended := make(chan struct{})
		deaf.serve = func(_ context.Context, conn net.Conn) {
			<-ended
			conn.Close()
		}
		t.Cleanup(sync.OnceFunc(func() { close(ended) }))
		return connectortest.Fixture{
			Dial:    connectortest.To(c, connector.Target{}),
			HostKey: c.host.HostKey(),
			Deaf:    connectortest.To(deaf, connector.Target{}),
		}
	})
}

// TestCommand runs one, as whom the link says.
func TestCommand(t *testing.T) {
	link, err := open(t).Dial(t.Context(), connector.Target{})
	if err != nil {
		t.Fatal(err)
	}
	client, err := login(t, link)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	out, err := session.Output("echo $USER in $PWD")
	if string(out) != "worker in /\n" || err != nil {
		t.Errorf("%q, %v", out, err)
	}
}

// TestClose ends links and commands, and dialling.
func TestClose(t *testing.T) {
	c := open(t)
	link, err := c.Dial(t.Context(), connector.Target{})
	if err != nil {
		t.Fatal(err)
	}
	client, err := login(t, link)
	if err != nil {
		t.Fatal(err)
	}
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if err := session.Start("exec sleep 1000"); err != nil {
		t.Fatal(err)
	}
	var closers sync.WaitGroup
	for range 3 {
		closers.Go(func() { c.Close() })
	}
	closers.Wait()
	if err := session.Wait(); err == nil {
		t.Error("the command ended well")
	}
	if link, err := c.Dial(t.Context(), connector.Target{}); err == nil {
		t.Error("a closed connector dialled")
		link.Conn.Close()
	}
}

// TestOtherKey: a connector's host lets in its own key alone.
func TestOtherKey(t *testing.T) {
	a, b := open(t), open(t)
	link, err := a.Dial(t.Context(), connector.Target{})
	if err != nil {
		t.Fatal(err)
	}
	link.Signers = b.signers
	if _, err := login(t, link); err == nil {
		t.Error("the key of another was accepted")
	}
}

func login(t *testing.T, link *connector.Link) (*ssh.Client, error) {
	t.Helper()
	signers, err := link.Signers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	conn, channels, requests, err := ssh.NewClientConn(link.Conn, "local", &ssh.ClientConfig{
		User:            link.User,
		Auth:            []ssh.AuthMethod{ssh.PublicKeys(signers...)},
		HostKeyCallback: ssh.FixedHostKey(link.HostKey),
	})
	if err != nil {
		return nil, err
	}
	return ssh.NewClient(conn, channels, requests), nil
}
