package gateway_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/audit"
	"sallyport/internal/gateway"
	"sallyport/internal/id"
	"sallyport/internal/limits"
	"sallyport/internal/store"
)

func wantNoFile(t testing.TB, path string) {
	t.Helper()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is there (%v)", path, err)
	}
}

// Who was let in is waited for, who comes later is refused; done counts once.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gateway.Gateway{}
		first, err := g.Admit()
		must(t, err)
		second, err := g.Admit()
		must(t, err)
		if g.Draining() {
			t.Error("it drains before it is told to")
		}
		drained := make(chan struct{})
		go func() {
			defer close(drained)
			g.Drain(t.Context())
		}()
		synctest.Wait()
		if !g.Draining() {
			t.Error("it doesn't say that it drains")
		}
		_, err = g.Admit()
		wantCode(t, "while it drains", err, sallyport.CodeDraining)
		first()
		first()
		synctest.Wait()
		select {
		case <-drained:
			t.Error("one of two is still there")
		default:
		}
		second()
		<-drained
		_, err = g.Admit()
		wantCode(t, "after it has drained", err, sallyport.CodeDraining)
	})
}

func TestDrainOfNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gateway.Gateway{}
		done, err := g.Admit()
		must(t, err)
		done()
		began := time.Now()
		g.Drain(t.Context())
		if time.Since(began) != 0 {
			t.Error("it waited for nobody")
		}
	})
}

// Rows that a crash left are completed also where nobody can look at the machine:
// the workspace is gone, or has no host.
func TestRecoverWithoutAMachine(t *testing.T) {
	w := newWorld(t)
	org := w.org(t, "o")
	bare := w.workspace(t, org, "bare")
	var left []string
	for _, ws := range []string{bare.ID, id.New()} {
		row := &store.Activity{Class: store.ClassExec, Activity: sallyport.Activity{
			ID: id.New(), OrgID: org.ID, WorkspaceID: ws, Type: sallyport.ActivityExec, Status: sallyport.StatusRunning, CreatedAt: time.Now(),
		}}
		must(t, w.db.CommitActivity(t.Context(), []store.ActivityChange{{Row: row}}, true))
		left = append(left, row.ID)
	}
	must(t, w.Recover(t.Context()))
	for _, row := range w.rows(t, org.ID)[:2] {
		if row.Status != sallyport.StatusInterrupted || row.CompletedAt == nil || !row.SurvivorsUnknown || row.Survivors != nil {
			t.Errorf("row %+v of %v", row, left)
		}
	}
}

// What a crash has left of another kind of act is completed too, and however many rows
// there are.
func TestRecoverEveryKind(t *testing.T) {
	w := newWorld(t)
	org := w.org(t, "o")
	var left []store.ActivityChange
	for range limits.AdoptRowsMax + 1 {
		left = append(left, store.ActivityChange{Row: &store.Activity{Class: store.ClassTransfer, Activity: sallyport.Activity{
			ID: id.New(), OrgID: org.ID, WorkspaceID: id.New(), Type: "file_read", Status: sallyport.StatusRunning, CreatedAt: time.Now(),
		}}})
	}
	must(t, w.db.CommitActivity(t.Context(), left, true))
	must(t, w.Recover(t.Context()))
	for _, change := range left {
		row, err := w.db.Activity(t.Context(), org.ID, change.Row.ID)
		must(t, err)
		if row.Status != sallyport.StatusInterrupted || row.CompletedAt == nil || row.SurvivorsUnknown {
			t.Fatalf("row %+v", row)
		}
	}
}

