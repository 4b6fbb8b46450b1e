package config

import (
	"net/netip"
	"slices"
	"strconv"
	"time"

	"sallyport/internal/limits"
)

// key is one key of the configuration: a row of the table that the loader, the
// flags, the settings and the reference are made from.
type key struct {
	name string
	// env is spelled out: a name of a key can't be made from it, since dots and
	// underscores both become underscores.
	env string
	// flag is empty where nobody types the key.
	flag string
	// placeholder is what a flag's help calls its value; not for bools.
	placeholder string
	// serverFlag: dev does not have the flag.
	serverFlag bool
	kind       kind
	// server and dev are the defaults; a list's are comma-separated.
	server, dev string
	// secret values are never shown, in errors neither.
	secret bool
	// madeInDev: dev makes the value itself at its start and takes no other, not
	// even from an environment that was meant for a server.
	madeInDev bool
	// takes says which values there are, where the kind doesn't say it all.
	takes   string
	meaning string
	// set checks a value and puts it into the configuration. Its error is what
	// the key takes, without its name, the value and the source.
	set func(*Config, value) error
}

// kind is the type of a key's value.
type kind string

const (
	kindString   kind = "string"
	kindBool     kind = "bool"
	kindDuration kind = "duration"
	kindList     kind = "list"
	kindNumber   kind = "number"
)

// Keys that rules between several keys speak of.
const (
	keyListen         = "listen"
	keyCertFile       = "tls.cert_file"
	keyKeyFile        = "tls.key_file"
	keyDataDir        = "data_dir"
	keyAdminToken     = "admin_token"
	keyAdminTokenFile = "admin_token_file"
	keyMetricsListen  = "metrics.listen"
	keySealFile       = "keys.seal_file"
	keyReplicaListen  = "replica.listen"
	keyReplicaURL     = "replica.url"
)

// group is a part of the table with its heading.
type group struct {
	title string
	keys  []key
}

// groups is the table.
func groups() []group {
	return []group{
		{"Listening", listeningKeys()},
		{"Data", dataKeys()},
		{"Who may", identityKeys()},
		{"Reaching machines", connectorKeys()},
		{"Recordings", recordingKeys()},
		{"Limits", slices.Concat(limitKeys(), tenantKeys(), terminalKeys(), fileKeys())},
		{"Watching", watchingKeys()},
	}
}

// allKeys is the table without headings.
func allKeys() []key {
	var all []key
	for _, g := range groups() {
		all = slices.Concat(all, g.keys)
	}
	return all
}

func listeningKeys() []key {
	return []key{
		{name: keyListen, env: "SALLYPORT_LISTEN", flag: "listen", placeholder: "HOST:PORT", kind: kindString,
			server: "127.0.0.1:8080", dev: "127.0.0.1:8080", set: setListen,
			takes:   "`HOST:PORT`; port 0 picks a free one. No host is every address, in `dev` 127.0.0.1",
			meaning: "The address to serve on. `dev` takes loopback alone; beyond it `server` needs TLS or `insecure`."},
		{name: keyCertFile, env: "SALLYPORT_TLS_CERT_FILE", flag: "tls-cert-file", placeholder: "FILE", serverFlag: true, kind: kindString,
			set:     setString(func(c *Config) *string { return &c.TLS.CertFile }),
			takes:   "a file in PEM",
			meaning: "The certificate chain to serve HTTPS with; goes with `tls.key_file`."},
		{name: keyKeyFile, env: "SALLYPORT_TLS_KEY_FILE", flag: "tls-key-file", placeholder: "FILE", serverFlag: true, kind: kindString,
			set:     setString(func(c *Config) *string { return &c.TLS.KeyFile }),
			takes:   "a file in PEM",
			meaning: "The key of `tls.cert_file`."},
		{name: "insecure", env: "SALLYPORT_INSECURE", flag: "insecure", serverFlag: true, kind: kindBool,
			server: "false", dev: "false",
			set:     setBool(func(c *Config) *bool { return &c.Insecure }),
			meaning: "Allow plain HTTP beyond loopback, for a server behind a proxy that ends TLS."},
		{name: "proxies.trusted", env: "SALLYPORT_PROXIES_TRUSTED", kind: kindList, set: setNetworks(func(c *Config) *[]netip.Prefix { return &c.ProxiesTrusted }),
			takes:   "addresses and networks, such as `192.0.2.5,192.0.2.128/25`",
			meaning: "The proxies whose `X-Forwarded-For` is believed."},
	}
}

