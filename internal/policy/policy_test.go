package policy_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"sallyport/client/sallyport"
	"sallyport/internal/policy"
	"sallyport/internal/principal"
	"sallyport/internal/store"
)

const whatever = sallyport.Scope("any scopes or none")

// allowed is who may do what, by rule and kind of principal: the scope that it
// takes, or whatever; who isn't listed may not. The admin may do all and isn't listed.
var allowed = map[string]map[principal.Kind]sallyport.Scope{
	"Orgs":              {},
	"AllActivity":       {},
	"ReadCA":            {principal.Org: whatever, principal.Workspace: whatever},
	"RotateCA":          {principal.Org: sallyport.ScopeWorkspaces},
	"ReadWorkspaces":    {principal.Org: whatever, principal.Workspace: whatever},
	"WriteWorkspaces":   {principal.Org: sallyport.ScopeWorkspaces},
	"ReadConnection":    {principal.Org: sallyport.ScopeWorkspaces, principal.Workspace: sallyport.ScopeWorkspaces},
	"Tokens":            {principal.Org: sallyport.ScopeTokens},
	"Exec":              {principal.Org: sallyport.ScopeExec, principal.Workspace: sallyport.ScopeExec},
	"ReadFiles":         {principal.Org: sallyport.ScopeFilesRead, principal.Workspace: sallyport.ScopeFilesRead},
	"WriteFiles":        {principal.Org: sallyport.ScopeFilesWrite, principal.Workspace: sallyport.ScopeFilesWrite},
	"Attachments":       {principal.Org: sallyport.ScopeAttachments, principal.Workspace: sallyport.ScopeAttachments},
	"Forward":           {principal.Org: sallyport.ScopeForward, principal.Workspace: sallyport.ScopeForward},
	"Terminal":          {principal.Org: sallyport.ScopeTerminal, principal.Workspace: sallyport.ScopeTerminal},
	"WatchTerminal":     {principal.Org: sallyport.ScopeTerminalRead, principal.Workspace: sallyport.ScopeTerminalRead},
	"ReadOrgRecordings": {principal.Org: sallyport.ScopeTerminalRead},
	"ReadActivity":      {principal.Org: sallyport.ScopeAuditRead, principal.Workspace: sallyport.ScopeAuditRead},
	"ReadOrgActivity":   {principal.Org: sallyport.ScopeAuditRead},
}

// scopeSets are each scope alone, all but each, all, none, and one that there isn't.
func scopeSets() [][]sallyport.Scope {
	all := sallyport.AllScopes()
	sets := [][]sallyport.Scope{nil, all, {"admin"}, {""}}
	for _, s := range all {
		sets = append(sets, []sallyport.Scope{s})
		sets = append(sets, slices.DeleteFunc(slices.Clone(all), func(other sallyport.Scope) bool { return other == s }))
	}
	return sets
}

// TestRules asks every rule of every sort of principal with every set of scopes.
func TestRules(t *testing.T) {
	rules := reflect.ValueOf(policy.Rules())
	for i := range rules.NumField() {
		name := rules.Type().Field(i).Name
		rule := rules.Field(i).Interface().(policy.Rule)
		table, ok := allowed[name]
		if !ok {
			t.Errorf("rule %s is not in the table", name)
			continue
		}
		for _, kind := range []principal.Kind{principal.Nobody, principal.Admin, principal.Org, principal.Workspace, -1, 99} {
			for _, scopes := range scopeSets() {
				p := principal.Principal{Kind: kind, OrgID: "o", Prefix: "sp_x_12345678", Scopes: scopes}
				scope, listed := table[kind]
				want := kind == principal.Admin || listed && (scope == whatever || slices.Contains(scopes, scope))
				err := rule.Check(p)
				if (err == nil) != want {
					t.Errorf("%s by %s with %v: %v", name, p.Actor(), scopes, err)
				}
				wantRefusal(t, err, p.Actor(), rule.Name)
			}
		}
	}
	if rules.NumField() != len(allowed) {
		t.Errorf("the table has %d rules, the product %d", len(allowed), rules.NumField())
	}
}

// wantRefusal: a refusal says who, and which rule; nil is none.
func wantRefusal(t testing.TB, err error, words ...string) {
	t.Helper()
	if err == nil {
		return
	}
	if code := sallyport.CodeOf(err); code != sallyport.CodeScopeForbidden {
		t.Errorf("%v has code %s", err, code)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q doesn't say %q", err, word)
		}
	}
}

// The gate of exec is the workspace's tier and nothing else.
func TestHostExec(t *testing.T) {
	for tier := -1; tier <= 6; tier++ {
		err := policy.HostExec(store.Workspace{Name: "build", Tier: tier, Labels: map[string]string{"tier": "4"}})
		if tier >= 3 {
			if err != nil {
				t.Errorf("tier %d: %v", tier, err)
			}
			continue
		}
		if sallyport.CodeOf(err) != sallyport.CodeExecTierForbidden {
			t.Errorf("tier %d: %v", tier, err)
			continue
		}
		for _, word := range []string{"build", fmt.Sprint("tier ", tier), "tier 3"} {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%q doesn't say %q", err, word)
			}
		}
	}
}

// Nobody gives what he hasn't, and everybody may give what he has.
func TestGrant(t *testing.T) {
	kind := rapid.SampledFrom([]principal.Kind{principal.Nobody, principal.Admin, principal.Org, principal.Workspace})
	scopes := rapid.SliceOfN(rapid.SampledFrom(sallyport.AllScopes()), 0, 7)
	rapid.Check(t, func(rt *rapid.T) {
		p := principal.Principal{Kind: kind.Draw(rt, "kind"), Prefix: "sp_x_12345678", Scopes: scopes.Draw(rt, "has")}
		given := scopes.Draw(rt, "gives")
		var lacking sallyport.Scope
		for _, s := range given {
			has := p.Kind == principal.Admin || p.Kind != principal.Nobody && slices.Contains(p.Scopes, s)
			if !has && lacking == "" {
				lacking = s
			}
		}
		err := policy.Grant(p, given)
		if (err == nil) != (lacking == "") {
			rt.Fatalf("%s with %v gives %v: %v", p.Actor(), p.Scopes, given, err)
		}
		wantRefusal(t, err, p.Actor(), string(lacking))
	})
}
