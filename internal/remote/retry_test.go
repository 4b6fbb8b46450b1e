package remote_test

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"testing"
	"time"

	"sallyport"
	"sallyport/internal/connector"
	"sallyport/internal/limits"
	"sallyport/internal/remote"
	"sallyport/internal/sshpool"
)

// A connection that breaks before anything of a command was sent says so, and the
// command may go over another one; one that breaks behind it may not.
func TestMayRetry(t *testing.T) {
	for _, tt := range []struct {
		name    string
		atGate  bool
		isRetry bool
	}{
		{"before the header is sent", true, true},
		{"while it runs", false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(t, "/bin/sh", t.TempDir())
			var conn io.Closer
			dial := m.target.Dial
			m.target.Dial = func(ctx context.Context) (*connector.Link, error) {
				link, err := dial(ctx)
				if err == nil {
					conn = link.Conn
				}
				return link, err
			}
			s, err := m.pool.Open(t.Context(), m.target)
			if err != nil {
				t.Fatal(err)
			}
			ran := filepath.Join(t.TempDir(), "ran")
			cut := func() {
				conn.Close()
				<-s.Lost()
			}
			var out buffer
			outcome, err := remote.Exec(t.Context(), s, remote.Command{
				Argv: []string{"/bin/sh", "-c", "echo ran >" + ran + "; sleep 5"}, ExecID: "x", Timeout: 20 * time.Second,
				ConnectBy: time.Now().Add(limits.ConnectTime), OutputGrace: limits.OutputGrace, Stdout: &out, Stderr: &out,
				Gate: func() error {
					if tt.atGate {
						cut()
					}
					return nil
				},
				Started: func(remote.Process) {
					if !tt.atGate {
						cut()
					}
				},
			})
			if got := remote.MayRetry(s, err); got != tt.isRetry {
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
	if remote.MayRetry(&sshpool.Session{}, errors.New("another")) || remote.MayRetry(nil, nil) {
		t.Error("any error is taken for a retry")
	}
}
