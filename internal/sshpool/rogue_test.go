package sshpool_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"math/big"
	"net"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"

	"sallyport/internal/connector"
)

// SSH message numbers (RFC 4250).
const (
	msgDisconnect       = 1
	msgIgnore           = 2
	msgServiceAccept    = 6
	msgKexInit          = 20
	msgNewKeys          = 21
	msgKexReply         = 31
	msgAuthFailure      = 51
	msgAuthSuccess      = 52
	msgAuthBanner       = 53
	msgGlobalRequest    = 80
	msgChannelOpen      = 90
	msgOpenConfirm      = 91
	msgWindowAdjust     = 93
	msgChannelData      = 94
	msgExtendedData     = 95
	msgChannelEOF       = 96
	msgChannelClose     = 97
	msgChannelRequest   = 98
	msgChannelSuccess   = 99
	msgChannelFailure   = 100
	msgRequestSuccess   = 81
	msgServiceRequest   = 5
	msgAuthRequest      = 50
	rogueVersion        = "SSH-2.0-Rogue"
	rogueCipher         = "aes128-gcm@openssh.com"
	rogueKex, rogueHost = "curve25519-sha256", "ssh-ed25519"
)

// rogue is an SSH server's end of a connection that says whatever it likes: its
// transport is right, up to the point that a test wants, and what is sent over it
// is the test's to choose.
type rogue struct {
	net.Conn
	r    *bufio.Reader
	host ssh.Signer

	clientVersion, session []byte
	seal, unseal           cipher.AEAD // nil until keys were exchanged
	sealIV, unsealIV       []byte
	mu                     sync.Mutex // guards writing
	held                   *bytes.Buffer
}

// hold keeps what is sent, until release sends it all at once.
func (g *rogue) hold() { g.held = &bytes.Buffer{} }

func (g *rogue) release() error {
	_, err := g.Conn.Write(g.held.Bytes())
	g.held = nil
	if err != nil {
		return err
	}
	return g.drain()
}

func (g *rogue) Write(p []byte) (int, error) {
	if g.held != nil {
		return g.held.Write(p)
	}
	return g.Conn.Write(p)
}

// rogueMachine serves every connection with act, whose error means nothing: the client has
// gone. The test ends when all have.
func rogueMachine(t testing.TB, act func(*rogue) error) (call, ssh.Signer) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host := newSigner(t)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				_ = act(&rogue{Conn: conn, r: bufio.NewReader(conn), host: host})
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		wg.Wait()
	})
	signer := newSigner(t)
	return newCall("rogue", func(ctx context.Context) (*connector.Link, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", listener.Addr().String())
		if err != nil {
			return nil, err
		}
		return &connector.Link{Conn: conn, User: "u", HostKey: host.PublicKey(),
			Signers: func(context.Context) ([]ssh.Signer, error) { return []ssh.Signer{signer}, nil }}, nil
	}), host
}

// greet exchanges the versions.
func (g *rogue) greet() error {
	if _, err := io.WriteString(g, rogueVersion+"\r\n"); err != nil {
		return err
	}
	line, err := g.r.ReadBytes('\n')
	g.clientVersion = bytes.TrimRight(line, "\r\n")
	return err
}

type kexInit struct {
	Cookie                                 [16]byte `sshtype:"20"`
	Kex, Host, CipherIn, CipherOut         []string
	MACIn, MACOut, CompressIn, CompressOut []string
	LangIn, LangOut                        []string
	First                                  bool
	Reserved                               uint32
}

func newKexInit() []byte {
	none, mac, aead := []string{"none"}, []string{"hmac-sha2-256"}, []string{rogueCipher}
	return ssh.Marshal(kexInit{Kex: []string{rogueKex}, Host: []string{rogueHost},
		CipherIn: aead, CipherOut: aead, MACIn: mac, MACOut: mac, CompressIn: none, CompressOut: none})
}

// exchange exchanges keys, the first time or again, with the key of host.
func (g *rogue) exchange(host ssh.Signer) error {
	ours := newKexInit()
	if err := g.send(ours); err != nil {
		return err
	}
	theirs, err := g.await(msgKexInit)
	if err != nil {
		return err
	}
	init, err := g.await(30)
	if err != nil {
		return err
	}
	var hello struct {
		Q []byte `sshtype:"30"`
	}
	if err := ssh.Unmarshal(init, &hello); err != nil {
		return err
	}
	private, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	public, err := ecdh.X25519().NewPublicKey(hello.Q)
	if err != nil {
		return err
	}
	secret, err := private.ECDH(public)
	if err != nil {
		return err
	}
	q, key := private.PublicKey().Bytes(), host.PublicKey().Marshal()
	k := ssh.Marshal(struct{ K *big.Int }{new(big.Int).SetBytes(secret)})
	h := sha256.New()
	for _, part := range [][]byte{g.clientVersion, []byte(rogueVersion), theirs, ours, key, hello.Q, q} {
		h.Write(ssh.Marshal(struct{ B []byte }{part}))
	}
	h.Write(k)
	hash := h.Sum(nil)
	signature, err := host.Sign(rand.Reader, hash)
	if err != nil {
		return err
	}
	if err := g.send(ssh.Marshal(struct {
		Key []byte `sshtype:"31"`
		Q   []byte
		Sig []byte
	}{key, q, ssh.Marshal(signature)})); err != nil {
		return err
	}
	if err := g.send([]byte{msgNewKeys}); err != nil {
		return err
	}
	if g.session == nil {
		g.session = hash
	}
	derive := func(letter byte, n int) []byte {
		sum := sha256.Sum256(bytes.Join([][]byte{k, hash, {letter}, g.session}, nil))
		return sum[:n]
	}
	g.mu.Lock()
	g.seal, g.sealIV = newGCM(derive('D', 16)), derive('B', 12)
	g.mu.Unlock()
	if _, err := g.await(msgNewKeys); err != nil {
		return err
	}
	g.unseal, g.unsealIV = newGCM(derive('C', 16)), derive('A', 12)
	return nil
}

