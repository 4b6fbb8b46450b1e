package httpapi_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sallyport/client/sallyport"
	"sallyport/internal/access"
	"sallyport/internal/administration"
	"sallyport/internal/audit"
	"sallyport/internal/connector"
	"sallyport/internal/connector/local"
	"sallyport/internal/fairqueue"
	"sallyport/internal/gateway"
	"sallyport/internal/httpapi"
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

// api is a handler and the admin's token.
type api struct {
	http.Handler
	admin string
	turns *fairqueue.Queue
}

// serve puts g behind HTTP, and its records' administration beside it.
func serve(g *gateway.Gateway, records *administration.Administration, store identity.Store) *api {
	admin := identity.Mint(principal.Admin)
	turns := fairqueue.New(1, time.Hour)
	a := &httpapi.API{
		Access: g.Access, Administration: records, Gateway: g, Auth: &identity.Authenticator{Store: store, Admin: &admin.Hash}, Turns: turns,
		Ready: func(*http.Request) error { return nil }, Log: slog.New(slog.DiscardHandler),
	}
	return &api{a.Handler(), admin.Secret, turns}
}

// newAPI is one on a real store and this machine, which is workspace w of
// organisation o.
func newAPI(t testing.TB) *api {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "test.db"), sqlite.Options{Migrate: true})
	must(t, err)
	host, err := local.New(local.Config{Home: t.TempDir(), Shell: "/bin/sh"})
	must(t, err)
	quiet := slog.New(slog.DiscardHandler)
	log, pool := audit.New(db, quiet, nil), &sshpool.Pool{}
	t.Cleanup(func() {
		pool.Close()
		host.Close()
		log.Close()
		db.Close()
	})
	seal, err := keys.ReadSeal(keys.NewSeal())
	must(t, err)
	may := &access.Access{Orgs: db, Workspaces: db, Audit: log, Rules: policy.Rules()}
	connectors := map[string]connector.Connector{sallyport.ConnectorLocal: host}
	g := &gateway.Gateway{
		Access: may, Orgs: db, Workspaces: db, Tokens: db, Activities: db, Audit: log, Pool: pool, Connectors: connectors,
		Log: quiet, Now: time.Now, ConnectTime: limits.ConnectTime, OutputGrace: limits.OutputGrace,
	}
	a := serve(g, &administration.Administration{
		Access: may, Orgs: db, Workspaces: db, Tokens: db, CA: &keys.CA{Store: db, Seal: seal, Now: time.Now}, Connectors: connectors,
		End: g.EndEverywhere, Log: quiet, Now: time.Now,
	}, db)
	a.create(t, "/orgs", `{"name":"o"}`)
	a.create(t, "/workspaces", `{"org_id":"o","name":"w","tier":4,"connector":{"type":"local"}}`)
	return a
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (a *api) create(t testing.TB, path, body string) {
	t.Helper()
	if got := a.answer(a.request(http.MethodPost, path, body)); got.Code != http.StatusCreated {
		t.Fatalf("POST %s %s: %d %s", path, body, got.Code, got.Body)
	}
}

// request is one of the admin's.
func (a *api) request(method, target, body string) *http.Request {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+a.admin)
	return r
}

func (a *api) answer(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r)
	return w
}

type reporter interface {
	Helper()
	Fatalf(string, ...any)
}

// codeOf is the code of an answer that is an error of ours, as every one is; ""
// is for an answer that is none.
func codeOf(t reporter, w *httptest.ResponseRecorder) sallyport.Code {
	t.Helper()
	if w.Header().Get(sallyport.HeaderRequestID) == "" {
		t.Fatalf("an answer without its request's id: %d %s", w.Code, w.Body)
	}
	if w.Code < 300 {
		return ""
	}
	var e sallyport.Error
	dec := json.NewDecoder(strings.NewReader(w.Body.String()))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&e); err != nil || e.Message == "" || e.Code == "" || w.Header().Get("Content-Type") != sallyport.MediaJSON {
		t.Fatalf("no error of ours: %d %q, %v", w.Code, w.Body, err)
	}
	return e.Code
}
