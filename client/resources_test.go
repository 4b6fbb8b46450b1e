package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"sallyport/client"
	"sallyport/client/sallyport"
)

// Each call, as the server sees it.
func TestCalls(t *testing.T) {
	tier, name := 3, "new"
	workspace, everyone := client.Owner{Workspace: "w"}, client.ActivityFilter{Everyone: true}
	since := time.Date(2026, 11, 24, 9, 0, 0, 5, time.FixedZone("", 3600))
	page := client.Page{Limit: 7, Cursor: "a b"}
	tests := []struct {
		want string // method, address, body
		call func(ctx context.Context, c *client.Client) error
	}{
		{`GET /session`, func(ctx context.Context, c *client.Client) error { _, err := c.Session(ctx); return err }},

		{`GET /workspaces?cursor=a+b&limit=7`, func(ctx context.Context, c *client.Client) error { _, err := c.ListWorkspaces(ctx, page); return err }},
		{`GET /workspaces/w`, func(ctx context.Context, c *client.Client) error { _, err := c.GetWorkspace(ctx, "w"); return err }},
		{`POST /workspaces {"name":"w","tier":3,"labels":{"k":"v"},"connector":{"type":"local"}}`, func(ctx context.Context, c *client.Client) error {
			_, err := c.CreateWorkspace(ctx, sallyport.WorkspaceCreate{
				Name: "w", Tier: 3, Labels: map[string]string{"k": "v"}, Connector: &sallyport.Connector{Type: "local"},
			})
			return err
		}},
		{`PATCH /workspaces/w {"tier":3,"labels":{"k":null},"connector":null}`, func(ctx context.Context, c *client.Client) error {
			_, err := c.UpdateWorkspace(ctx, "w", sallyport.WorkspacePatch{
				Tier: &tier, Labels: map[string]*string{"k": nil}, Connector: json.RawMessage("null"),
			})
			return err
		}},
		{`GET /workspaces/w/connection`, func(ctx context.Context, c *client.Client) error { _, err := c.GetConnection(ctx, "w"); return err }},
		{`DELETE /workspaces/w`, func(ctx context.Context, c *client.Client) error { return c.DeleteWorkspace(ctx, "w") }},

		{`POST /orgs/acme/ca/rotate {}`, func(ctx context.Context, c *client.Client) error {
			c.Org = "acme"
			_, err := c.RotateCA(ctx, sallyport.CARotate{})
			return err
		}},
		{`POST /orgs/acme/ca/rotate {"now":true}`, func(ctx context.Context, c *client.Client) error {
			c.Org = "acme"
			_, err := c.RotateCA(ctx, sallyport.CARotate{Now: true})
			return err
		}},

		{`GET /orgs?limit=7`, func(ctx context.Context, c *client.Client) error {
			_, err := c.ListOrgs(ctx, client.Page{Limit: 7})
			return err
		}},
		{`GET /orgs/acme`, func(ctx context.Context, c *client.Client) error { _, err := c.GetOrg(ctx, "acme"); return err }},
		{`POST /orgs {"name":"acme"}`, func(ctx context.Context, c *client.Client) error {
			_, err := c.CreateOrg(ctx, sallyport.OrgCreate{Name: "acme"})
			return err
		}},
		{`PATCH /orgs/acme {"name":"new"}`, func(ctx context.Context, c *client.Client) error {
			_, err := c.UpdateOrg(ctx, "acme", sallyport.OrgPatch{Name: &name})
			return err
		}},
		{`DELETE /orgs/acme`, func(ctx context.Context, c *client.Client) error { return c.DeleteOrg(ctx, "acme") }},

		{`GET /orgs/acme/tokens`, func(ctx context.Context, c *client.Client) error {
			_, err := c.ListTokens(ctx, client.Owner{Org: "acme"}, client.Page{})
			return err
		}},
		{`GET /workspaces/w/tokens?cursor=a+b&limit=7`, func(ctx context.Context, c *client.Client) error {
			_, err := c.ListTokens(ctx, workspace, page)
			return err
		}},
		{`POST /workspaces/w/tokens?org=acme {"name":"ci","scopes":["exec"],"expires_in_s":60}`, func(ctx context.Context, c *client.Client) error {
			_, err := c.CreateToken(ctx, client.Owner{Org: "acme", Workspace: "w"},
				sallyport.TokenCreate{Name: "ci", Scopes: []sallyport.Scope{"exec"}, ExpiresInS: 60})
			return err
		}},
		{`DELETE /orgs/acme/tokens/0198`, func(ctx context.Context, c *client.Client) error {
			return c.RevokeToken(ctx, client.Owner{Org: "acme"}, "0198")
		}},

		{`GET /activity?limit=7&q=make+all&since=2026-11-24T08%3A00%3A00.000000005Z&status=ok&until=2026-11-24T09%3A00%3A00.000000005Z`,
			func(ctx context.Context, c *client.Client) error {
				f := everyone
				f.Status, f.Since, f.Until, f.Query = "ok", since, since.Add(time.Hour), "make all"
				_, err := c.ListActivity(ctx, f, client.Page{Limit: 7})
				return err
			}},
		{`GET /workspaces/w/activity?actor=admin-token&type=workspace_exec`, func(ctx context.Context, c *client.Client) error {
			_, err := c.ListActivity(ctx, client.ActivityFilter{Owner: workspace, Type: "workspace_exec", Actor: "admin-token"}, client.Page{})
			return err
		}},
	}
	for _, tt := range tests {
		t.Run(tt.want, func(t *testing.T) {
			var got string
			c := serve(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				got = fmt.Sprintf("%s %s", r.Method, r.URL)
				if len(body) > 0 {
					got += " " + string(body[:len(body)-1])
				}
				if r.Method == http.MethodDelete {
					w.WriteHeader(http.StatusNoContent)
					return
				}
				answerJSON(w, 200, struct{}{})
			})
			if err := tt.call(t.Context(), c); err != nil || got != tt.want {
				t.Errorf("got  %s\nwant %s\n%v", got, tt.want, err)
			}
		})
	}
}