func newGCM(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return aead
}

// login lets the client in, whoever it is.
func (g *rogue) login() error {
	if err := g.handshake(); err != nil {
		return err
	}
	if err := g.send(ssh.Marshal(struct {
		Service string `sshtype:"6"`
	}{"ssh-userauth"})); err != nil {
		return err
	}
	if _, err := g.await(msgAuthRequest); err != nil {
		return err
	}
	return g.send([]byte{msgAuthSuccess})
}

// handshake comes to the point at which the client asks to be let in.
func (g *rogue) handshake() error {
	if err := g.greet(); err != nil {
		return err
	}
	if err := g.exchange(g.host); err != nil {
		return err
	}
	_, err := g.await(msgServiceRequest)
	return err
}

// confirm waits until the client opens a session, grants it, and returns the
// client's number of it.
func (g *rogue) confirm() (uint32, error) {
	packet, err := g.await(msgChannelOpen)
	if err != nil {
		return 0, err
	}
	var open struct {
		Kind string `sshtype:"90"`
		ID   uint32
		Rest []byte `ssh:"rest"`
	}
	if err := ssh.Unmarshal(packet, &open); err != nil {
		return 0, err
	}
	return open.ID, g.send(numbers(msgOpenConfirm, open.ID, 7, 1<<20, 1<<15))
}

// numbers is a packet of a kind and 32-bit numbers.
func numbers(kind byte, values ...uint32) []byte {
	packet := []byte{kind}
	for _, v := range values {
		packet = binary.BigEndian.AppendUint32(packet, v)
	}
	return packet
}

func channelRequest(id uint32, name string, wantReply bool, payload []byte) []byte {
	return append(ssh.Marshal(struct {
		ID    uint32 `sshtype:"98"`
		Name  string
		Reply bool
	}{id, name, wantReply}), payload...)
}

func globalRequest(name string, wantReply bool) []byte {
	return ssh.Marshal(struct {
		Name  string `sshtype:"80"`
		Reply bool
		Rest  []byte `ssh:"rest"`
	}{name, wantReply, make([]byte, 1000)})
}

// drain reads whatever comes, until the client has gone.
func (g *rogue) drain() error {
	for {
		if _, err := g.read(); err != nil {
			return err
		}
	}
}

// await reads until a packet of a kind comes.
func (g *rogue) await(kind byte) ([]byte, error) {
	for {
		packet, err := g.read()
		if err != nil {
			return nil, err
		}
		if packet[0] == kind {
			return packet, nil
		}
	}
}

// send sends a packet, in the clear or sealed.
func (g *rogue) send(payload []byte) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	head := 1
	if g.seal == nil {
		head = 5
	}
	padding := 16 - (head+len(payload))%16
	if padding < 4 {
		padding += 16
	}
	body := append([]byte{byte(padding)}, payload...)
	body = append(body, make([]byte, padding)...)
	packet := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	if g.seal == nil {
		_, err := g.Write(append(packet, body...))
		return err
	}
	packet = g.seal.Seal(packet, g.sealIV, body, packet[:4])
	count(g.sealIV)
	_, err := g.Write(packet)
	return err
}

func (g *rogue) read() ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(g.r, head[:]); err != nil {
		return nil, err
	}
	body := make([]byte, binary.BigEndian.Uint32(head[:])&0xfffff)
	if g.unseal != nil {
		body = append(body, make([]byte, 16)...)
	}
	if _, err := io.ReadFull(g.r, body); err != nil {
		return nil, err
	}
	if g.unseal != nil {
		var err error
		if body, err = g.unseal.Open(nil, g.unsealIV, body, head[:]); err != nil {
			return nil, err
		}
		count(g.unsealIV)
	}
	if len(body) < 2 || int(body[0])+2 > len(body) {
		return nil, errors.New("an empty packet")
	}
	return body[1 : len(body)-int(body[0])], nil
}

// count counts an IV up.
func count(iv []byte) {
	binary.BigEndian.PutUint64(iv[4:], binary.BigEndian.Uint64(iv[4:])+1)
}
