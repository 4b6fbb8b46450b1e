package sshpool_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"

	"sallyport/client/sallyport"
	"sallyport/internal/sshpool"
)

// forever sends packets until the client has gone.
func (g *rogue) forever(packets ...[]byte) error {
	for {
		for _, packet := range packets {
			if err := g.send(packet); err != nil {
				return err
			}
		}
	}
}

// all sends packets, and then takes what comes.
func (g *rogue) all(packets ...[]byte) error {
	for _, packet := range packets {
		if err := g.send(packet); err != nil {
			return err
		}
	}
	return g.drain()
}

// repeat is a packet many times.
func repeat(n int, packet []byte) [][]byte {
	packets := make([][]byte, n)
	for i := range packets {
		packets[i] = packet
	}
	return packets
}

// before is a machine that misbehaves before the login is done; reason is what is
// made of it, or any where it is "".
type before struct {
	name   string
	act    func(*rogue) error
	reason string
}

func raw(text string) func(*rogue) error {
	return func(g *rogue) error {
		if _, err := io.WriteString(g, text); err != nil {
			return err
		}
		_, err := io.Copy(io.Discard, g)
		return err
	}
}

func rawForever(text string) func(*rogue) error {
	return func(g *rogue) error {
		for {
			if _, err := io.WriteString(g, text); err != nil {
				return err
			}
		}
	}
}

func greeted(then func(*rogue) error) func(*rogue) error {
	return func(g *rogue) error {
		if err := g.greet(); err != nil {
			return err
		}
		return then(g)
	}
}

func asked(then func(*rogue) error) func(*rogue) error {
	return func(g *rogue) error {
		if err := g.handshake(); err != nil {
			return err
		}
		return then(g)
	}
}