func dataKeys() []key {
	return []key{
		{name: keyDataDir, env: "SALLYPORT_DATA_DIR", flag: "data-dir", placeholder: "DIR", kind: kindString,
			server: "/var/lib/sallyport", dev: devDataDir,
			set:     setString(func(c *Config) *string { return &c.DataDir }),
			takes:   "a directory, made if it is missing",
			meaning: "Where SQLite keeps its files, and the seal of stored keys. `dev` looks in `~/.local/share` when `XDG_DATA_HOME` is not set."},
		{name: "store.url", env: "SALLYPORT_STORE_URL", kind: kindString, secret: true, set: setStoreURL,
			takes:   "`postgres://USER:PASSWORD@HOST/DATABASE`; nothing is SQLite in `data_dir`",
			meaning: "Where the records are. Several servers share a PostgreSQL database, 15 or newer ([more](replicas.md))."},
		{name: "store.migrate", env: "SALLYPORT_STORE_MIGRATE", kind: kindBool, server: "true", dev: "true",
			set:     setBool(func(c *Config) *bool { return &c.Store.Migrate }),
			meaning: "Bring the store's schema up to date at the start; `false` leaves that to `sallyport migrate`."},
		{name: "store.new", env: "SALLYPORT_STORE_NEW", flag: "new-store", kind: kindBool, server: "false", dev: "false",
			set:     setBool(func(c *Config) *bool { return &c.Store.New }),
			meaning: "Start also where the SQLite database is gone though its seal is there, or its write-ahead log is garbage, without what stood in them. For one start: take it away again."},
		{name: "bus.url", env: "SALLYPORT_BUS_URL", kind: kindString, secret: true, set: setBusURL,
			takes:   "`nats://HOST,nats://HOST`, or `tls://…`; nothing is a NATS server within this one",
			meaning: "The NATS servers by which servers on the same database tell one another what happens."},
		{name: keyReplicaListen, env: "SALLYPORT_REPLICA_LISTEN", kind: kindString, set: setReplicaListen,
			takes:   "`HOST:PORT`; port 0 picks a free one",
			meaning: "The address on which the other servers on the same database ask this one for what it holds. It answers nobody who hasn't the same seal; goes with `replica.url` ([more](replicas.md#asking-each-other))."},
		{name: keyReplicaURL, env: "SALLYPORT_REPLICA_URL", kind: kindString, set: setReplicaURL,
			takes:   "`https://HOST:PORT`; port 0 is that of `replica.listen`",
			meaning: "Where the other servers reach `replica.listen`: each server has its own."},
		{name: keySealFile, env: "SALLYPORT_KEYS_SEAL_FILE", kind: kindString,
			set:     setString(func(c *Config) *string { return &c.Keys.SealFile }),
			takes:   "a file of keys, a line each, as `openssl rand -base64 32` prints them; nothing is `seal.key` in `data_dir`, made at the first start",
			meaning: "What opens the private keys in the database, and is not in it: keep a copy elsewhere, and give every replica the same. The first key seals, the others still open ([more](keys.md))."},
		{name: "keys.ca_overlap", env: "SALLYPORT_KEYS_CA_OVERLAP", kind: kindDuration,
			server: limits.CAOverlap.String(), dev: limits.CAOverlap.String(),
			set:     setDuration(func(c *Config) *time.Duration { return &c.Keys.CAOverlap }, time.Minute, 365*24*time.Hour),
			takes:   "1m to 8760h",
			meaning: "How long an SSH CA key stays in force beside the one that has replaced it: the time to tell every machine."},
	}
}

func identityKeys() []key {
	return []key{
		{name: keyAdminToken, env: "SALLYPORT_ADMIN_TOKEN", kind: kindString, secret: true, madeInDev: true, set: setAdminToken,
			takes:   "at least 32 visible ASCII characters; one that begins `sp_` needs a valid checksum",
			meaning: "The token of the admin; without it there is none. `dev` makes a new one at each start and ignores this."},
		{name: keyAdminTokenFile, env: "SALLYPORT_ADMIN_TOKEN_FILE", flag: "admin-token-file", placeholder: "FILE", serverFlag: true, kind: kindString,
			madeInDev: true, set: keep,
			takes:   "a file that others than its owner and group can't read",
			meaning: "The file to read `admin_token` from, in its place; a newline at its end doesn't count."},
		{name: "tenant.org_id", env: "SALLYPORT_TENANT_ORG_ID", kind: kindString, set: setOnlyOrg,
			takes:   "an organisation's id",
			meaning: "The one organisation that this server is for: to tokens of others, and to requests whose `X-Sallyport-Org` names another, every route but health and metrics is 404. The admin's token is nobody's."},
	}
}

