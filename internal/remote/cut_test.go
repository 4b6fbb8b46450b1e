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
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"sallyport/internal/connector"
	"sallyport/internal/limits"
	"sallyport/internal/remote"
	"sallyport/internal/sshpool"
)

// ender is an SSH server that starts no command: it says that one has started and ended,
// and then does something to the session or the connection.
type ender struct {
	signer ssh.Signer
	end    func(ch ssh.Channel, conn net.Conn)
	all    sync.WaitGroup
}

func (e *ender) serve(conn net.Conn) {
	defer conn.Close()
	config := &ssh.ServerConfig{NoClientAuth: true}
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
				if req.Type == "exec" {
					e.all.Go(func() { e.pretend(ch, conn) })
				}
			}
		})
	}
}

// pretend reads a header, says its mark, and the end of a command that wrote nothing yet.
func (e *ender) pretend(ch ssh.Channel, conn net.Conn) {
	header, err := bufio.NewReader(ch).ReadString('\n')
	if err != nil {
		return
	}
	mark := regexp.MustCompile(`"([0-9a-f]{32}) started`).FindStringSubmatch(header)[1]
	fmt.Fprintf(ch, "%s started 4242\n", mark)
	fmt.Fprintf(ch.Stderr(), "%s\n", mark)
	_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{0}))
	e.end(ch, conn)
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
			_, private, err := ed25519.GenerateKey(rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			signer, err := ssh.NewSignerFromSigner(private)
			if err != nil {
				t.Fatal(err)
			}
			e := &ender{signer: signer, end: tt.end}
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
			defer func() {
				pool.Close()
				l.Close()
				e.all.Wait()
			}()
			s, err := pool.Open(t.Context(), sshpool.Target{Key: "k", Dial: func(ctx context.Context) (*connector.Link, error) {
				conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", l.Addr().String())
				return &connector.Link{
					Conn: conn, User: "u", HostKey: signer.PublicKey(), Signers: func(context.Context) ([]ssh.Signer, error) { return []ssh.Signer{signer}, nil },
				}, err
			}})
			if err != nil {
				t.Fatal(err)
			}
			var out buffer
			outcome, err := remote.Exec(t.Context(), s, remote.Command{
				Argv: []string{"true"}, ExecID: "x", Timeout: 5 * time.Second, ConnectBy: time.Now().Add(limits.ConnectTime), OutputGrace: limits.OutputGrace,
				Gate: func() error { return nil }, Started: func(remote.Process) {}, Stdout: &out, Stderr: &out,
			})
			if err != nil || outcome.End != tt.want {
				t.Errorf("got %+v, %v, want the end %d", outcome, err, tt.want)
			}
		})
	}
}