// A command doesn't start when others may close its row by then.
func TestGateLooksAtTheLease(t *testing.T) {
	w := newWorld(t)
	org := w.org(t, "o")
	ws := w.host(t, org)
	w.Holds = func() bool { return false }
	mark := filepath.Join(t.TempDir(), "mark")
	_, err := w.Exec(t.Context(), w.admin, gateway.Ref{Workspace: ws.ID}, gateway.Exec{Argv: []string{"touch", mark}, TimeoutS: 9, MaxOutputBytes: 9},
		gateway.ExecOutput{Dispatched: func(string) {}, Started: func() {}, Stdout: io.Discard, Stderr: io.Discard})
	var known *sallyport.Error
	if !errors.As(err, &known) || known.Code != sallyport.CodePlatformUnavailable || known.Started == nil || *known.Started {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(mark); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it ran: %v", err)
	}
	if row := w.rows(t, org.ID)[0]; row.Status != sallyport.StatusError || row.Code != sallyport.CodePlatformUnavailable {
		t.Errorf("row %+v", row)
	}
}

// A token that has ended by the clock, whoever set that, ends what runs under it.
func TestEndExpired(t *testing.T) {
	w := newWorld(t)
	org := w.org(t, "o")
	ws := w.host(t, org)
	var ahead atomic.Int64
	w.Gateway.Now = func() time.Time { return now().Add(time.Duration(ahead.Load())) }
	by := w.admin
	by.ExpiresAt = now().Add(time.Hour)
	_, err := w.Exec(t.Context(), by, gateway.Ref{Workspace: ws.ID}, gateway.Exec{Argv: []string{"sleep", "600"}, TimeoutS: 120},
		gateway.ExecOutput{Dispatched: func(string) {}, Stdout: io.Discard, Stderr: io.Discard, Started: func() {
			w.EndExpired() // nothing has expired yet
			ahead.Store(int64(2 * time.Hour))
			w.EndExpired()
		}})
	wantCode(t, "an exec whose token has expired", err, sallyport.CodeRevoked)
	if row := w.rows(t, org.ID)[0]; row.Status != sallyport.StatusCanceled || row.Reason != "revoked" {
		t.Errorf("row %+v", row)
	}
}

// An act that had not begun when the lease was lost is told that nothing was run.
func TestLostBeforeTheBegin(t *testing.T) {
	w := newWorld(t)
	org := w.org(t, "o")
	ws := w.host(t, org)
	mark := filepath.Join(t.TempDir(), "mark")
	_, err := w.Exec(t.Context(), w.admin, gateway.Ref{Workspace: ws.ID}, gateway.Exec{Argv: []string{"touch", mark}, TimeoutS: 9},
		gateway.ExecOutput{Dispatched: func(string) { w.LoseExecs() }, Started: func() {}, Stdout: io.Discard, Stderr: io.Discard})
	var known *sallyport.Error
	if !errors.As(err, &known) || known.Code != sallyport.CodePlatformUnavailable || known.Started == nil || *known.Started {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(mark); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it ran: %v", err)
	}
	if row := w.rows(t, org.ID)[0]; row.Status != sallyport.StatusError || row.Code != sallyport.CodePlatformUnavailable {
		t.Errorf("row %+v", row)
	}
}

// An end is told only by the server that still holds the row.
func TestEndOfARowThatAnotherHasClosed(t *testing.T) {
	w := newWorld(t)
	org := w.org(t, "o")
	ws := w.host(t, org)
	must(t, w.db.TakeLease(t.Context(), "mine", "", time.Hour))
	must(t, w.db.TakeLease(t.Context(), "another", "", time.Hour))
	w.Replica = "mine"
	_, err := w.Exec(t.Context(), w.admin, gateway.Ref{Workspace: ws.ID}, gateway.Exec{Argv: []string{"true"}, TimeoutS: 9},
		gateway.ExecOutput{Dispatched: func(string) {}, Stdout: io.Discard, Stderr: io.Discard, Started: func() {
			must(t, w.db.EndLease(t.Context(), "mine"))
			rows, err := w.db.AdoptActs(t.Context(), "another", 9)
			must(t, err)
			must(t, w.Audit.Interrupt(rows[0], audit.End{Status: sallyport.StatusInterrupted}))
		}})
	wantCode(t, "an exec whose row another has closed", err, sallyport.CodeInterrupted)
	if row := w.rows(t, org.ID)[0]; row.Status != sallyport.StatusInterrupted || row.ExitCode != nil {
		t.Errorf("row %+v", row)
	}
}
