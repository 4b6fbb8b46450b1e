package sshpool

import (
	"crypto/ed25519"
	"crypto/rand"
	"net"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
)

// What is reached into the SSH library for has the names and types that drain.go
// takes it to have. When this fails after an upgrade, look whether the library still
// leaves goroutines behind (TestHostileAfterLogin without drain.go tells).
func TestLibraryIsAsExpected(t *testing.T) {
	t.Parallel()
	client := loopback(t)
	in := internalsOf(client)
	if in.incoming == nil {
		t.Error("the queue between reader and multiplexer has moved")
	}
	if in.channelsMu == nil || in.channelsClosed == nil {
		t.Fatal("the end of the channels has moved")
	}
	if in.hasEnded() {
		t.Error("a connection that lives is said to have ended")
	}
	ch, reqs, err := client.OpenChannel("session", nil)
	if err != nil {
		t.Fatal(err)
	}
	go ssh.DiscardRequests(reqs)
	in.end(client)
	if _, err := ch.Read(make([]byte, 1)); err == nil || !in.hasEnded() {
		t.Errorf("a stream ended (%v) before its connection is known to have", err)
	}
	if client.Wait() == nil {
		t.Error("the connection ended well")
	}
	if _, _, err := client.OpenChannel("session", nil); err == nil {
		t.Error("a channel came to be on a connection that has ended")
	}
}

// loopback is a client of an SSH server that grants every session.
func loopback(t *testing.T) ssh.Conn {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	t.Cleanup(served.Wait)
	served.Go(func() {
		defer listener.Close()
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		config := &ssh.ServerConfig{NoClientAuth: true}
		config.AddHostKey(signer)
		_, chans, reqs, err := ssh.NewServerConn(conn, config)
		if err != nil {
			return
		}
		served.Go(func() { ssh.DiscardRequests(reqs) })
		for ch := range chans {
			if _, reqs, err := ch.Accept(); err == nil {
				served.Go(func() { ssh.DiscardRequests(reqs) })
			}
		}
	})
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	client, chans, reqs, err := ssh.NewClientConn(conn, "", &ssh.ClientConfig{HostKeyCallback: ssh.FixedHostKey(signer.PublicKey())})
	if err != nil {
		t.Fatal(err)
	}
	served.Go(func() { ssh.DiscardRequests(reqs) })
	served.Go(func() { discardChannels(chans) })
	return client
}
