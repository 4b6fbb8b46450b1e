package gateway_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sallyport/client/sallyport"
	"sallyport/internal/access"
	"sallyport/internal/administration"
	"sallyport/internal/audit"
	"sallyport/internal/connector"
	"sallyport/internal/connector/local"
	"sallyport/internal/gateway"
	"sallyport/internal/identity"
	"sallyport/internal/keys"
	"sallyport/internal/limits"
	"sallyport/internal/policy"
	"sallyport/internal/principal"
	"sallyport/internal/sshpool"
	"sallyport/internal/store/sqlite"
	_ "sallyport/test/apart"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a gateway on a real store and this machine, and its admin.
type world struct {
	*gateway.Gateway
	*administration.Administration
	may   *access.Access
	db    *sqlite.DB
	auth  *identity.Authenticator
	admin gateway.Caller
}

func newWorld(t testing.TB) *world {
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
	w := &world{
		may: may, db: db, auth: &identity.Authenticator{Store: db},
		admin: gateway.Caller{Principal: principal.Principal{Kind: principal.Admin, Scopes: sallyport.AllScopes()}},
		Gateway: &gateway.Gateway{
			Access: may, Orgs: db, Workspaces: db, Tokens: db, Activities: db, Leases: db, Replica: "test", Audit: log, Pool: pool,
			Connectors: connectors, Log: quiet, Now: now, ConnectTime: limits.ConnectTime, OutputGrace: limits.OutputGrace,
		},
	}
	w.Administration = &administration.Administration{
		Access: may, Orgs: db, Workspaces: db, Tokens: db, CARecords: db, CA: &keys.CA{Store: db, Seal: seal, Now: now}, CAOverlap: time.Hour,
		Connectors: connectors, End: w.EndEverywhere, Log: quiet, Now: now,
	}
	return w
}

// now is as fine as the store keeps times, as in the server.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) org(t testing.TB, name string) sallyport.Org {
	t.Helper()
	org, err := w.CreateOrg(t.Context(), w.admin, sallyport.OrgCreate{Name: name})
	must(t, err)
	return org
}

func (w *world) workspace(t testing.TB, org sallyport.Org, name string) sallyport.Workspace {
	t.Helper()
	ws, err := w.CreateWorkspace(t.Context(), w.admin, sallyport.WorkspaceCreate{OrgID: org.ID, Name: name})
	must(t, err)
	return ws
}

// host makes a workspace on this machine.
func (w *world) host(t testing.TB, org sallyport.Org) sallyport.Workspace {
	t.Helper()
	ws, err := w.CreateWorkspace(t.Context(), w.admin, sallyport.WorkspaceCreate{
		OrgID: org.ID, Name: "w", Tier: sallyport.TierFullHost, Connector: &sallyport.Connector{Type: sallyport.ConnectorLocal},
	})
	must(t, err)
	return ws
}

// caller makes a token and comes with it.
func (w *world) caller(t testing.TB, home administration.TokenHome, scopes ...sallyport.Scope) gateway.Caller {
	t.Helper()
	token, err := w.CreateToken(t.Context(), w.admin, home, sallyport.TokenCreate{Name: "test", Scopes: scopes})
	must(t, err)
	p, err := w.auth.Authenticate(t.Context(), []string{"Bearer " + token.Secret})
	must(t, err)
	return gateway.Caller{Principal: p, Addr: "10.0.0.1"}
}

// rows are the rows of an organisation, newest first; with org "" of all.
func (w *world) rows(t testing.TB, org string) []sallyport.Activity {
	t.Helper()
	query := gateway.ActivityQuery{Page: gateway.PageRequest{Limit: limits.PageMax}}
	read := func() (gateway.ActivityPage, error) { return w.OrgActivity(context.Background(), w.admin, org, query) }
	if org == "" {
		read = func() (gateway.ActivityPage, error) { return w.AllActivity(context.Background(), w.admin, query) }
	}
	page, err := read()
	must(t, err)
	return page.Items
}

type reporter interface {
	Helper()
	Errorf(string, ...any)
}

// wantCode checks the code of err; "" is for none.
func wantCode(t reporter, what string, err error, code sallyport.Code) {
	t.Helper()
	if got := sallyport.CodeOf(err); got != code {
		t.Errorf("%s: got %v (%s), want %q", what, err, got, code)
	}
}
