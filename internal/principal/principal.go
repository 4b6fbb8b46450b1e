// Package principal holds the authenticated callers.
package principal

import (
	"slices"
	"time"

	"sallyport/client/sallyport"
)

// Kind is the sort of token that a principal came with.
type Kind int

// Kinds of principals. The zero Kind is nobody, who may do nothing.
const (
	Nobody Kind = iota
	// Admin is the configuration's token: break-glass, and crosses tenants.
	Admin
	// Org may act on every workspace of its organisation, within its scopes.
	Org
	// Workspace may act on one workspace, within its scopes.
	Workspace
	// System is the server itself, for what nobody asks for. No rule lets it do anything.
	System
)

// Principal is an authenticated caller. The zero value is nobody.
type Principal struct {
	Kind Kind
	// OrgID is empty for the admin.
	OrgID string
	// WorkspaceID is set for a workspace's token alone.
	WorkspaceID string
	// TokenID and Prefix name the token; both are empty for the admin.
	TokenID string
	Prefix  string
	// Session is the SHA-256 of the cookie that stands for the token; zero where the token
	// came itself.
	Session [32]byte
	Scopes  []sallyport.Scope
	// ExpiresAt is when the principal may act no more; zero is never.
	ExpiresAt time.Time
	// TokenExpiresAt is when the token itself expires, which may be later than a session
	// that stands for it; zero for a token that doesn't.
	TokenExpiresAt time.Time
}

// Actor is the name by which the activity log knows p. It is no secret.
func (p Principal) Actor() string {
	switch p.Kind {
	case Admin:
		return "admin-token"
	case Org:
		return "org-token:" + p.Prefix
	case Workspace:
		return "workspace-token:" + p.Prefix
	case System:
		return "system"
	}
	return "nobody"
}

// Has reports whether p holds scope s. The admin holds all.
func (p Principal) Has(s sallyport.Scope) bool {
	return p.Kind == Admin || (p.Kind != Nobody && p.Kind != System && slices.Contains(p.Scopes, s))
}