func connectorKeys() []key {
	return []key{
		{name: "connectors.local.enabled", env: "SALLYPORT_CONNECTORS_LOCAL_ENABLED", kind: kindBool, server: "false", dev: "true",
			set:     setBool(func(c *Config) *bool { return &c.LocalEnabled }),
			meaning: "Allow workspaces on the server's own machine, under the server's own user."},
		{name: "connectors.ssh.allow", env: "SALLYPORT_CONNECTORS_SSH_ALLOW", kind: kindList,
			set:     setNetworks(func(c *Config) *[]netip.Prefix { return &c.SSHAllow }),
			takes:   "addresses and networks, such as `192.0.2.0/24`",
			meaning: "The networks that workspaces reached by SSH may be in, and no others. Without it: all but loopback (`dev` has it), link-local and metadata addresses. Asked of the address that is dialled."},
		{name: "eic.region", env: "SALLYPORT_EIC_REGION", kind: kindString, set: setRegion,
			takes:   "an AWS region, such as `us-east-2`",
			meaning: "The region of EC2 instances whose workspace names none, in place of the one that the AWS SDK finds ([more](aws.md))."},
		{name: "eic.tunnel_duration", env: "SALLYPORT_EIC_TUNNEL_DURATION", kind: kindDuration,
			server: limits.TunnelDuration.String(), dev: limits.TunnelDuration.String(),
			set:     setDuration(func(c *Config) *time.Duration { return &c.EIC.TunnelDuration }, time.Second, limits.TunnelDuration),
			takes:   "1s to 1h, in whole seconds",
			meaning: "How long a tunnel of an EC2 Instance Connect Endpoint is asked to last, for where IAM allows less than an hour (`maxTunnelDuration`). Below 3m, execs with the longest time-outs each need a fresh one."},
		{name: "eic.tunnel_endpoint", env: "SALLYPORT_EIC_TUNNEL_ENDPOINT", kind: kindString, set: setTunnelEndpoint,
			takes:   "`ws://`, `wss://`, `http://` or `https://`, host and port",
			meaning: "Where every tunnel is dialled, and whether with TLS, in place of its endpoint's DNS name, which is signed for and asked for all the same."},
	}
}

func limitKeys() []key {
	return []key{
		{name: "limits.connect_timeout", env: "SALLYPORT_LIMITS_CONNECT_TIMEOUT", kind: kindDuration,
			server: limits.ConnectTime.String(), dev: limits.ConnectTime.String(),
			set:     setDuration(func(c *Config) *time.Duration { return &c.Limits.ConnectTimeout }, time.Millisecond, 10*time.Minute),
			takes:   "1ms to 10m",
			meaning: "How long reaching a machine may take, until the command has started."},
		{name: "limits.output_grace", env: "SALLYPORT_LIMITS_OUTPUT_GRACE", kind: kindDuration,
			server: limits.OutputGrace.String(), dev: limits.OutputGrace.String(),
			set:     setDuration(func(c *Config) *time.Duration { return &c.Limits.OutputGrace }, time.Millisecond, time.Minute),
			takes:   "1ms to 1m",
			meaning: "How long a command's output may stay silent after its exit, while a child of it holds the output open, before the answer ends."},
		{name: "limits.buffered_output_bytes", env: "SALLYPORT_LIMITS_BUFFERED_OUTPUT_BYTES", kind: kindNumber,
			server: strconv.Itoa(limits.BufferedOutputBytes), dev: strconv.Itoa(limits.BufferedOutputBytes),
			set:     setInteger(func(c *Config) *int64 { return &c.Limits.BufferedOutputBytes }, limits.BufferedOutputBytesMin, 1<<40),
			takes:   "67108864 (64 MiB) to 1099511627776",
			meaning: "The memory for what waits for callers: bodies, stdin, output that isn't streamed, other answers. Half of it for one organisation at most ([more](operating.md#limits)). It is half of `GOMEMLIMIT` where that is less."},
		{name: "drain_timeout", env: "SALLYPORT_DRAIN_TIMEOUT", flag: "drain-timeout", placeholder: "TIME", kind: kindDuration,
			server: limits.DrainTime.String(), dev: limits.DrainTime.String(),
			set:     setDuration(func(c *Config) *time.Duration { return &c.DrainTimeout }, 0, 24*time.Hour),
			takes:   "0s to 24h",
			meaning: "How long running execs may go on after SIGTERM, before they are canceled."},
	}
}

