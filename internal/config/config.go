// Package config puts a server's configuration together, from defaults, a file, the
// environment and flags, and knows every key.
package config

import (
	"log/slog"
	"net/netip"
	"net/url"
	"time"

	"sallyport/client/sallyport"
)

// Mode is which of its two commands a server runs as.
type Mode int

const (
	// ModeServer is production.
	ModeServer Mode = iota
	// ModeDev serves this machine alone, for the user who started it.
	ModeDev
)

// String returns the name of the command.
func (m Mode) String() string {
	if m == ModeDev {
		return "dev"
	}
	return "server"
}

// Config is a server's configuration. Load makes one in which every value has been
// checked; the zero value is none.
type Config struct {
	Mode Mode
	// Listen is HOST:PORT; port 0 picks a free one.
	Listen string
	// OnlyOrg is the id of the one organisation that the server is for; empty for all.
	OnlyOrg string
	// TLS is empty for plain HTTP.
	TLS TLSFiles
	// Insecure allows plain HTTP beyond loopback.
	Insecure bool
	// ProxiesTrusted are the addresses whose X-Forwarded-For is believed.
	ProxiesTrusted []netip.Prefix
	// DataDir holds the embedded store. It may not exist yet.
	DataDir string
	Store   StoreConfig
	// BusURL names the NATS servers that replicas share, comma-separated; empty is one in
	// this process.
	BusURL string
	// Replica is where the other servers on the same store reach this one.
	Replica ReplicaConfig
	Keys    KeysConfig
	// AdminTokenHash is the SHA-256 of the admin token, which itself is kept
	// nowhere; nil when there is none, and in dev, which makes one at its start.
	AdminTokenHash *[32]byte
	// LocalEnabled allows workspaces on the server's own machine.
	LocalEnabled bool
	// SSHAllow are the networks that workspaces reached by SSH may be in; none are
	// all but loopback, link-local and metadata addresses, and in dev loopback too.
	SSHAllow []netip.Prefix
	EIC      EICConfig
	// DrainTimeout is how long running execs may go on after SIGTERM.
	DrainTimeout time.Duration
	Limits       LimitsConfig
	Terminals    TerminalsConfig
	Recordings   RecordingsConfig
	// MetricsListen is HOST:PORT for the metrics alone; empty to serve them on Listen.
	MetricsListen string
	// TracesEndpoint is the URL that traces are posted to; empty for none.
	TracesEndpoint string
	Log            LogConfig
}

// TerminalsConfig is how terminals are kept.
type TerminalsConfig struct {
	// Resume is how long a terminal goes on whose connection is lost.
	Resume time.Duration
}

// EICConfig is how EC2 instances are reached.
type EICConfig struct {
	// TunnelEndpoint is where tunnels are dialled in place of AWS's own names; nil is
	// there.
	TunnelEndpoint *url.URL
	// Region is that of workspaces which name none; empty is the AWS SDK's.
	Region string
	// TunnelDuration is how long a tunnel is asked to last.
	TunnelDuration time.Duration
}

// TLSFiles name a certificate chain and its key, in PEM: both or neither.
type TLSFiles struct {
	CertFile string
	KeyFile  string
}

// StoreConfig says where the records are.
type StoreConfig struct {
	// URL is empty for SQLite in DataDir.
	URL string
	// Migrate brings the schema up to date at the start.
	Migrate bool
	// New begins with a new store where the one in DataDir is gone, and goes on without a
	// write-ahead log that is garbage.
	New bool
}

// ReplicaConfig says where other servers reach this one: both or neither.
type ReplicaConfig struct {
	// Listen is HOST:PORT; port 0 picks a free one.
	Listen string
	// URL is https://HOST:PORT; port 0 is the one that Listen has.
	URL string
}

// KeysConfig is about the SSH CA and the seal of stored keys.
type KeysConfig struct {
	// SealFile is empty for the one in DataDir, which is made at the first start.
	SealFile string
	// CAOverlap is how long a CA key stays in force beside its successor.
	CAOverlap time.Duration
}

// LimitsConfig holds the bounds that an operator may set.
type LimitsConfig struct {
	// ConnectTimeout is the budget for reaching a machine.
	ConnectTimeout time.Duration
	// OutputGrace is how long output may stay silent after a command's exit.
	OutputGrace time.Duration
	// Orgs are the limits of an organisation that has none of its own.
	Orgs sallyport.OrgLimits
	// RunningFiles and RunningFilesPerWorkspace bound the file operations that run at once.
	RunningFiles, RunningFilesPerWorkspace int
	// EventStreamsPerToken and EventStreams bound the open event streams of one token and
	// of one organisation.
	EventStreamsPerToken int
	EventStreams         int
	// BufferedOutputBytes is the memory for output that isn't streamed.
	BufferedOutputBytes int64
}

// RecordingsConfig says where recordings of terminals are kept, and how long.
type RecordingsConfig struct {
	// Dir is empty for one in DataDir.
	Dir string
	// Retention is how long one is kept.
	Retention time.Duration
	// BytesMax bounds one.
	BytesMax int64
}

// LogConfig says what is logged, and how.
type LogConfig struct {
	Level slog.Level
	// Format is "text" or "json".
	Format string
}

// LoadOptions say where a configuration comes from.
type LoadOptions struct {
	Mode Mode
	// File is the YAML file to read, empty for none. ModeDev takes none.
	File string
	// Env looks a variable of the environment up, as os.LookupEnv does; nil is
	// an empty environment. An empty variable counts as not set.
	Env func(name string) (string, bool)
	// Flags holds the flags that were given: the key, such as "drain_timeout",
	// and the value as typed. Flags lists those there are.
	Flags map[string]string
}

// Loaded is a configuration and where it came from. It holds no secret.
type Loaded struct {
	Config   Config
	settings []Setting
}

// Load reads defaults, file, environment and flags, each of which overrides the
// ones before it. Whatever is wrong in any of them, overridden or not, is an
// error of one sentence that names the key, the value unless it is a secret, and
// where it came from.
func Load(o LoadOptions) (*Loaded, error) {
	l := newLoading(o)
	for _, read := range []func() (layer, error){l.readDefaults, l.readFile, l.readEnv, l.readFlags} {
		values, err := read()
		if err != nil {
			return nil, err
		}
		if err := l.apply(values); err != nil {
			return nil, err
		}
	}
	if err := l.check(); err != nil {
		return nil, err
	}
	return &Loaded{Config: l.config, settings: l.settings()}, nil
}

// IsPlainBeyondLoopback tells whether tokens may cross a network in the clear.
func (c Config) IsPlainBeyondLoopback() bool {
	return c.TLS.CertFile == "" && !isLoopback(c.Listen)
}
