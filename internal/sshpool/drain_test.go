package sshpool

import (
	"crypto/ed25519"
	"crypto/rand"
	"net"
	"reflect"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
)

// What is reached into the SSH library for has the names and types that drain.go
// takes it to have. When this fails after an upgrade, look whether the library still
// leaves goroutines behind (TestHostileAfterLogin without drain.go tells).
func TestLibraryIsAsExpected(t *testing.T) {
	client := loopback(t)
	if queue := hidden(reflect.ValueOf(client), "transport", "incoming"); !queue.IsValid() || queue.Type() != reflect.TypeFor[chan []byte]() {
		t.Error("the queue between reader and multiplexer has moved")
	}
	list := hidden(reflect.ValueOf(client), "mux", "chanList")
	if mu := hidden(list, "Mutex"); !mu.IsValid() || mu.Type() != reflect.TypeFor[sync.Mutex]() {
		t.Error("the lock of the channels has moved")
	}
	if _, _, err := client.OpenChannel("session", nil); err != nil {
		t.Fatal(err)
	}
	chans := hidden(list, "chans")
	if !chans.IsValid() || chans.Kind() != reflect.Slice || chans.Len() != 1 {
		t.Fatal("the channels have moved")
	}
	if msg, ok := valueOf[chan any](hidden(chans.Index(0), "msg")); !ok || msg == nil {
		t.Error("what a channel waits on has moved")
	}
	end(client)
	if client.Wait() == nil {
		t.Error("the connection ended well")
	}
	freeOpens(client)
	if n := hidden(list, "chans").Len(); n != 0 {
		t.Errorf("%d channels are left", n)
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
