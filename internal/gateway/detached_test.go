package gateway

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/administration"
	"sallyport/internal/principal"
	"sallyport/internal/store/sqlite"
)

// detachedWorld is a workspace with a token of its own.
type detachedWorld struct {
	*Gateway
	t       *testing.T
	ws      sallyport.Workspace
	records *administration.Administration
	token   sallyport.Token
}

func newDetachedWorld(t *testing.T) *detachedWorld {
	g, ws := newSmallWorld(t)
	db := g.Leases.(*sqlite.DB)
	w := &detachedWorld{Gateway: g, t: t, ws: ws, records: &administration.Administration{
		Access: g.Access, Orgs: db, Workspaces: db, Tokens: db, Connectors: g.Connectors, End: g.EndEverywhere, Log: g.Log, Now: g.Now,
		// A change of the machine that was checked just before an exec began.
		RunsDetached: func(context.Context, string, string) (bool, error) { return false, nil },
	}}
	tier := sallyport.TierPrivileged
	_, err := w.records.UpdateWorkspace(t.Context(), admin(), Ref{Workspace: ws.ID}, administration.WorkspaceChange{Tier: &tier})
	must(t, err)
	w.token, err = w.records.CreateToken(t.Context(), admin(), w.home(), sallyport.TokenCreate{Name: "own", Scopes: sallyport.AllScopes()})
	must(t, err)
	t.Cleanup(g.detached.end)
	return w
}

func admin() Caller {
	return Caller{Principal: principal.Principal{Kind: principal.Admin, Scopes: sallyport.AllScopes()}}
}

func (w *detachedWorld) home() administration.TokenHome {
	return administration.TokenHome{Org: w.ws.OrgID, Workspace: w.ws.ID}
}

func (w *detachedWorld) revoke() {
	must(w.t, w.records.RevokeToken(w.t.Context(), admin(), w.home(), w.token.ID))
}

// start starts an exec with the workspace's token. dispatched is called when its row is on disk.
func (w *detachedWorld) start(dispatched func(execID string), argv ...string) sallyport.Activity {
	by := Caller{
		Principal:       principal.Principal{Kind: principal.Workspace, OrgID: w.ws.OrgID, WorkspaceID: w.ws.ID, TokenID: w.token.ID, Scopes: sallyport.AllScopes()},
		RevocationEpoch: w.RevocationEpoch(),
	}
	row, _, err := w.StartDetached(w.t.Context(), by, Ref{Workspace: w.ws.ID}, Exec{Argv: argv, Detached: true, TimeoutS: 600, KeepS: 600, MaxOutputBytes: 1 << 20}, dispatched)
	must(w.t, err)
	w.t.Cleanup(func() { must(w.t, w.DeleteExec(context.Background(), admin(), Ref{Workspace: w.ws.ID}, row.ID, false)) })
	return row
}

// adopt is what another server does when this one has died.
func (w *detachedWorld) adopt(row sallyport.Activity, meanwhile func()) {
	w.detached.forget(w.ws.ID, row.ID)
	meanwhile()
	kept, err := w.Activities.Activity(w.t.Context(), row.OrgID, row.ID)
	must(w.t, err)
	must(w.t, w.adoptDetached(w.t.Context(), kept))
}

func (w *detachedWorld) awaitEnd(row sallyport.Activity) sallyport.Activity {
	for row.Status == sallyport.StatusRunning {
		var err error
		row, err = w.AwaitExec(w.t.Context(), admin(), Ref{Workspace: w.ws.ID}, row.ID, time.Minute)
		must(w.t, err)
	}
	return row
}

// A server that takes an exec over knows its token, and ends it if that was revoked meanwhile.
func TestDetachedTakenOver(t *testing.T) {
	t.Parallel()
	w := newDetachedWorld(t)
	row := w.start(nil, "sleep", "600")
	w.adopt(row, func() {})
	for _, e := range w.live.PossibleEndings() {
		if gone, err := w.isGone(t.Context(), e); gone || err != nil {
			t.Errorf("%+v is gone: %v, %v", e.Ending, gone, err)
		}
	}
	w.adopt(row, w.revoke)
	if row = w.awaitEnd(row); row.Status != sallyport.StatusCanceled || row.Reason != string(sallyport.CodeRevoked) {
		t.Errorf("row %+v", row)
	}
}

// A token that is revoked while an exec is started ends it.
func TestDetachedRevokedDuringStart(t *testing.T) {
	t.Parallel()
	w := newDetachedWorld(t)
	row := w.awaitEnd(w.start(func(string) { w.revoke() }, "sleep", "600"))
	if row.Status != sallyport.StatusCanceled || row.Reason != string(sallyport.CodeRevoked) {
		t.Errorf("row %+v", row)
	}
}