// Client.Org is the organisation in which workspaces are looked up and made.
func TestOrgOfTheClient(t *testing.T) {
	var got string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = fmt.Sprintf("%s %s", r.URL, body)
		answerJSON(w, 200, struct{}{})
	})
	c.Org = "acme"
	ctx := t.Context()
	for want, call := range map[string]func() error{
		"/workspaces?org=acme ":   func() error { _, err := c.ListWorkspaces(ctx, client.Page{}); return err },
		"/workspaces/w?org=acme ": func() error { _, err := c.GetWorkspace(ctx, "w"); return err },
		"/workspaces {\"org_id\":\"acme\",\"name\":\"w\"}\n": func() error {
			_, err := c.CreateWorkspace(ctx, sallyport.WorkspaceCreate{Name: "w"})
			return err
		},
		"/workspaces/w/connection?org=acme ": func() error { _, err := c.GetConnection(ctx, "w"); return err },
		"/workspaces/w/tokens?org=acme ": func() error {
			_, err := c.ListTokens(ctx, client.Owner{Workspace: "w"}, client.Page{})
			return err
		},
		"/orgs/acme/tokens ": func() error { _, err := c.ListTokens(ctx, client.Owner{}, client.Page{}); return err },
		"/orgs/acme/activity ": func() error {
			_, err := c.ListActivity(ctx, client.ActivityFilter{}, client.Page{})
			return err
		},
		"/workspaces/w/activity?org=b ": func() error {
			_, err := c.ListActivity(ctx, client.ActivityFilter{Owner: client.Owner{Org: "b", Workspace: "w"}}, client.Page{})
			return err
		},
	} {
		if err := call(); err != nil || got != want {
			t.Errorf("got %q, want %q (%v)", got, want, err)
		}
	}
}

