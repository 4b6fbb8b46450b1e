package ssh_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"net"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	cryptossh "golang.org/x/crypto/ssh"

	"sallyport/client/sallyport"
	"sallyport/internal/connector"
	"sallyport/internal/connector/connectortest"
	"sallyport/internal/connector/ssh"
	"sallyport/internal/keys"
	"sallyport/test/sshd"
)

// target is a workspace on a server.
func target(t testing.TB, addr, user string) connector.Target {
	t.Helper()
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return connector.Target{WorkspaceID: "w", Spec: sallyport.Connector{
		Type: sallyport.ConnectorSSH, Host: host, Port: port, User: user, TrustOnFirstUse: true,
	}}
}

// listen is a server that accepts and says nothing, or one that doesn't even accept.
func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// full is the address of a listener whose queue is full: the kernel answers nobody.
func full(t testing.TB) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := "127.0.0.1:" + strconv.Itoa(name.(*syscall.SockaddrInet4).Port)
	for {
		conn, err := net.DialTimeout("tcp", addr, 100*time.Millisecond)
		if err != nil {
			return addr
		}
		t.Cleanup(func() { conn.Close() })
	}
}

func TestConnector(t *testing.T) {
	connectortest.Run(t, func(t *testing.T) connectortest.Fixture {
		server, deaf := sshd.Start(t, sshd.Options{}), listen(t)
		c := &ssh.Connector{
			Rules: ssh.Rules{Loopback: true},
			Certify: func(context.Context, keys.Grant) ([]cryptossh.Signer, error) {
				return []cryptossh.Signer{server.Signer}, nil
			},
		}
		return connectortest.Fixture{
			Dial:    connectortest.To(c, target(t, server.Addr, server.User)),
			Stalled: connectortest.To(c, target(t, full(t), server.User)),
			Deaf:    connectortest.To(c, target(t, deaf.Addr().String(), server.User)),
			HostKey: server.HostKey,
		}
	})
}

// A stored key is opened for each login, and the connector says for whom.
func TestStoredKey(t *testing.T) {
	server := sshd.Start(t, sshd.Options{})
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := cryptossh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := cryptossh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	server.Authorize(t, signer.PublicKey())
	c := &ssh.Connector{Rules: ssh.Rules{Loopback: true}, OpenKey: func(workspaceID string, sealed []byte) ([]byte, error) {
		if workspaceID != "w" || string(sealed) != "sealed" {
			return nil, errors.New("another's key")
		}
		return pem.EncodeToMemory(block), nil
	}}
	to := target(t, server.Addr, server.User)
	to.Spec.Auth, to.SealedKey = &sallyport.ConnectorAuth{Type: sallyport.AuthKey}, []byte("sealed")
	for _, want := range []string{"", sallyport.ReasonKeyUnusable} {
		link, err := c.Dial(t.Context(), to)
		if err != nil {
			t.Fatal(err)
		}
		defer link.Conn.Close()
		signers, err := link.Signers(t.Context())
		wantReason(t, err, want)
		if err == nil && !bytes.Equal(signers[0].PublicKey().Marshal(), signer.PublicKey().Marshal()) {
			t.Error("another key")
		}
		to.WorkspaceID = "x"
	}
}

func wantReason(t *testing.T, err error, reason string) {
	t.Helper()
	var known *sallyport.Error
	if reason == "" && err == nil {
		return
	}
	if !errors.As(err, &known) || known.Code != sallyport.CodeConnectFailed || known.Reason != reason {
		t.Errorf("got %v, want reason %q", err, reason)
	}
}

// A name is judged by what it stands for when it is dialled, and what may not be
// dialled never is.
func TestForbidden(t *testing.T) {
	l := listen(t)
	accepted := make(chan struct{}, 10)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.Close()
			accepted <- struct{}{}
		}
	}()
	c := &ssh.Connector{}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	for _, host := range []string{"127.0.0.1", "localhost", "::ffff:127.0.0.1", "0.0.0.0", "::", "127.1"} {
		_, err := c.Dial(t.Context(), target(t, net.JoinHostPort(host, port), "u"))
		var known *sallyport.Error
		if !errors.As(err, &known) || known.Reason != sallyport.ReasonAddressForbidden && known.Reason != sallyport.ReasonNameNotFound {
			t.Errorf("%s: %v", host, err)
		}
	}
	_, err := c.Dial(t.Context(), target(t, "no-such-host.invalid:22", "u"))
	wantReason(t, err, sallyport.ReasonNameNotFound)
	l.Close()
	_, err = (&ssh.Connector{Rules: ssh.Rules{Loopback: true}}).Dial(t.Context(), target(t, l.Addr().String(), "u"))
	wantReason(t, err, sallyport.ReasonDialFailed)
	if len(accepted) != 0 {
		t.Error("a forbidden address was dialled")
	}
}