// fileKeys are of files and attachments.
func fileKeys() []key {
	return []key{
		{name: "limits.running_files", env: "SALLYPORT_LIMITS_RUNNING_FILES", kind: kindNumber,
			server: strconv.Itoa(limits.RunningFiles), dev: strconv.Itoa(limits.RunningFiles),
			set:     setInteger(func(c *Config) *int { return &c.Limits.RunningFiles }, 1, limits.OrgLimitMax),
			takes:   "1 to 1000000",
			meaning: "How many file operations of one organisation run at once, on all replicas together; more are refused."},
		{name: "limits.running_files_per_workspace", env: "SALLYPORT_LIMITS_RUNNING_FILES_PER_WORKSPACE", kind: kindNumber,
			server: strconv.Itoa(limits.RunningFilesPerWorkspace), dev: strconv.Itoa(limits.RunningFilesPerWorkspace),
			set:     setInteger(func(c *Config) *int { return &c.Limits.RunningFilesPerWorkspace }, 1, limits.OrgLimitMax),
			takes:   "1 to 1000000",
			meaning: "How many file operations run at once on one workspace."},
		{name: "limits.attachment_bytes", env: "SALLYPORT_LIMITS_ATTACHMENT_BYTES", kind: kindNumber,
			server: strconv.Itoa(limits.AttachmentBytes), dev: strconv.Itoa(limits.AttachmentBytes),
			set:     setInteger(func(c *Config) *int { return &c.Limits.Orgs.AttachmentBytes }, 1, limits.OrgBytesLimitMax),
			takes:   "1 to 1099511627776",
			meaning: "How many bytes an attachment has at most. The admin may set another limit for an organisation, as for the next one."},
		{name: "limits.attachments_bytes", env: "SALLYPORT_LIMITS_ATTACHMENTS_BYTES", kind: kindNumber,
			server: strconv.Itoa(limits.AttachmentsBytes), dev: strconv.Itoa(limits.AttachmentsBytes),
			set:     setInteger(func(c *Config) *int { return &c.Limits.Orgs.AttachmentsBytes }, 1, limits.OrgBytesLimitMax),
			takes:   "1 to 1099511627776",
			meaning: "How many bytes the live attachments of one organisation have together, on all of its machines."},
	}
}

// terminalKeys are of what terminals may take, and how they are kept.
func terminalKeys() []key {
	return []key{
		{name: "limits.running_terminals", env: "SALLYPORT_LIMITS_RUNNING_TERMINALS", kind: kindNumber,
			server: strconv.Itoa(limits.RunningTerminals), dev: strconv.Itoa(limits.RunningTerminals),
			set:     setInteger(func(c *Config) *int { return &c.Limits.Orgs.RunningTerminals }, 1, limits.OrgLimitMax),
			takes:   "1 to 1000000",
			meaning: "How many terminals of one organisation run at once, on all replicas together; more are refused. The admin may set another limit for an organisation, as for the next one."},
		{name: "limits.running_terminals_per_workspace", env: "SALLYPORT_LIMITS_RUNNING_TERMINALS_PER_WORKSPACE", kind: kindNumber,
			server: strconv.Itoa(limits.RunningTerminalsPerWorkspace), dev: strconv.Itoa(limits.RunningTerminalsPerWorkspace),
			set:     setInteger(func(c *Config) *int { return &c.Limits.Orgs.RunningTerminalsPerWorkspace }, 1, limits.OrgLimitMax),
			takes:   "1 to 1000000",
			meaning: "How many terminals run at once on one workspace."},
		{name: "terminals.resume", env: "SALLYPORT_TERMINALS_RESUME", kind: kindDuration,
			server: limits.TerminalResume.String(), dev: limits.TerminalResume.String(),
			set:     setDuration(func(c *Config) *time.Duration { return &c.Terminals.Resume }, time.Second, limits.TerminalResumeMax),
			takes:   "1s to 1h",
			meaning: "How long a terminal goes on whose connection is lost, for its client to come again."},
	}
}