func befores() []before {
	accept := ssh.Marshal(struct {
		Service string `sshtype:"6"`
	}{"ssh-userauth"})
	failure := ssh.Marshal(struct {
		Methods string `sshtype:"51"`
		Partial bool
	}{"publickey", false})
	partial := ssh.Marshal(struct {
		Methods string `sshtype:"51"`
		Partial bool
	}{"publickey", true})
	banner := ssh.Marshal(struct {
		Text string `sshtype:"53"`
		Lang string
	}{string(bytes.Repeat([]byte("welcome\n"), 1000)), ""})
	return []before{
		{"hangs up", func(*rogue) error { return nil }, sallyport.ReasonNoBanner},
		{"says nothing", raw(""), sallyport.ReasonNoBanner},
		{"speaks HTTP", raw("HTTP/1.1 400 Bad Request\r\n\r\n"), sallyport.ReasonNoBanner},
		{"endless lines", rawForever("hello\r\n"), sallyport.ReasonNoBanner},
		{"endless line", rawForever("hello "), sallyport.ReasonNoBanner},
		{"endless line breaks", rawForever("\n"), sallyport.ReasonNoBanner},
		{"endless greeting", rawForever("SSH-2.0-" + string(bytes.Repeat([]byte("x"), 300))), sallyport.ReasonHandshakeFailed},
		{"zeros", rawForever(string(make([]byte, 1000))), sallyport.ReasonNoBanner},
		{"a greeting and no more", greeted(func(*rogue) error { return nil }), sallyport.ReasonHandshakeFailed},
		{"a greeting and silence", greeted((*rogue).drain), sallyport.ReasonHandshakeFailed},
		{"a greeting and garbage", greeted(rawForever("\xff\xff\xff\xff garbage")), sallyport.ReasonHandshakeFailed},
		{"a packet of zero", greeted(rawForever(string(make([]byte, 64)))), sallyport.ReasonHandshakeFailed},
		{"data before the keys", greeted(func(g *rogue) error { return g.forever(numbers(msgChannelData, 0, 0)) }), sallyport.ReasonHandshakeFailed},
		{"a login before the keys", greeted(func(g *rogue) error { return g.all([]byte{msgAuthSuccess}) }), sallyport.ReasonHandshakeFailed},
		{"nothing to ignore, endlessly", greeted(func(g *rogue) error { return g.forever(append([]byte{msgIgnore}, make([]byte, 1000)...)) }), sallyport.ReasonHandshakeFailed},
		{"keys that never come", greeted(func(g *rogue) error { return g.forever(newKexInit()) }), sallyport.ReasonHandshakeFailed},
		{"no algorithm of ours", greeted(func(g *rogue) error { return g.all(ssh.Marshal(kexInit{Kex: []string{"rot13"}})) }), sallyport.ReasonHandshakeFailed},
		{"keys from nowhere", greeted(func(g *rogue) error { return g.all(newKexInit(), []byte{msgNewKeys}) }), sallyport.ReasonHandshakeFailed},
		{"a reply that is short", greeted(func(g *rogue) error { return g.all(newKexInit(), []byte{msgKexReply}) }), sallyport.ReasonHandshakeFailed},
		{"farewell", greeted(func(g *rogue) error { return g.all(append(numbers(msgDisconnect, 2, 3), "bye\x00\x00\x00\x00"...)) }), sallyport.ReasonHandshakeFailed},

		{"no answer to the login", asked((*rogue).drain), sallyport.ReasonHandshakeFailed},
		{"endless banners", asked(func(g *rogue) error { return g.forever(banner) }), sallyport.ReasonHandshakeFailed},
		{"accepts, then endless banners", asked(func(g *rogue) error { return g.forever(accept, banner) }), sallyport.ReasonHandshakeFailed},
		{"refuses without being asked", asked(func(g *rogue) error { return g.forever(accept, failure) }), ""},
		{"half accepts, for ever", asked(func(g *rogue) error { return g.forever(accept, partial) }), ""},
		{"packets that nobody takes", asked(func(g *rogue) error { return g.forever(numbers(msgChannelData, 0, 0)) }), sallyport.ReasonHandshakeFailed},
		{"small packets that nobody takes", asked(func(g *rogue) error { return g.forever([]byte{msgChannelSuccess}) }), sallyport.ReasonHandshakeFailed},
		{"large packets that nobody takes", asked(func(g *rogue) error { return g.forever(append([]byte{msgChannelEOF}, make([]byte, 30000)...)) }), sallyport.ReasonHandshakeFailed},
		{"keys again and again", asked(func(g *rogue) error {
			for {
				if err := g.exchange(g.host); err != nil {
					return err
				}
			}
		}), sallyport.ReasonHandshakeFailed},
	}
}

// A machine that misbehaves before the login is an error with a reason, in bounded
// time and memory, and leaves nothing with us.
func TestHostileBeforeLogin(t *testing.T) {
	quarantine(t, befores(), func(b before) string { return b.name }, func(t *testing.T, tt before) {
		target, _ := rogueMachine(t, tt.act)
		besideGood(t, &sshpool.Pool{ConnectTime: 8 * time.Second}, func(ctx context.Context, p *sshpool.Pool) {
			_, err := openOn(ctx, p, target)
			var known *sallyport.Error
			if !errors.As(err, &known) || known.Code != sallyport.CodeConnectFailed && known.Code != sallyport.CodeConnectTimeout {
				t.Fatalf("got %v", err)
			}
			if tt.reason != "" && known.Reason != tt.reason {
				t.Errorf("reason %s, want %s: %v", known.Reason, tt.reason, err)
			}
		})
	})
}

