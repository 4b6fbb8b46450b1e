package sallyport

import "time"

// Scope is one thing that a token may do.
type Scope string

// Scopes of organisation and workspace tokens.
const (
	ScopeExec       Scope = "exec"
	ScopeFilesRead  Scope = "files:read"
	ScopeFilesWrite Scope = "files:write"
	ScopeTerminal   Scope = "terminal"
	ScopeAuditRead  Scope = "audit:read"
	ScopeWorkspaces Scope = "workspaces"
	ScopeTokens     Scope = "tokens"
	// ScopeTerminalRead is for watching others' terminals, and for recordings.
	ScopeTerminalRead Scope = "terminal:read"
	ScopeForward      Scope = "forward"
	ScopeAttachments  Scope = "attachments"
)

// AllScopes returns every scope there is, in their canonical order.
func AllScopes() []Scope {
	return []Scope{ScopeExec, ScopeFilesRead, ScopeFilesWrite, ScopeTerminal, ScopeAuditRead, ScopeWorkspaces, ScopeTokens, ScopeTerminalRead, ScopeForward, ScopeAttachments}
}

// DefaultScopes returns what a new token may do that names no scopes: the first
// five.
func DefaultScopes() []Scope {
	return []Scope{ScopeExec, ScopeFilesRead, ScopeFilesWrite, ScopeTerminal, ScopeAuditRead}
}

// Token is an organisation's or a workspace's token, as lists show it.
type Token struct {
	ID    string `json:"id"`
	OrgID string `json:"org_id"`
	// WorkspaceID is set on a token for one workspace alone.
	WorkspaceID string `json:"workspace_id,omitempty"`
	// Name is free text of 1 to 100 characters.
	Name string `json:"name"`
	// Prefix names the token in lists and in the activity log; it is no secret.
	Prefix    string     `json:"prefix"`
	Scopes    []Scope    `json:"scopes"`
	CreatedAt time.Time  `json:"created_at"`
	ExpiresAt *time.Time `json:"expires_at"`
	// Secret is the token itself: present in the answer that creates it, and
	// nowhere else.
	Secret string `json:"token,omitempty"`
}

// TokenCreate is the body that makes a token.
type TokenCreate struct {
	Name string `json:"name"`
	// Scopes: none is DefaultScopes. A maker can't give what it hasn't.
	Scopes []Scope `json:"scopes,omitempty"`
	// ExpiresInS is the token's life in seconds; 0 is for ever. It is cut to its maker's,
	// where that has an end: Token.ExpiresAt tells.
	ExpiresInS int64 `json:"expires_in_s,omitempty"`
}

// Session tells who a token, or a cookie, is: GET /session, and POST /session.
type Session struct {
	Actor       string  `json:"actor"`
	OrgID       string  `json:"org_id,omitempty"`
	WorkspaceID string  `json:"workspace_id,omitempty"`
	Scopes      []Scope `json:"scopes"`
}