// recordingKeys are of the recordings of terminals.
func recordingKeys() []key {
	return []key{
		{name: "recordings.dir", env: "SALLYPORT_RECORDINGS_DIR", kind: kindString,
			set:     setString(func(c *Config) *string { return &c.Recordings.Dir }),
			takes:   "a directory, made if it is missing; nothing is `recordings` in `data_dir`",
			meaning: "Where recordings of terminals are kept, sealed by the seal of `keys.seal_file`. Servers on the same database share it ([more](recordings.md))."},
		{name: "recordings.retention", env: "SALLYPORT_RECORDINGS_RETENTION", kind: kindDuration,
			server: limits.RecordingRetention.String(), dev: limits.RecordingRetention.String(),
			set:     setDuration(func(c *Config) *time.Duration { return &c.Recordings.Retention }, limits.RecordingRetentionMin, limits.RecordingRetentionMax),
			takes:   "24h to 87600h",
			meaning: "How long a recording is kept; then it is deleted."},
		{name: "recordings.bytes_max", env: "SALLYPORT_RECORDINGS_BYTES_MAX", kind: kindNumber,
			server: strconv.Itoa(limits.RecordingBytesMax), dev: strconv.Itoa(limits.RecordingBytesMax),
			set:     setInteger(func(c *Config) *int64 { return &c.Recordings.BytesMax }, limits.RecordingBytesMin, 1<<40),
			takes:   "65536 to 1099511627776",
			meaning: "How large a recording becomes; a terminal whose recording is full is ended."},
	}
}