// quarantine runs cases side by side, apart from all other tests, and fails the test when
// they take much memory together, or leave a goroutine. What waits in them is no work.
func quarantine[T any](t *testing.T, cases []T, name func(T) string, run func(*testing.T, T)) {
	t.Helper()
	ignore, before := goleak.IgnoreCurrent(), heap()
	stop, most := make(chan struct{}), make(chan int64, 1)
	go func() {
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		var peak int64
		for {
			select {
			case <-tick.C:
				peak = max(peak, heap())
			case <-stop:
				most <- peak
				return
			}
		}
	}()
	var all sync.WaitGroup
	for _, tt := range cases {
		all.Go(func() { t.Run(name(tt), func(t *testing.T) { run(t, tt) }) })
	}
	all.Wait()
	close(stop)
	// Each may fill the window of a session, and of the good machine's.
	if grown := <-most - before; grown > int64(len(cases))*(6<<20) {
		t.Errorf("it took %d MiB", grown>>20)
	}
	goleak.VerifyNone(t, ignore)
}

// besideGood runs act with a pool that serves another machine meanwhile, as ever.
func besideGood(t *testing.T, p *sshpool.Pool, act func(context.Context, *sshpool.Pool)) {
	t.Helper()
	good, _ := newHost(t)
	start(t, p, good)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	open(t, p, good.target("good")).Close()
	stop := make(chan struct{})
	var beside sync.WaitGroup
	beside.Go(func() {
		for !isDone(stop) {
			s, err := openOn(ctx, p, good.target("good"))
			if err != nil {
				t.Errorf("another machine: %v", err)
				return
			}
			if got, err := output(s, "echo good"); got != "good\n" {
				t.Errorf("another machine: got %q, %v", got, err)
			}
			s.Close()
			select {
			case <-stop:
			case <-time.After(50 * time.Millisecond):
			}
		}
	})
	defer beside.Wait()
	defer close(stop)
	act(ctx, p)
}

// heap is what is in use.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// after is a machine that misbehaves once it has let us in.
type after struct {
	name string
	act  func(*rogue, uint32) error // with our number of the first session
	// ends tells that the connection is given up for it, slow that it takes a while.
	ends, slow bool
}

