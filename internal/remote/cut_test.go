package remote_test

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"sallyport/internal/connector"
	"sallyport/internal/limits"
	"sallyport/internal/remote"
	"sallyport/internal/sshhost"
	"sallyport/internal/sshpool"
)

// ender is an SSH server that starts no command: it takes a header, and does what it is
// told to with the session or the connection.
type ender struct {
	signer ssh.Signer
	take   func(ch ssh.Channel, conn net.Conn, mark string)
	// direct has the link say that this is a host of our own, and answer its answer to the
	// request to start a program.
	direct bool
	answer func(req *ssh.Request, ch ssh.Channel, conn net.Conn)
	asked  atomic.Int32 // how often that was requested
	all    sync.WaitGroup
}

// start serves until the test ends, and returns a session of a pool.
func (e *ender) start(t *testing.T) *sshpool.Session {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if e.signer, err = ssh.NewSignerFromSigner(private); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e.all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			e.all.Go(func() { e.serve(conn) })
		}
	})
	pool := &sshpool.Pool{}
	t.Cleanup(func() {
		pool.Close()
		l.Close()
		e.all.Wait()
	})
	s, err := pool.Open(t.Context(), sshpool.Target{Key: "k"}, sshpool.Need{By: sshpool.Dialer{Dial: func(ctx context.Context) (*connector.Link, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", l.Addr().String())
		return &connector.Link{
			Conn: conn, User: "u", HostKey: e.signer.PublicKey(), DirectStart: e.direct,
			Signers: func(context.Context) ([]ssh.Signer, error) { return []ssh.Signer{e.signer}, nil },
		}, err
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (e *ender) serve(conn net.Conn) {
	defer conn.Close()
	config := &ssh.ServerConfig{NoClientAuth: true, ServerVersion: "SSH-2.0-Sallyport"}
	config.AddHostKey(e.signer)
	_, chans, reqs, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	e.all.Go(func() { ssh.DiscardRequests(reqs) })
	for offered := range chans {
		ch, reqs, err := offered.Accept()
		if err != nil {
			return
		}
		e.all.Go(func() {
			for req := range reqs {
				switch req.Type {
				case "exec":
					_ = req.Reply(true, nil)
					e.all.Go(func() { e.run(ch, conn, string(req.Payload)) })
				case sshhost.StartRequest:
					e.asked.Add(1)
					e.answer(req, ch, conn)
				}
			}
		})
	}
}

// run reads a header behind its command string.
func (e *ender) run(ch ssh.Channel, conn net.Conn, line string) {
	if _, err := bufio.NewReader(ch).ReadString('\n'); err != nil {
		return
	}
	halves := regexp.MustCompile(`([0-9a-f]+) ([0-9a-f]+) "1 started`).FindStringSubmatch(line)
	e.take(ch, conn, halves[1]+halves[2])
}

// pretend says that a command started, wrote out, and ended well.
func pretend(ch ssh.Channel, mark, out string) {
	fmt.Fprintf(ch.Stderr(), "%s 2 started 4242\n", mark)
	fmt.Fprintf(ch, "%s 1 started 4242\n%s", mark, out)
	_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{0}))
}

// command is one of which nobody hears.
func command(out io.Writer) remote.Command {
	return remote.Command{
		Argv: []string{"true"}, ExecID: "x", Timeout: 5 * time.Second, ConnectBy: time.Now().Add(limits.ConnectTime), OutputGrace: limits.OutputGrace,
		Gate: func() error { return nil }, Started: func(remote.Process) {}, Stdout: out, Stderr: out,
	}
}

// An exit status is no end of the output: a connection that breaks behind it may have
// taken some of that with it. A session that is closed has said all.
func TestCutBehindExitStatus(t *testing.T) {
	for name, tt := range map[string]struct {
		end  func(ch ssh.Channel, conn net.Conn)
		want remote.End
	}{
		"cut": {func(_ ssh.Channel, conn net.Conn) { conn.Close() }, remote.Lost},
		"closed": {func(ch ssh.Channel, _ net.Conn) {
			_, _ = io.WriteString(ch, "output")
			ch.Close()
		}, remote.Exited},
	} {
		t.Run(name, func(t *testing.T) {
			e := &ender{take: func(ch ssh.Channel, conn net.Conn, mark string) {
				pretend(ch, mark, "")
				tt.end(ch, conn)
			}}
			outcome, err := remote.Exec(t.Context(), e.start(t), command(&buffer{}))
			if err != nil || outcome.End != tt.want {
				t.Errorf("got %+v, %v, want the end %d", outcome, err, tt.want)
			}
		})
	}
}

// A command whose connection breaks behind its header and before its mark may have
// started: it is looked for, over another connection.
func TestMarkLost(t *testing.T) {
	var commands atomic.Int32
	e := &ender{take: func(ch ssh.Channel, conn net.Conn, mark string) {
		if commands.Add(1) == 1 {
			conn.Close()
			return
		}
		pretend(ch, mark, "g 0 0\nk 1\n.\n") // the search, which finds none left
		ch.Close()
	}}
	outcome, err := remote.Exec(t.Context(), e.start(t), command(&buffer{}))
	want := remote.Survivors{Forced: true, Known: true}
	if err != nil || outcome.End != remote.Lost || outcome.Survivors != want || commands.Load() != 2 {
		t.Errorf("got %+v, %v after %d commands", outcome, err, commands.Load())
	}
	if remote.MayRetry(outcome.Cause) {
		t.Error("it may be run twice")
	}
}

// A machine that answers a script of ours without an end is not listened to: who ends a
// command, or looks at a machine, keeps a few KiB.
func TestScriptWithoutEnd(t *testing.T) {
	var sent atomic.Int64
	e := &ender{take: func(ch ssh.Channel, _ net.Conn, mark string) {
		pretend(ch, mark, "")
		line := []byte(strings.Repeat("9", 32<<10))
		for {
			n, err := ch.Write(line)
			if sent.Add(int64(n)); err != nil {
				return
			}
		}
	}}
	s := e.start(t)
	for name, ask := range map[string]func(s *sshpool.Session) error{
		"a check": func(s *sshpool.Session) error { return remote.CheckShell(t.Context(), s) },
		"an end": func(s *sshpool.Session) error {
			left, err := remote.EndAll(t.Context(), s, []string{"x"})
			if left.Known {
				t.Errorf("it is known that %d are left", left.Count)
			}
			return err
		},
	} {
		sibling, err := s.Sibling(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := ask(sibling); err == nil {
			t.Errorf("%s had an answer", name)
		}
	}
	const windows = 16 * (2 << 20) // what the library takes before anybody reads
	if got := sent.Load(); got > windows {
		t.Errorf("%d bytes were taken", got)
	}
}
