package sshpool_test

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"sallyport/internal/sshpool"
	"sallyport/test/sshd"
)

// A machine that exchanges keys every so many bytes loses none of a stream, however fast.
func TestRekeyLimitOnSSHD(t *testing.T) {
	t.Parallel()
	for limit, size := range map[string]int64{"1M": 200 << 20, "64K": 16 << 20} {
		t.Run(limit, func(t *testing.T) {
			t.Parallel()
			p := &sshpool.Pool{}
			m := startReal(t, sshd.Options{Config: []string{"RekeyLimit " + limit}}, p)
			s := open(t, p, m.target())
			defer s.Close()
			s.Go(func() { ssh.DiscardRequests(s.Requests()) })
			line := ssh.Marshal(struct{ Command string }{fmt.Sprintf("exec head -c %d /dev/zero", size)})
			if ok, err := s.SendRequest("exec", true, line); err != nil || !ok {
				t.Fatal(ok, err)
			}
			if n, err := io.Copy(io.Discard, s); n != size || err != nil || s.Broken() {
				t.Errorf("%d of %d bytes, %v, broken %v", n, size, err, s.Broken())
			}
		})
	}
}

// What this side breaks off is known to be broken before the streams on it end: an end of
// file that comes of it is not taken for the machine's own.
func TestBrokenBeforeTheEndOfFile(t *testing.T) {
	t.Parallel()
	stranger := newSigner(t)
	tests := map[string]func(g *rogue, id uint32) error{
		"a forged packet": func(g *rogue, id uint32) error {
			g.sealIV = make([]byte, 12)
			return g.all(append(numbers(msgChannelData, id, 1), 'y'))
		},
		"a packet that isn't sealed": func(g *rogue, id uint32) error { g.seal = nil; return g.all(numbers(msgChannelEOF, id)) },
		"data for nobody":            func(g *rogue, id uint32) error { return g.all(append(numbers(msgChannelData, 1000, 1), 'x')) },
		"a window too large":         func(g *rogue, id uint32) error { return g.all(repeat(3, numbers(msgWindowAdjust, id, 1<<32-1))...) },
		"a login once more":          func(g *rogue, id uint32) error { return g.all([]byte{msgAuthSuccess}) },
		"keys of somebody else":      func(g *rogue, id uint32) error { return g.exchange(stranger) },
		"endless questions":          func(g *rogue, id uint32) error { return g.forever(globalRequest("x", false)) },
		"farewell": func(g *rogue, id uint32) error {
			return g.all(append(numbers(msgDisconnect, 11, 3), "bye\x00\x00\x00\x00"...))
		},
		"keys again and again": func(g *rogue, id uint32) error {
			for {
				if err := g.exchange(g.host); err != nil {
					return err
				}
			}
		},
		"hangs up": func(*rogue, uint32) error { return nil },
	}
	for name, act := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, _ := rogueMachine(t, func(g *rogue) error {
				if err := g.login(); err != nil {
					return err
				}
				id, err := g.confirm()
				if err != nil {
					return err
				}
				if err := g.send(append(numbers(msgChannelData, id, 1), 'x')); err != nil {
					return err
				}
				if err := g.send(channelRequest(id, "exit-status", false, []byte{0, 0, 0, 3})); err != nil {
					return err
				}
				return act(g, id)
			})
			p := &sshpool.Pool{}
			defer p.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			s, err := openOn(ctx, p, target)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			s.Go(func() { ssh.DiscardRequests(s.Requests()) })
			s.Go(func() {
				_, _ = io.Copy(io.Discard, s.Stderr())
				if !s.Broken() {
					t.Error("stderr ended before the connection was known to be broken")
				}
			})
			got, _ := io.ReadAll(s)
			if broken := s.Broken(); string(got) != "x" || !broken {
				t.Errorf("got %q, and broken is %v at its end", got, broken)
			}
		})
	}
}