func afters(t *testing.T) []after {
	status := func(id uint32) []byte { return channelRequest(id, "exit-status", false, []byte{0, 0, 0, 3}) }
	stranger := newSigner(t)
	return []after{
		{"exit status twice", func(g *rogue, id uint32) error {
			return g.all(status(id), status(id), numbers(msgChannelEOF, id), numbers(msgChannelClose, id))
		}, false, false},
		{"no exit status", func(g *rogue, id uint32) error {
			return g.all(numbers(msgChannelEOF, id), numbers(msgChannelClose, id))
		}, false, false},
		{"exit status after the end", func(g *rogue, id uint32) error {
			return g.all(numbers(msgChannelEOF, id), numbers(msgChannelClose, id), status(id))
		}, false, false},
		{"an exit status that is short", func(g *rogue, id uint32) error {
			return g.all(channelRequest(id, "exit-status", true, []byte{3}), numbers(msgChannelClose, id))
		}, false, false},
		{"the end twice", func(g *rogue, id uint32) error {
			return g.all(numbers(msgChannelClose, id), numbers(msgChannelClose, id))
		}, true, false},
		{"data after the end", func(g *rogue, id uint32) error {
			return g.all(numbers(msgChannelClose, id), append(numbers(msgChannelData, id, 1), 'x'))
		}, true, false},
		{"endless exit statuses", func(g *rogue, id uint32) error { return g.forever(status(id)) }, false, false},
		{"endless requests", func(g *rogue, id uint32) error { return g.forever(channelRequest(id, "x", true, make([]byte, 1000))) }, false, false},
		{"a window too large", func(g *rogue, id uint32) error { return g.all(repeat(3, numbers(msgWindowAdjust, id, 1<<32-1))...) }, true, false},
		{"more data than the window", func(g *rogue, id uint32) error {
			return g.forever(append(numbers(msgExtendedData, id, 1, 30000), make([]byte, 30000)...))
		}, true, false},
		{"data for nobody", func(g *rogue, id uint32) error { return g.all(append(numbers(msgChannelData, 1000, 1), 'x')) }, true, false},
		{"data for nobody, and much behind it", func(g *rogue, id uint32) error {
			return g.forever(append(numbers(msgChannelData, 1000, 30000), make([]byte, 30000)...))
		}, true, false},
		{"data for nobody, and many packets behind it", func(g *rogue, id uint32) error {
			g.hold()
			for range 100 {
				if err := g.send(numbers(msgChannelEOF, 1000)); err != nil {
					return err
				}
			}
			return g.release()
		}, true, false},
		{"lengths that lie", func(g *rogue, id uint32) error { return g.all(numbers(msgChannelData, id, 1<<31)) }, true, false},
		{"endless channels", func(g *rogue, id uint32) error {
			return g.forever(ssh.Marshal(struct {
				Kind             string `sshtype:"90"`
				ID, Window, Size uint32
			}{"session", 1, 1 << 20, 1 << 15}))
		}, true, false},
		{"endless questions, and deaf to answers", func(g *rogue, id uint32) error { return g.forever(globalRequest("x", true)) }, true, true},
		{"endless questions", func(g *rogue, id uint32) error {
			go func() { _ = g.drain() }()
			return g.forever(globalRequest("x", true))
		}, true, false},
		{"answers to no question", func(g *rogue, id uint32) error {
			return g.all(append(repeat(1000, []byte{msgRequestSuccess}), repeat(1000, numbers(msgChannelSuccess, id))...)...)
		}, false, false},
		{"confirms twice", func(g *rogue, id uint32) error { return g.all(numbers(msgOpenConfirm, id, 7, 1, 1<<15)) }, true, false},
		{"a login once more", func(g *rogue, id uint32) error { return g.all([]byte{msgAuthSuccess}) }, true, false},
		{"banners after the login", func(g *rogue, id uint32) error {
			return g.forever(append([]byte{msgAuthBanner}, make([]byte, 1000)...))
		}, true, false},
		{"an empty message", func(g *rogue, id uint32) error { return g.all([]byte{0}) }, true, false},
		{"keys again and again", func(g *rogue, id uint32) error {
			for {
				if err := g.exchange(g.host); err != nil {
					return err
				}
			}
		}, true, false},
		{"keys of somebody else", func(g *rogue, id uint32) error { return g.exchange(stranger) }, true, false},
		{"new keys from nowhere", func(g *rogue, id uint32) error { return g.all([]byte{msgNewKeys}) }, true, false},
		{"a packet that isn't sealed", func(g *rogue, id uint32) error { g.seal = nil; return g.all(status(id)) }, true, false},
		{"farewell", func(g *rogue, id uint32) error {
			return g.all(append(numbers(msgDisconnect, 11, 3), "bye\x00\x00\x00\x00"...))
		}, true, false},
		{"hangs up", func(g *rogue, id uint32) error { return nil }, true, false},
	}
}

// A machine that misbehaves once it has let us in ends its own connection at most.
func TestHostileAfterLogin(t *testing.T) {
	quarantine(t, afters(t), func(a after) string { return a.name }, func(t *testing.T, tt after) {
		if tt.slow && testing.Short() {
			t.Skip("waits for an answer that doesn't come")
		}
		target, _ := rogueMachine(t, func(g *rogue) error {
			if err := g.login(); err != nil {
				return err
			}
			id, err := g.confirm()
			if err != nil {
				return err
			}
			return tt.act(g, id)
		})
		besideGood(t, &sshpool.Pool{}, func(ctx context.Context, p *sshpool.Pool) {
			s, err := openOn(ctx, p, target)
			if err != nil {
				t.Fatal(err) // the first is granted
			}
			s.Go(func() { ssh.DiscardRequests(s.Requests()) })
			select {
			case <-s.Lost():
			case <-time.After(500 * time.Millisecond):
				if tt.ends {
					select {
					case <-s.Lost():
					case <-ctx.Done():
						t.Error("the connection is still there")
					}
				}
			}
			s.Close()
		})
	})
}
