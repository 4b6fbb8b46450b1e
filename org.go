package sallyport

import (
	"encoding/json"
	"time"
)

// Org is a tenant: an organisation with its workspaces, tokens and activity.
type Org struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	CreatedAt time.Time `json:"created_at"`
	// AWS is how the organisation's EC2 instances are reached; nil is with the
	// server's own credentials.
	AWS *OrgAWS `json:"aws,omitempty"`
}

// OrgAWS is an organisation's access to AWS.
type OrgAWS struct {
	// RoleARN is the role that the server assumes for it, and ExternalID what the role
	// demands of who assumes it; that may be empty.
	RoleARN    string `json:"role_arn,omitempty"`
	ExternalID string `json:"external_id,omitempty"`
}

// OrgCreate is the body of POST /orgs.
type OrgCreate struct {
	// Name is [a-z0-9][a-z0-9-]{0,62}, unique on the server.
	Name string `json:"name"`
	// AWS may be nil.
	AWS *OrgAWS `json:"aws,omitempty"`
}

// OrgPatch is the body of PATCH /orgs/{org}, a JSON merge patch (RFC 7396): a
// nil field is left as it is.
type OrgPatch struct {
	Name *string `json:"name,omitempty"`
	// AWS is a merge patch of its own; null takes it away.
	AWS json.RawMessage `json:"aws,omitempty"`
}
