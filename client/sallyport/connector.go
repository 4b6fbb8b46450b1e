package sallyport

// Connector types.
const (
	// ConnectorLocal is the SSH host embedded in the server's own process.
	ConnectorLocal = "local"
	// ConnectorSSH is an SSH server that the server can reach by itself.
	ConnectorSSH = "ssh"
	// ConnectorEIC is an EC2 instance, reached through an EC2 Instance Connect Endpoint.
	ConnectorEIC = "eic"
)

// DefaultEICUser is whom a ConnectorEIC that names nobody logs in as: Amazon Linux's user,
// as the aws CLI has it.
const DefaultEICUser = "ec2-user"

// DefaultSSHPort is the port of an SSH connector that names none.
const DefaultSSHPort = 22

// Connector is how a workspace's SSH server is reached. Which fields go with which type
// their comments say; User, HostKey and TrustOnFirstUse go with ConnectorSSH and
// ConnectorEIC.
type Connector struct {
	Type string `json:"type"`

	// Root is the root of the workspace's files, with every type: absolute, or relative to
	// the user's home; empty is the home. It is a setting of files alone.
	Root string `json:"root,omitempty"`

	// InstanceID, i-…, is the instance of a ConnectorEIC; it is needed.
	InstanceID string `json:"instance_id,omitempty"`
	// Region is where it is; empty is the server's own.
	Region string `json:"region,omitempty"`
	// EndpointID, eice-…, is the endpoint to go through, and PrivateIP the instance's
	// address; empty is found out.
	EndpointID string `json:"endpoint_id,omitempty"`
	PrivateIP  string `json:"private_ip,omitempty"`

	// Host, Port and Auth are a ConnectorSSH's. Host is a name or an address. What a name stands for is looked up for each
	// connection, and the address that is dialled must be allowed.
	Host string `json:"host,omitempty"`
	// Port is 1 to 65535; 0 is DefaultSSHPort.
	Port int `json:"port,omitempty"`
	// User is whom to log in as on the machine.
	User string `json:"user,omitempty"`
	// HostKey is the key that the machine must prove, as authorized_keys and
	// known_hosts write one: type and base64. With TrustOnFirstUse it may be
	// missing, and the server fills in the first that it sees; a ConnectorEIC always
	// does.
	HostKey         string `json:"host_key,omitempty"`
	TrustOnFirstUse bool   `json:"trust_on_first_use,omitempty"`
	// Auth says how to log in; nil is AuthCA.
	Auth *ConnectorAuth `json:"auth,omitempty"`
}

// Ways to log in.
const (
	// AuthCA is a certificate of the server's own SSH CA, which the machine trusts
	// (TrustedUserCAKeys).
	AuthCA = "ca"
	// AuthKey is a private key that is stored, encrypted.
	AuthKey = "key"
)

// ConnectorAuth is how to log in on a machine.
type ConnectorAuth struct {
	Type string `json:"type"`
	// PrivateKey is a key as ssh-keygen writes it, without a passphrase. It is
	// never shown again.
	PrivateKey string `json:"private_key,omitempty"`
}
