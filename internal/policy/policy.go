// Package policy decides which principals may do what. Its decisions are pure: they
// look at a principal and a record, and at nothing else.
package policy

import (
	"slices"

	"sallyport/client/sallyport"
	"sallyport/internal/principal"
	"sallyport/internal/store"
)

// Rule says which principals may do one kind of thing. The admin may do all.
type Rule struct {
	// Name is how a refusal calls the rule.
	Name string
	// Kinds may do it; none means that the admin alone may.
	Kinds []principal.Kind
	// Scope is needed besides, where it is not empty.
	Scope sallyport.Scope
}

// anyToken is every token of the organisation; a workspace's token reaches its
// own workspace alone, which the look-up sees to.
var anyToken = []principal.Kind{principal.Org, principal.Workspace}

// Rules returns every rule, by what it is for. No other place grants anything.
func Rules() RuleSet {
	org := []principal.Kind{principal.Org}
	return RuleSet{
		Orgs:              Rule{Name: "the admin"},
		AllActivity:       Rule{Name: "the admin"},
		ReadCA:            Rule{Name: "any token of the organisation", Kinds: anyToken},
		RotateCA:          Rule{Name: "an organisation token with scope workspaces", Kinds: org, Scope: sallyport.ScopeWorkspaces},
		ReadWorkspaces:    Rule{Name: "any token of the organisation", Kinds: anyToken},
		WriteWorkspaces:   Rule{Name: "an organisation token with scope workspaces", Kinds: org, Scope: sallyport.ScopeWorkspaces},
		ReadConnection:    Rule{Name: "a token with scope workspaces", Kinds: anyToken, Scope: sallyport.ScopeWorkspaces},
		Tokens:            Rule{Name: "an organisation token with scope tokens", Kinds: org, Scope: sallyport.ScopeTokens},
		Exec:              Rule{Name: "a token with scope exec", Kinds: anyToken, Scope: sallyport.ScopeExec},
		ReadFiles:         Rule{Name: "a token with scope files:read", Kinds: anyToken, Scope: sallyport.ScopeFilesRead},
		WriteFiles:        Rule{Name: "a token with scope files:write", Kinds: anyToken, Scope: sallyport.ScopeFilesWrite},
		Attachments:       Rule{Name: "a token with scope attachments", Kinds: anyToken, Scope: sallyport.ScopeAttachments},
		Forward:           Rule{Name: "a token with scope forward", Kinds: anyToken, Scope: sallyport.ScopeForward},
		Terminal:          Rule{Name: "a token with scope terminal", Kinds: anyToken, Scope: sallyport.ScopeTerminal},
		WatchTerminal:     Rule{Name: "a token with scope terminal:read", Kinds: anyToken, Scope: sallyport.ScopeTerminalRead},
		ReadOrgRecordings: Rule{Name: "an organisation token with scope terminal:read", Kinds: org, Scope: sallyport.ScopeTerminalRead},
		ReadActivity:      Rule{Name: "a token with scope audit:read", Kinds: anyToken, Scope: sallyport.ScopeAuditRead},
		ReadOrgActivity:   Rule{Name: "an organisation token with scope audit:read", Kinds: org, Scope: sallyport.ScopeAuditRead},
	}
}

// RuleSet is every rule there is.
type RuleSet struct {
	Orgs, AllActivity, ReadCA, RotateCA     Rule
	ReadWorkspaces, WriteWorkspaces, Tokens Rule
	ReadConnection                          Rule
	Exec, ReadActivity, ReadOrgActivity     Rule
	ReadFiles, WriteFiles, Attachments      Rule
	Forward, Terminal, WatchTerminal        Rule
	ReadOrgRecordings                       Rule
}

// Check returns nil when the rule allows p, else scope_forbidden with a message that
// names the principal and the rule.
func (r Rule) Check(p principal.Principal) error {
	if p.Kind == principal.Admin {
		return nil
	}
	if slices.Contains(r.Kinds, p.Kind) && (r.Scope == "" || p.Has(r.Scope)) {
		return nil
	}
	return sallyport.Errorf(sallyport.CodeScopeForbidden, "%s may not do this: it takes %s", p.Actor(), r.Name)
}

// HostExec is the tier gate: running commands on a workspace's host takes tier 3
// or higher. It returns exec_tier_forbidden.
func HostExec(ws store.Workspace) error {
	if ws.Tier >= sallyport.TierPrivileged {
		return nil
	}
	return sallyport.Errorf(sallyport.CodeExecTierForbidden,
		"workspace %s is of tier %d; exec on its host takes tier %d or higher", ws.Name, ws.Tier, sallyport.TierPrivileged)
}

// Grant returns scope_forbidden if p asks for a token with a scope that p lacks.
func Grant(p principal.Principal, scopes []sallyport.Scope) error {
	for _, s := range scopes {
		if !p.Has(s) {
			return sallyport.Errorf(sallyport.CodeScopeForbidden, "%s can't give the scope %s, which it lacks", p.Actor(), s)
		}
	}
	return nil
}
