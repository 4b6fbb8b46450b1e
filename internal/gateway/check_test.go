package gateway_test

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sallyport/client/sallyport"
	"sallyport/internal/administration"
	"sallyport/internal/gateway"
)

// A token lives for a century at most, so that its end is a time.
func TestTokenLivesForACentury(t *testing.T) {
	w := newWorld(t)
	org := w.org(t, "o")
	const century = 100 * 365 * 24 * 3600
	for life, want := range map[int64]sallyport.Code{
		1: "", century: "", century + 1: sallyport.CodeInvalidExpiry, 1<<63 - 1: sallyport.CodeInvalidExpiry, -1 << 63: sallyport.CodeInvalidExpiry,
	} {
		token, err := w.CreateToken(t.Context(), w.admin, administration.TokenHome{Org: org.ID}, sallyport.TokenCreate{Name: "x", ExpiresInS: life})
		wantCode(t, fmt.Sprint(life), err, want)
		if err == nil && token.ExpiresAt.Sub(token.CreatedAt) != time.Duration(life)*time.Second {
			t.Errorf("%d: expires at %v", life, token.ExpiresAt)
		}
	}
}

// A change of labels is a merge patch (RFC 7396): null takes away, what isn't
// named stays, and everything else is as it was.
func TestLabelsMerge(t *testing.T) {
	w := newWorld(t)
	ws := w.workspace(t, w.org(t, "o"), "w")
	ctx, ref := t.Context(), gateway.Ref{Workspace: ws.ID}
	model := map[string]string{}
	key := rapid.SampledFrom([]string{"a", "b", "c", "d"})
	value := rapid.Ptr(rapid.StringMatching(`[a-z]{0,3}`), true)
	rapid.Check(t, func(t *rapid.T) {
		change := administration.WorkspaceChange{ClearLabels: rapid.Bool().Draw(t, "clear"), Labels: rapid.MapOf(key, value).Draw(t, "labels")}
		got, err := w.UpdateWorkspace(ctx, w.admin, ref, change)
		if err != nil {
			t.Fatal(err)
		}
		if change.ClearLabels {
			clear(model)
		}
		for k, v := range change.Labels {
			if v == nil {
				delete(model, k)
			} else {
				model[k] = *v
			}
		}
		stored, err := w.Workspace(ctx, w.admin, ref)
		if err != nil || !maps.Equal(stored.Labels, model) || !maps.Equal(got.Labels, model) {
			t.Fatalf("after %+v: told %v, stored %v, want %v; %v", change, got.Labels, stored.Labels, model, err)
		}
		if got.Name != ws.Name || got.Tier != ws.Tier || got.Connector != nil || !got.CreatedAt.Equal(ws.CreatedAt) {
			t.Fatalf("something else has changed: %+v", got)
		}
	})
}

// A refused change changes nothing, also of what was right in it.
func TestRefusedChangeChangesNothing(t *testing.T) {
	w := newWorld(t)
	org := w.org(t, "o")
	ws := w.workspace(t, org, "w")
	w.workspace(t, org, "taken")
	ref := gateway.Ref{Workspace: ws.ID}
	rows := len(w.rows(t, org.ID))
	good, bad, taken := "good", "BAD", "taken"
	three, nine := 3, 9
	tests := []struct {
		change administration.WorkspaceChange
		want   sallyport.Code
	}{
		{administration.WorkspaceChange{Tier: &three, Name: &bad}, sallyport.CodeInvalidName},
		{administration.WorkspaceChange{Name: &good, Tier: &nine}, sallyport.CodeInvalidTier},
		{administration.WorkspaceChange{Tier: &three, Name: &taken}, sallyport.CodeNameTaken},
		{administration.WorkspaceChange{Tier: &three, Labels: map[string]*string{"": &good}}, sallyport.CodeInvalidLabels},
		{administration.WorkspaceChange{Tier: &three, Connector: func(*sallyport.Connector) (*sallyport.Connector, error) {
			return &sallyport.Connector{Type: "x"}, nil
		}}, sallyport.CodeInvalidConnector},
	}
	for _, tt := range tests {
		_, err := w.UpdateWorkspace(t.Context(), w.admin, ref, tt.change)
		wantCode(t, fmt.Sprintf("%+v", tt.change), err, tt.want)
	}
	got, err := w.Workspace(t.Context(), w.admin, ref)
	if err != nil || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", ws) {
		t.Errorf("got %+v, %v, want %+v", got, err, ws)
	}
	if now := len(w.rows(t, org.ID)); now != rows {
		t.Errorf("%d rows of changes that were refused", now-rows)
	}
}
