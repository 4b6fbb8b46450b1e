package gateway

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/access"
	"sallyport/internal/administration"
	"sallyport/internal/audit"
	"sallyport/internal/connector"
	"sallyport/internal/connector/local"
	"sallyport/internal/keys"
	"sallyport/internal/limits"
	"sallyport/internal/live"
	"sallyport/internal/policy"
	"sallyport/internal/principal"
	"sallyport/internal/sshpool"
	"sallyport/internal/store"
	"sallyport/internal/store/sqlite"
)

// What follows is a whole kind of act: knock opens a session on the machine and closes it.

const activityKnock = "workspace_knock"

type knockDetail struct{ door string }

func (d knockDetail) Describe(row *sallyport.Activity) {
	row.Type, row.Summary = activityKnock, "knocked at "+d.door
}

type knocking struct{ signalled chan string }

func (k knocking) Signal(_ context.Context, name string) (bool, error) {
	k.signalled <- name
	return true, nil
}

// knock does the act; middle is called while the session is open.
func (g *Gateway) knock(ctx context.Context, by Caller, ref Ref, h live.Handle, middle func(context.Context) error) (err error) {
	ctx, a, err := g.begin(ctx, by, ref, actSpec{
		kind:   kind{rowType: activityKnock, tried: "knock", rules: []policy.Rule{g.Access.Rules.Exec}, drain: live.Waits},
		detail: knockDetail{"the front door"},
	})
	if err != nil {
		return err
	}
	defer func() { a.close(ctx, err) }()
	session, err := a.open(ctx, 0)
	if err == nil {
		defer session.Close()
		err = a.gate()
	}
	if err == nil {
		a.runs(h)
		err = middle(ctx)
	}
	end := audit.End{Status: sallyport.StatusOK}
	if err != nil {
		end = audit.End{Status: sallyport.StatusError, Code: sallyport.CodeOf(err)}
	}
	return errors.Join(err, a.finish(end))
}

// A new kind of act needs a row type, a detail and its middle: its row, its place among
// what runs, its signals, its end by a revocation and its report come by themselves.
func TestActOfANewKind(t *testing.T) {
	g, ws := newSmallWorld(t)
	var reports []*ActReport
	g.Watch = func(_ context.Context, r *ActReport) { reports = append(reports, r) }
	by := Caller{Principal: principal.Principal{Kind: principal.Admin, Scopes: sallyport.AllScopes()}}
	h := knocking{make(chan string, 1)}
	must(t, g.knock(t.Context(), by, Ref{Workspace: ws.ID}, h, func(ctx context.Context) error {
		rows := g.rows(t, ws)
		if len(rows) != 1 || rows[0].Record.Status != sallyport.StatusRunning || rows[0].Record.Type != activityKnock {
			t.Errorf("while it runs: rows %+v", rows)
		}
		sent, err := g.signalHere(ctx, rows[0].Record.ID, "TERM")
		if !sent || err != nil || <-h.signalled != "TERM" {
			t.Errorf("signalled: %v, %v", sent, err)
		}
		return nil
	}))
	err := g.knock(t.Context(), by, Ref{Workspace: ws.ID}, h, func(ctx context.Context) error {
		g.End(live.Ending{Of: live.EndingOfWorkspace, ID: ws.ID})
		<-ctx.Done()
		return context.Cause(ctx)
	})
	if sallyport.CodeOf(err) != sallyport.CodeWorkspaceDeleted {
		t.Errorf("ended by a deletion: %v", err)
	}
	rows := g.rows(t, ws)
	if len(rows) != 2 || rows[1].Record.Status != sallyport.StatusOK || rows[0].Record.Code != sallyport.CodeWorkspaceDeleted {
		t.Errorf("rows %+v", rows)
	}
	if len(reports) != 2 || reports[0].Type != activityKnock || reports[1].Outcome() != string(sallyport.CodeWorkspaceDeleted) {
		t.Errorf("reports %+v", reports)
	}
	if !g.live.IsEmpty() {
		t.Errorf("left behind: %+v", &g.live)
	}
}

func (g *Gateway) rows(t *testing.T, ws sallyport.Workspace) []store.Positioned[store.Activity] {
	t.Helper()
	page, err := g.Activities.Activities(t.Context(), store.ActivityFilter{OrgID: ws.OrgID, Type: activityKnock}, store.Page{Limit: 10})
	must(t, err)
	return page
}

func newSmallWorld(t *testing.T) (*Gateway, sallyport.Workspace) {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "test.db"), sqlite.Options{Migrate: true})
	must(t, err)
	must(t, db.TakeLease(t.Context(), "test", "", time.Hour))
	host, err := local.New(local.Config{Home: t.TempDir(), Shell: "/bin/sh"})
	must(t, err)
	seal, err := keys.ReadSeal(keys.NewSeal())
	must(t, err)
	quiet := slog.New(slog.DiscardHandler)
	log, pool := audit.New(db, quiet, nil), &sshpool.Pool{}
	t.Cleanup(func() {
		pool.Close()
		host.Close()
		log.Close()
		db.Close()
	})
	may := &access.Access{Orgs: db, Workspaces: db, Audit: log, Rules: policy.Rules()}
	connectors := map[string]connector.Connector{sallyport.ConnectorLocal: host}
	now := func() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }
	g := &Gateway{
		Access: may, Orgs: db, Workspaces: db, Tokens: db, Activities: db, Leases: db, Replica: "test", Audit: log, Pool: pool,
		Connectors: connectors, Log: quiet, ConnectTime: limits.ConnectTime, Now: now,
	}
	records := &administration.Administration{
		Access: may, Orgs: db, Workspaces: db, Tokens: db, CA: &keys.CA{Store: db, Seal: seal, Now: now},
		Connectors: connectors, End: g.EndEverywhere, Log: quiet, Now: now,
	}
	admin := Caller{Principal: principal.Principal{Kind: principal.Admin, Scopes: sallyport.AllScopes()}}
	org, err := records.CreateOrg(t.Context(), admin, sallyport.OrgCreate{Name: "acme"})
	must(t, err)
	ws, err := records.CreateWorkspace(t.Context(), admin, sallyport.WorkspaceCreate{
		OrgID: org.ID, Name: "dev", Connector: &sallyport.Connector{Type: sallyport.ConnectorLocal},
	})
	must(t, err)
	return g, ws
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
