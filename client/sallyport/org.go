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
	// Limits are those that the admin has set for it; nil is the server's own.
	Limits *OrgLimits `json:"limits,omitempty"`
}

// OrgLimits bounds what an organisation may take of the server. A field that is 0 is
// the server's own limit.
type OrgLimits struct {
	// RunningExecs bounds the execs of the organisation that run at once,
	// RunningExecsPerWorkspace those of one of its workspaces.
	RunningExecs             int `json:"running_execs,omitempty"`
	RunningExecsPerWorkspace int `json:"running_execs_per_workspace,omitempty"`
	// RequestsPerS bounds the requests a second of one token, and RequestBurst how many
	// may come at once.
	RequestsPerS int `json:"requests_per_s,omitempty"`
	RequestBurst int `json:"request_burst,omitempty"`
	// OrgRequestsPerS and OrgRequestBurst bound the same for all of its tokens together.
	OrgRequestsPerS int `json:"org_requests_per_s,omitempty"`
	OrgRequestBurst int `json:"org_request_burst,omitempty"`
	// Tokens bounds its live tokens, those of its workspaces among them, and Workspaces its
	// workspaces.
	Tokens     int `json:"tokens,omitempty"`
	Workspaces int `json:"workspaces,omitempty"`
	// AttachmentBytes bounds one attachment, and AttachmentsBytes all live ones together.
	AttachmentBytes  int `json:"attachment_bytes,omitempty"`
	AttachmentsBytes int `json:"attachments_bytes,omitempty"`
	// RunningForwards bounds the forwards of the organisation that run at once,
	// RunningForwardsPerWorkspace those of one of its workspaces.
	RunningForwards             int `json:"running_forwards,omitempty"`
	RunningForwardsPerWorkspace int `json:"running_forwards_per_workspace,omitempty"`
	// RunningTerminals bounds the terminals of the organisation that run at once,
	// RunningTerminalsPerWorkspace those of one of its workspaces.
	RunningTerminals             int `json:"running_terminals,omitempty"`
	RunningTerminalsPerWorkspace int `json:"running_terminals_per_workspace,omitempty"`
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
	// AWS and Limits may be nil.
	AWS    *OrgAWS    `json:"aws,omitempty"`
	Limits *OrgLimits `json:"limits,omitempty"`
}

// OrgPatch is the body of PATCH /orgs/{org}, a JSON merge patch (RFC 7396): a
// nil field is left as it is.
type OrgPatch struct {
	Name *string `json:"name,omitempty"`
	// AWS and Limits are merge patches of their own; null takes them away.
	AWS    json.RawMessage `json:"aws,omitempty"`
	Limits json.RawMessage `json:"limits,omitempty"`
}
