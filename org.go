package sallyport

import "time"

// Org is a tenant: an organisation with its workspaces, tokens and activity.
type Org struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	CreatedAt time.Time `json:"created_at"`
}

// OrgCreate is the body of POST /orgs.
type OrgCreate struct {
	// Name is [a-z0-9][a-z0-9-]{0,62}, unique on the server.
	Name string `json:"name"`
}

// OrgPatch is the body of PATCH /orgs/{org}, a JSON merge patch (RFC 7396): a
// nil field is left as it is.
type OrgPatch struct {
	Name *string `json:"name,omitempty"`
}
