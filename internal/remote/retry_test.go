package remote_test

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/connector"
	"sallyport/internal/limits"
	"sallyport/internal/remote"
)

// A connection that breaks before anything of a command was sent says so, and the
// command may go over another one; one that breaks behind it may not.
func TestMayRetry(t *testing.T) {
	for name, road := range roads {
		t.Run(name, func(t *testing.T) { testMayRetry(t, road) })
	}
}

func testMayRetry(t *testing.T, road func(testing.TB, string, string) *machine) {
	const (
		beforeAll = iota
		atGate
		running
	)
	for _, tt := range []struct {
		name    string
		at      int
		isRetry bool
	}{
		{"before the shell is asked for", beforeAll, true}, // and nobody knows yet
		{"before the header is sent", atGate, true},
		{"while it runs", running, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := road(t, "/bin/sh", t.TempDir())
			var conn *mute
			dial := m.need.By.Dial
			m.need.By.Dial = func(ctx context.Context) (*connector.Link, error) {
				link, err := dial(ctx)
				if err == nil {
					conn = &mute{Conn: link.Conn}
					link.Conn = conn
				}
				return link, err
			}
			s, err := m.pool.Open(t.Context(), m.target, m.need)
			if err != nil {
				t.Fatal(err)
			}
			ran := filepath.Join(t.TempDir(), "ran")
			cut := func() {
				conn.Close()
				<-s.Lost()
			}
			if tt.at == beforeAll {
				conn.muted.Store(true)
			}
			var out buffer
			outcome, err := remote.Exec(t.Context(), s, remote.Command{
				Argv: []string{"/bin/sh", "-c", "echo ran >" + ran + "; sleep 5"}, ExecID: "x", Timeout: 20 * time.Second,
				ConnectBy: time.Now().Add(limits.ConnectTime), OutputGrace: limits.OutputGrace, Stdout: &out, Stderr: &out,
				Gate: func() error {
					if tt.at == atGate {
						cut()
					}
					return nil
				},
				Started: func(remote.Process) {
					if tt.at == running {
						cut()
					}
				},
			})
			if got := remote.MayRetry(err); got != tt.isRetry {
				t.Errorf("may retry %v after %v, %+v", got, err, outcome)
			}
			if tt.isRetry {
				var known *sallyport.Error
				if !errors.As(err, &known) || known.Started == nil || *known.Started {
					t.Errorf("got %v", err)
				}
				if matches, _ := filepath.Glob(ran); len(matches) > 0 {
					t.Error("it ran")
				}
			}
		})
	}
	if remote.MayRetry(errors.New("another")) || remote.MayRetry(nil) {
		t.Error("any error is taken for a retry")
	}
}

// mute is a connection that carries nothing more once it is muted, and whose reader
// hasn't noticed.
type mute struct {
	net.Conn
	muted atomic.Bool
}

func (m *mute) Write(p []byte) (int, error) {
	if m.muted.Load() {
		return 0, syscall.EPIPE
	}
	return m.Conn.Write(p)
}
