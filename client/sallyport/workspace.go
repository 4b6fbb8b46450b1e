package sallyport

import (
	"encoding/json"
	"time"
)

// Tiers say how much of its machine a workspace's callers may have.
const (
	TierSandboxed  = 1
	TierStandard   = 2
	TierPrivileged = 3
	TierFullHost   = 4

	// DefaultTier is what a workspace gets that names none.
	DefaultTier = TierStandard
)

// Workspace is one machine of one organisation.
type Workspace struct {
	ID     string            `json:"id"`
	OrgID  string            `json:"org_id"`
	Name   string            `json:"name"`
	Tier   int               `json:"tier"`
	Labels map[string]string `json:"labels"`
	// Connector says how the machine is reached; null when it has no host.
	Connector *Connector `json:"connector"`
	// ForwardAllow says where forwards may lead: HOST:PORTS each, where HOST is loopback, a
	// name, an address or a CIDR, and PORTS a number, A-B or *. IPv6 stands in brackets.
	ForwardAllow []string `json:"forward_allow"`
	// RecordTerminals has every terminal recorded, also where its client doesn't ask for it.
	RecordTerminals bool      `json:"record_terminals"`
	CreatedAt       time.Time `json:"created_at"`
	UpdatedAt       time.Time `json:"updated_at"`
}

// WorkspaceCreate is the body of POST /workspaces.
type WorkspaceCreate struct {
	// OrgID is the admin's to give, an id or a name; others get their own.
	OrgID string `json:"org_id,omitempty"`
	// Name is [a-z0-9][a-z0-9-]{0,62}, unique in its organisation.
	Name string `json:"name"`
	// Tier is 1 to 4; 0 is DefaultTier.
	Tier      int               `json:"tier,omitempty"`
	Labels    map[string]string `json:"labels,omitempty"`
	Connector *Connector        `json:"connector,omitempty"`
	// ForwardAllow: nil is ForwardAllowDefault, and an empty one allows nothing.
	ForwardAllow []string `json:"forward_allow,omitzero"`
	// RecordTerminals has every terminal recorded.
	RecordTerminals bool `json:"record_terminals,omitempty"`
}

// WorkspacePatch is the body of PATCH /workspaces/{id}, a JSON merge patch
// (RFC 7396): a nil field is left as it is.
type WorkspacePatch struct {
	Name *string `json:"name,omitempty"`
	Tier *int    `json:"tier,omitempty"`
	// Labels holds the labels to set; a nil value removes one.
	Labels map[string]*string `json:"labels,omitempty"`
	// Connector replaces the connector; JSON null takes it away.
	Connector json.RawMessage `json:"connector,omitempty"`
	// ForwardAllow replaces the list: nil leaves it, an empty one allows nothing.
	ForwardAllow []string `json:"forward_allow,omitzero"`
	// RecordTerminals says whether every terminal that begins is recorded.
	RecordTerminals *bool `json:"record_terminals,omitempty"`
}
