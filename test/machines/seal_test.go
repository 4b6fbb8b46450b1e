//go:build linux

package machines

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/crypto/ssh"

	"sallyport/client"
	"sallyport/client/sallyport"
	"sallyport/internal/keys"
	"sallyport/test/sshd"
	"sallyport/test/stack"
)

// A stored private key is sealed anew with the first key of the seal file, so that the
// line of the one before can go.
func TestSealChanged(t *testing.T) {
	dir, seal := t.TempDir(), filepath.Join(t.TempDir(), "seal")
	first, second := keys.NewSeal(), keys.NewSeal()
	start := func(texts ...[]byte) *stack.Stack {
		if err := os.WriteFile(seal, bytes.Join(texts, nil), 0o600); err != nil {
			t.Fatal(err)
		}
		return stack.Start(t, stack.Options{DataDir: dir, Env: map[string]string{"SALLYPORT_KEYS_SEAL_FILE": seal}})
	}
	s := start(first)
	m := newMachine(t, s, sshd.Options{})
	private, public := newKey(t)
	m.sshd.Authorize(t, public)
	m.name += "-key"
	c := m.connector(t, m.sshd.Addr)
	c.Auth = &sallyport.ConnectorAuth{Type: sallyport.AuthKey, PrivateKey: private}
	m.create(t, c)

	again := func(texts ...[]byte) *machine {
		if err := m.Stop(); err != nil {
			t.Fatal(err)
		}
		next := *m
		next.Stack = start(texts...)
		next.client = client.New(next.URL, next.Token)
		t.Cleanup(next.client.Close)
		return &next
	}
	for _, texts := range [][][]byte{{first}, {second, first}, {second}} {
		m = again(texts...)
		if out, err := m.exec(t.Context(), client.Exec{Cmd: []string{"true"}}); err != nil || out.ExitCode != 0 {
			t.Fatalf("with %d keys: %+v, %s", len(texts), out, quote(err))
		}
	}
}

// newKey is a private key as ssh-keygen writes it, and its public part.
func newKey(t testing.TB) (text string, public ssh.PublicKey) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(block)), signer.PublicKey()
}
