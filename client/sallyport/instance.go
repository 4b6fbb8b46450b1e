package sallyport

import "time"

// Instance is an EC2 instance that could be a workspace.
type Instance struct {
	// ID is i-…, and Region where it is.
	ID     string `json:"instance_id"`
	Region string `json:"region"`
	// Name is its tag Name, if it has one.
	Name string `json:"name,omitempty"`
	// State is EC2's word, such as running.
	State      string            `json:"state"`
	PrivateIP  string            `json:"private_ip,omitempty"`
	LaunchedAt time.Time         `json:"launched_at"`
	Tags       map[string]string `json:"tags"`
	// EndpointID is the EC2 Instance Connect Endpoint through which it would be reached;
	// empty where its network has none that can be used.
	EndpointID string `json:"endpoint_id,omitempty"`
	// WorkspaceID and WorkspaceName are the organisation's workspace that it is already.
	WorkspaceID   string `json:"workspace_id,omitempty"`
	WorkspaceName string `json:"workspace_name,omitempty"`
}

// AWSRegionPattern is what an AWS region looks like, which goes into host names.
const AWSRegionPattern = `^[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}$`

// InstanceQuery says which instances are looked for.
type InstanceQuery struct {
	// Region is where; empty is the server's own.
	Region string
	// Tags are all to be there; an empty value stands for any.
	Tags map[string]string
}