// A workspace that has lost its machine while an exec runs there is asked in vain, and that is all.
func TestDetachedWithoutAMachine(t *testing.T) {
	t.Parallel()
	w := newDetachedWorld(t)
	row := w.start(nil, "sleep", "600")
	machine := func(c *sallyport.Connector) {
		_, err := w.records.UpdateWorkspace(context.Background(), admin(), Ref{Workspace: w.ws.ID}, administration.WorkspaceChange{
			Connector: func(*sallyport.Connector) (*sallyport.Connector, error) { return c, nil },
		})
		must(t, err)
	}
	t.Cleanup(func() { machine(w.ws.Connector) }) // before the exec is deleted
	w.adopt(row, func() { machine(nil) })
	running, _ := w.detached.machines[w.ws.ID].due(&w.detached)
	if err := w.askAll(t.Context(), running); sallyport.CodeOf(err) != sallyport.CodeWorkspaceHasNoHost || len(running) != 1 {
		t.Errorf("%d asked for: %v", len(running), err)
	}
}

// An exec that is ended while it is started never runs.
func TestDetachedEndedDuringStart(t *testing.T) {
	t.Parallel()
	w := newDetachedWorld(t)
	ran := filepath.Join(t.TempDir(), "ran")
	var execID string
	_, _, err := w.StartDetached(t.Context(), admin(), Ref{Workspace: w.ws.ID}, Exec{
		Argv: []string{"touch", ran}, Detached: true, TimeoutS: 600, KeepS: 600, MaxOutputBytes: 1 << 20,
	}, func(id string) {
		execID = id
		must(t, w.DeleteExec(t.Context(), admin(), Ref{Workspace: w.ws.ID}, id, false))
	})
	if sallyport.CodeOf(err) != sallyport.CodeCanceled {
		t.Errorf("the start: %v", err)
	}
	row, err := w.ExecRow(t.Context(), admin(), Ref{Workspace: w.ws.ID}, execID)
	must(t, err)
	if row.Status != sallyport.StatusCanceled {
		t.Errorf("row %+v", row)
	}
	if _, err := os.Stat(ran); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it ran: %v", err)
	}
}

// An exec that has started is not told as one that never did, whose key would be free, when its
// spool is gone.
func TestDetachedLosesItsSpool(t *testing.T) {
	t.Parallel()
	w := newDetachedWorld(t)
	row := w.start(nil, "sh", "-c", `rm -rf "$HOME/.sallyport/execs/"*; exec sleep 1`)
	for row.Status == sallyport.StatusRunning {
		running, _ := w.detached.machines[w.ws.ID].due(&w.detached)
		must(t, w.askAll(t.Context(), running))
		var err error
		row, err = w.ExecRow(t.Context(), admin(), Ref{Workspace: w.ws.ID}, row.ID)
		must(t, err)
	}
	if row.Reason != sallyport.ReasonSpoolLost {
		t.Errorf("row %+v", row)
	}
}

// An exec that could not be ended when it was to be is ended when its machine is reached.
func TestDetachedEndedLater(t *testing.T) {
	t.Parallel()
	w := newDetachedWorld(t)
	row := w.start(nil, "sleep", "600")
	machine := w.detached.machines[w.ws.ID]
	running, _ := machine.due(&w.detached)
	w.detached.endLater(running[0], sallyport.Errorf(sallyport.CodeRevoked, "the token was revoked"))
	running, _ = machine.due(&w.detached)
	must(t, w.askAll(t.Context(), running))
	row, err := w.ExecRow(t.Context(), admin(), Ref{Workspace: w.ws.ID}, row.ID)
	must(t, err)
	if row.Status != sallyport.StatusCanceled || row.Reason != string(sallyport.CodeRevoked) {
		t.Errorf("row %+v", row)
	}
}

// What lasts beyond its caller ends with the server: no machine holds up a drain.
func TestLasting(t *testing.T) {
	t.Parallel()
	g := &Gateway{ConnectTime: time.Hour}
	for _, cause := range []error{context.Canceled, sallyport.Errorf(sallyport.CodeRevoked, "revoked"), sallyport.Errorf(sallyport.CodeDraining, "draining")} {
		ctx, end := context.WithCancelCause(t.Context())
		lasting, cancel := g.lasting(ctx)
		end(cause)
		if sallyport.CodeOf(cause) == sallyport.CodeDraining {
			<-lasting.Done()
		} else if lasting.Err() != nil {
			t.Errorf("ended by %v", cause)
		}
		cancel()
	}
}