// tenantKeys are of what an organisation, or one of its tokens, may take.
func tenantKeys() []key {
	return []key{
		{name: "limits.running_execs", env: "SALLYPORT_LIMITS_RUNNING_EXECS", kind: kindNumber,
			server: strconv.Itoa(limits.RunningExecs), dev: strconv.Itoa(limits.RunningExecs),
			set:     setInteger(func(c *Config) *int { return &c.Limits.Orgs.RunningExecs }, 1, limits.OrgLimitMax),
			takes:   "1 to 1000000",
			meaning: "How many execs of one organisation run at once, on all replicas together; more are refused. The admin may set another limit for an organisation, as for the next one ([more](operating.md#limits))."},
		{name: "limits.running_execs_per_workspace", env: "SALLYPORT_LIMITS_RUNNING_EXECS_PER_WORKSPACE", kind: kindNumber,
			server: strconv.Itoa(limits.RunningExecsPerWorkspace), dev: strconv.Itoa(limits.RunningExecsPerWorkspace),
			set:     setInteger(func(c *Config) *int { return &c.Limits.Orgs.RunningExecsPerWorkspace }, 1, limits.OrgLimitMax),
			takes:   "1 to 1000000",
			meaning: "How many execs run at once on one workspace."},
		{name: "limits.running_forwards", env: "SALLYPORT_LIMITS_RUNNING_FORWARDS", kind: kindNumber,
			server: strconv.Itoa(limits.RunningForwards), dev: strconv.Itoa(limits.RunningForwards),
			set:     setInteger(func(c *Config) *int { return &c.Limits.Orgs.RunningForwards }, 1, limits.OrgLimitMax),
			takes:   "1 to 1000000",
			meaning: "How many forwards of one organisation run at once, on all replicas together; more are refused. The admin may set another limit for an organisation, as for the next one."},
		{name: "limits.running_forwards_per_workspace", env: "SALLYPORT_LIMITS_RUNNING_FORWARDS_PER_WORKSPACE", kind: kindNumber,
			server: strconv.Itoa(limits.RunningForwardsPerWorkspace), dev: strconv.Itoa(limits.RunningForwardsPerWorkspace),
			set:     setInteger(func(c *Config) *int { return &c.Limits.Orgs.RunningForwardsPerWorkspace }, 1, limits.OrgLimitMax),
			takes:   "1 to 1000000",
			meaning: "How many forwards run at once on one workspace."},
		{name: "limits.tokens", env: "SALLYPORT_LIMITS_TOKENS", kind: kindNumber,
			server: strconv.Itoa(limits.Tokens), dev: strconv.Itoa(limits.Tokens),
			set:     setInteger(func(c *Config) *int { return &c.Limits.Orgs.Tokens }, 1, limits.OrgLimitMax),
			takes:   "1 to 1000000",
			meaning: "How many live tokens an organisation has, those of its workspaces among them; more are refused. The admin may set another limit for an organisation, as for the next one."},
		{name: "limits.workspaces", env: "SALLYPORT_LIMITS_WORKSPACES", kind: kindNumber,
			server: strconv.Itoa(limits.Workspaces), dev: strconv.Itoa(limits.Workspaces),
			set:     setInteger(func(c *Config) *int { return &c.Limits.Orgs.Workspaces }, 1, limits.OrgLimitMax),
			takes:   "1 to 1000000",
			meaning: "How many workspaces an organisation has."},
		{name: "limits.requests_per_s", env: "SALLYPORT_LIMITS_REQUESTS_PER_S", kind: kindNumber,
			server: strconv.Itoa(limits.RequestsPerS), dev: "0",
			set:     setInteger(func(c *Config) *int { return &c.Limits.Orgs.RequestsPerS }, 0, limits.OrgLimitMax),
			takes:   "0, which is as many as it likes, to 1000000",
			meaning: "How many requests a second each token may make, on all replicas together but for what they grant before they hear of each other; more are refused. The admin may set another limit for an organisation, as for the next one."},
		{name: "limits.request_burst", env: "SALLYPORT_LIMITS_REQUEST_BURST", kind: kindNumber,
			server: strconv.Itoa(limits.RequestBurst), dev: strconv.Itoa(limits.RequestBurst),
			set:     setInteger(func(c *Config) *int { return &c.Limits.Orgs.RequestBurst }, 1, limits.OrgLimitMax),
			takes:   "1 to 1000000",
			meaning: "How many requests a token may make at once that has made none for a while."},
		{name: "limits.org_requests_per_s", env: "SALLYPORT_LIMITS_ORG_REQUESTS_PER_S", kind: kindNumber,
			server: strconv.Itoa(limits.OrgRequestsPerS), dev: "0",
			set:     setInteger(func(c *Config) *int { return &c.Limits.Orgs.OrgRequestsPerS }, 0, limits.OrgLimitMax),
			takes:   "0, which is as many as they like, to 1000000",
			meaning: "How many requests a second all tokens of an organisation may make together; otherwise as `limits.requests_per_s`."},
		{name: "limits.org_request_burst", env: "SALLYPORT_LIMITS_ORG_REQUEST_BURST", kind: kindNumber,
			server: strconv.Itoa(limits.OrgRequestBurst), dev: strconv.Itoa(limits.OrgRequestBurst),
			set:     setInteger(func(c *Config) *int { return &c.Limits.Orgs.OrgRequestBurst }, 1, limits.OrgLimitMax),
			takes:   "1 to 1000000",
			meaning: "How many requests they may make at once when they have made none for a while."},
		{name: "limits.event_streams_per_token", env: "SALLYPORT_LIMITS_EVENT_STREAMS_PER_TOKEN", kind: kindNumber,
			server: strconv.Itoa(limits.EventStreamsPerToken), dev: strconv.Itoa(limits.EventStreamsPerToken),
			set:     setInteger(func(c *Config) *int { return &c.Limits.EventStreamsPerToken }, 1, limits.OrgLimitMax),
			takes:   "1 to 1000000",
			meaning: "How many event streams a token may have open on each replica; sessions by cookie count for their token."},
		{name: "limits.event_streams", env: "SALLYPORT_LIMITS_EVENT_STREAMS", kind: kindNumber,
			server: strconv.Itoa(limits.EventStreams), dev: strconv.Itoa(limits.EventStreams),
			set:     setInteger(func(c *Config) *int { return &c.Limits.EventStreams }, 1, limits.OrgLimitMax),
			takes:   "1 to 1000000",
			meaning: "How many event streams all tokens of an organisation may have open on each replica."},
	}
}

func watchingKeys() []key {
	return []key{
		{name: keyMetricsListen, env: "SALLYPORT_METRICS_LISTEN", kind: kindString, set: setMetricsListen,
			takes:   "`HOST:PORT`, as `listen`; in `dev` loopback alone",
			meaning: "An address for the metrics alone, in plain HTTP, in place of `GET /metrics` on `listen`."},
		{name: "log.level", env: "SALLYPORT_LOG_LEVEL", flag: "log-level", placeholder: "debug|info|warn|error", kind: kindString, server: "info", dev: "info",
			set:     setLogLevel,
			takes:   "`debug`, `info`, `warn` or `error`",
			meaning: "The least that is logged."},
		{name: "log.format", env: "SALLYPORT_LOG_FORMAT", flag: "log-format", placeholder: "text|json", kind: kindString, server: "json", dev: "text",
			set:     setLogFormat,
			takes:   "`text` or `json`",
			meaning: "How a line of the log is written."},
	}
}