// Who names neither an organisation nor a workspace means the token's own.
func TestOwnerOfTheToken(t *testing.T) {
	for _, tt := range []struct {
		session sallyport.Session
		want    string
	}{
		{sallyport.Session{OrgID: "o-1"}, "/orgs/o-1/tokens"},
		{sallyport.Session{OrgID: "o-1", WorkspaceID: "w-1"}, "/workspaces/w-1/tokens"},
		{sallyport.Session{}, ""},
	} {
		var got string
		c := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/session" {
				answerJSON(w, 200, tt.session)
				return
			}
			got = r.URL.String()
			answerJSON(w, 200, struct{}{})
		})
		var answers int
		c.OnAnswer = func([]byte) { answers++ }
		_, err := c.ListTokens(t.Context(), client.Owner{}, client.Page{})
		if got != tt.want || errors.Is(err, client.ErrNoOrg) != (tt.want == "") {
			t.Errorf("%+v: %q, %v", tt.session, got, err)
		}
		if tt.want != "" && answers != 1 {
			t.Errorf("OnAnswer was told of %d answers; the look-up is not one", answers)
		}
	}
}

// pages serves the numbers up to total in pages of two, as workspaces.
func pages(t *testing.T, total int, requests *int) *client.Client {
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		*requests++
		var from int
		fmt.Sscan(r.URL.Query().Get("cursor"), &from)
		var list sallyport.List[sallyport.Workspace]
		for n := from; n < min(from+2, total); n++ {
			list.Items = append(list.Items, sallyport.Workspace{Name: fmt.Sprint(n)})
		}
		if from+2 < total {
			list.NextCursor = fmt.Sprint(from + 2)
		}
		answerJSON(w, 200, list)
	})
}

func TestAllFollowsTheCursor(t *testing.T) {
	var requests int
	c := pages(t, 5, &requests)
	var got []string
	for ws, err := range c.AllWorkspaces(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, ws.Name)
	}
	if !slices.Equal(got, []string{"0", "1", "2", "3", "4"}) || requests != 3 {
		t.Errorf("%v in %d requests", got, requests)
	}
}

func TestAllStopsWhenToldTo(t *testing.T) {
	var requests int
	c := pages(t, 5, &requests)
	for range c.AllWorkspaces(t.Context()) {
		break
	}
	if requests != 1 {
		t.Errorf("%d requests for one item", requests)
	}
}

func TestAllEndsWithTheError(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("cursor") != "" {
			answerJSON(w, 400, sallyport.Errorf(sallyport.CodeInvalidCursor, "no cursor of ours"))
			return
		}
		answerJSON(w, 200, sallyport.List[sallyport.Org]{Items: []sallyport.Org{{Name: "a"}}, NextCursor: "x"})
	})
	var seen []string
	for org, err := range c.AllOrgs(t.Context()) {
		seen = append(seen, fmt.Sprint(org.Name, sallyport.CodeOf(err)))
	}
	if !slices.Equal(seen, []string{"a", "invalid_cursor"}) {
		t.Error(seen)
	}
}

func TestAllRefusesToGoInCircles(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		answerJSON(w, 200, sallyport.List[sallyport.Activity]{Items: make([]sallyport.Activity, 1), NextCursor: "x"})
	})
	var rows, failures int
	for _, err := range c.AllActivity(t.Context(), client.ActivityFilter{Everyone: true}) {
		rows++
		if err != nil {
			failures++
		}
	}
	if rows != 3 || failures != 1 {
		t.Errorf("%d rows, %d failures", rows, failures)
	}
}

// The owner is looked up once, not for every page.
func TestAllLooksUpTheOwnerOnce(t *testing.T) {
	sessions := 0
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/session" {
			sessions++
			answerJSON(w, 200, sallyport.Session{OrgID: "o-1"})
			return
		}
		list := sallyport.List[sallyport.Token]{Items: make([]sallyport.Token, 1)}
		if r.URL.Query().Get("cursor") == "" {
			list.NextCursor = "x"
		}
		answerJSON(w, 200, list)
	})
	n := 0
	for _, err := range c.AllTokens(t.Context(), client.Owner{}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 2 || sessions != 1 {
		t.Errorf("%d tokens, %d look-ups", n, sessions)
	}
}