func TestCheck(t *testing.T) {
	key, _ := newPEM(t, nil)
	good := sallyport.Connector{Type: "ssh", Host: "build.example.com", User: "ubuntu", TrustOnFirstUse: true}
	withKey := good
	withKey.Auth = &sallyport.ConnectorAuth{Type: "key", PrivateKey: key}
	change := func(f func(*sallyport.Connector)) sallyport.Connector {
		spec := withKey
		auth := *withKey.Auth
		spec.Auth = &auth
		f(&spec)
		return spec
	}
	tests := []struct {
		name string
		spec sallyport.Connector
		says string // "" is nothing
	}{
		{"CA", good, ""},
		{"key", withKey, ""},
		{"address", change(func(c *sallyport.Connector) { c.Host = "2001:db8::1" }), ""},
		{"host key", change(func(c *sallyport.Connector) { c.TrustOnFirstUse, c.HostKey = false, hostKey+" comment" }), ""},
		{"no host", change(func(c *sallyport.Connector) { c.Host = "" }), "connector.host"},
		{"host with a port", change(func(c *sallyport.Connector) { c.Host = "a:22" }), "connector.host"},
		{"host in brackets", change(func(c *sallyport.Connector) { c.Host = "[::1]" }), "connector.host"},
		{"host like an option", change(func(c *sallyport.Connector) { c.Host = "-oProxyCommand=x" }), "connector.host"},
		{"host with a blank", change(func(c *sallyport.Connector) { c.Host = "a b" }), "connector.host"},
		{"long host", change(func(c *sallyport.Connector) { c.Host = strings.Repeat("a", 254) }), "connector.host"},
		{"port", change(func(c *sallyport.Connector) { c.Port = 65536 }), "connector.port"},
		{"no user", change(func(c *sallyport.Connector) { c.User = "" }), "connector.user"},
		{"user with a newline", change(func(c *sallyport.Connector) { c.User = "a\nb" }), "connector.user"},
		{"user like an option", change(func(c *sallyport.Connector) { c.User = "-l" }), "connector.user"},
		{"no host key", change(func(c *sallyport.Connector) { c.TrustOnFirstUse = false }), "connector.host_key is needed"},
		{"bad host key", change(func(c *sallyport.Connector) { c.HostKey = "ssh-ed25519 AAAA" }), "connector.host_key"},
		{"two host keys", change(func(c *sallyport.Connector) { c.HostKey = hostKey + "\n" + hostKey }), "connector.host_key"},
		{"auth", change(func(c *sallyport.Connector) { c.Auth.Type = "password" }), "connector.auth.type"},
		{"CA with a key", change(func(c *sallyport.Connector) { c.Auth.Type = "ca" }), "private_key goes with"},
		{"no key", change(func(c *sallyport.Connector) { c.Auth.PrivateKey = "" }), "private_key is needed"},
		{"no key at all", change(func(c *sallyport.Connector) { c.Auth.PrivateKey = "canary" }), "can't be read"},
		{"long key", change(func(c *sallyport.Connector) { c.Auth.PrivateKey = strings.Repeat("canary", 1<<20) }), "larger than"},
	}
	for _, tt := range tests {
		got, err := (&ssh.Connector{}).Check(tt.spec, false)
		switch {
		case tt.says == "" && err != nil, tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)):
			t.Errorf("%s: %v, want %q", tt.name, err, tt.says)
		case err != nil && strings.Contains(err.Error(), "canary"):
			t.Errorf("%s: the error shows the key", tt.name)
		case err == nil && (got.Auth == nil || strings.Contains(got.HostKey, "comment")):
			t.Errorf("%s: stored as %+v", tt.name, got)
		}
	}
	if _, err := (&ssh.Connector{}).Check(change(func(c *sallyport.Connector) { c.Auth.PrivateKey = "" }), true); err != nil {
		t.Errorf("a key that is stored: %v", err)
	}
}

const hostKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEKjzmQXC2pFoBhTmtbmuNMNx5rvL6g7fTEPjYWwA6lO"

// newPEM is a new key as ssh-keygen writes it.
func newPEM(t *testing.T, key any) (text string, raw any) {
	t.Helper()
	if key == nil {
		_, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		key = private
	}
	block, err := cryptossh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(block)), key
}

// Keys that are weak, or that nobody can open, are refused, and nothing of them shown.
func TestParseKey(t *testing.T) {
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	weak, _ := newPEM(t, short)
	_, private, _ := ed25519.GenerateKey(rand.Reader)
	locked, err := cryptossh.MarshalPrivateKeyWithPassphrase(private, "", []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"1024 bits":          weak,
		"passphrase":         string(pem.EncodeToMemory(locked)),
		"nothing":            "",
		"a public key":       hostKey,
		"a certificate":      "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
		"half a key":         weak[:len(weak)/2],
		"PEM of nothing":     "-----BEGIN OPENSSH PRIVATE KEY-----\n-----END OPENSSH PRIVATE KEY-----\n",
		"something in a PEM": "-----BEGIN OPENSSH PRIVATE KEY-----\nY2FuYXJ5\n-----END OPENSSH PRIVATE KEY-----\n",
	} {
		if _, err := ssh.ParseKey([]byte(text)); err == nil || strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "Y2FuYXJ5") {
			t.Errorf("%s: %v", name, err)
		}
	}
	good, _ := newPEM(t, nil)
	if _, err := ssh.ParseKey([]byte(good)); err != nil {
		t.Errorf("a good key: %v", err)
	}
}
