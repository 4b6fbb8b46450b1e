// Package limits holds every bound of Sallyport, with its unit and its reason.
// A bound that the contract fixes is a constant; one that an operator may set has its
// default here and its key in the configuration.
package limits

import "time"

// An exec, as the contract has it.
const (
	ArgvElementsMax = 4096
	// ArgvBytesMax is Linux's own limit for one argument string (MAX_ARG_STRLEN).
	ArgvBytesMax  = 128 << 10
	StdinBytesMax = 1 << 20
	// StdinPieceBytes is how much of a streamed stdin is read and passed on at a time.
	StdinPieceBytes = 32 << 10
	EnvNamesMax     = 64
	EnvBytesMax     = 64 << 10
	// CwdBytesMax is Linux's PATH_MAX.
	CwdBytesMax = 4096

	OutputBytesDefault     = 1 << 20
	OutputBytesBufferedMax = 16 << 20
	OutputBytesStreamedMax = 1 << 30
)

// Limits of tenants. The admin sets other ones for an organisation.
const (
	// RunningExecs is how many execs of one organisation run at once, and
	// RunningExecsPerWorkspace how many on one of its machines.
	RunningExecs             = 1024
	RunningExecsPerWorkspace = 256
	// Tokens and Workspaces are how many an organisation has: more than any person looks
	// after, and few enough to be counted for each new one.
	Tokens     = 10_000
	Workspaces = 10_000
	// RequestsPerS is how many requests a second a token may make, and RequestBurst how
	// many at once.
	RequestsPerS = 200
	RequestBurst = 1000
	// OrgRequestsPerS and OrgRequestBurst bound all tokens of one organisation together:
	// tokens cost nothing, so a token's rate alone would be none.
	OrgRequestsPerS = 1000
	OrgRequestBurst = 5000
	// StartsPerCPU is how many acts start at once for each processor while several
	// organisations ask for some. What starts on the server's own host takes its processors
	// until the command runs, what starts elsewhere until it is sent: more at once would only
	// take longer each.
	StartsPerCPU = 1
	// StartTime is how long an act counts as starting at most: a machine that doesn't answer
	// takes no processor time, and holds nobody up.
	StartTime = 100 * time.Millisecond
	// CPUsPerTurn is how many processors there are for each request that is answered at once,
	// of those that act on no machine, while several organisations ask: what one asks leaves
	// processors to the others.
	CPUsPerTurn = 2
	// EventStreamsPerToken and EventStreams bound the event streams that are open on one
	// server: each takes a connection, and has no end of its own.
	EventStreamsPerToken = 64
	EventStreams         = 512
	// RateBucketsMax bounds the tokens whose requests are counted, of 200 bytes each:
	// those that have made some just now.
	RateBucketsMax = 64 << 10
	// BufferedOutputBytes is the memory for output that isn't streamed: 32 execs of the
	// largest cap, or 512 that fill the default one. BufferedOutputBytesMin has a half that
	// holds one of the largest.
	BufferedOutputBytes    = 1 << 30
	BufferedOutputBytesMin = 4 * OutputBytesBufferedMax
	// CollectorFloorBytes is the size from which on the heap is collected: a server keeps 5 MiB
	// of it, and a stream makes as much garbage in some hundredths of a second.
	CollectorFloorBytes = 32 << 20
	// OrgLimitMax bounds what can be set: more would be no limit.
	OrgLimitMax = 1_000_000
	// OrgBytesLimitMax is the same of what is counted in bytes.
	OrgBytesLimitMax = 1 << 40
	// OrgLimitsMemoryTime is how long an organisation's limits are kept in memory before
	// they are read again, of OrgLimitsRemembered organisations at most.
	OrgLimitsMemoryTime = time.Second
	OrgLimitsRemembered = 16 << 10
)

// The SSH CAs, and the seal of stored keys.
const (
	// CertificateLife is how long a certificate is valid: long enough for a slow
	// dial, and it is made anew for each.
	CertificateLife = 5 * time.Minute
	// CertificateSkew is how far a machine's clock may be behind ours. One that is
	// ahead has CertificateLife.
	CertificateSkew = time.Minute
	// CAKeysMax bounds the keys in force: a certificate of each is offered in turn,
	// and OpenSSH hangs up at the sixth that it refuses (MaxAuthTries 6).
	CAKeysMax = 4
	// CAOverlap is how long a CA key stays in force beside the one that has
	// replaced it: the time to tell every machine.
	CAOverlap = 7 * 24 * time.Hour
	// StaleMachinesTold bounds the machines that the log and doctor name which must learn
	// their organisation's CA: more would bury the rest.
	StaleMachinesTold = 100
	// PrincipalBytesMax is more than the name of any system's user has.
	PrincipalBytesMax = 255
	// SealKeysMax bounds the keys of a seal file: the one in use, and those that
	// are being given up.
	SealKeysMax = 8
	// SealFileBytesMax holds SealKeysMax keys and many lines of comment.
	SealFileBytesMax = 4 << 10
)

// EC2 Instance Connect Endpoints.
const (
	// TunnelsPerEndpoint is how many tunnels go through an endpoint at once, whoever
	// opens them; AWS does not raise it.
	TunnelsPerEndpoint = 20
	// TunnelDuration is the longest life of a tunnel.
	TunnelDuration = time.Hour
	// TunnelURLTime is how long a presigned URL opens one.
	TunnelURLTime = time.Minute
	// TunnelMessageBytesMax bounds a message to the endpoint; AWS's own client sends no
	// longer ones.
	TunnelMessageBytesMax = 65_000
	// TunnelLookEvery is how often a caller that waits for a tunnel looks for an idle one.
	TunnelLookEvery = 100 * time.Millisecond
	// EndpointFullTime is how long an endpoint is taken for full that has refused a
	// tunnel: others use it too, and nobody tells when they end.
	EndpointFullTime = time.Second
	// InstanceMemoryTime and EndpointMemoryTime are how long a description is good:
	// what it says of a running instance changes when that is stopped, which shows in
	// its tunnel. NoEndpointMemoryTime spares AWS a question for each exec where there
	// is no endpoint.
	InstanceMemoryTime   = 5 * time.Minute
	EndpointMemoryTime   = 10 * time.Minute
	NoEndpointMemoryTime = 10 * time.Second
	// InstanceYoungTime is how long an instance may take to boot. Its description is
	// good for YoungMemoryTime; its SSH server is asked for YoungTries times again, with
	// pauses of up to AWSBackoffMin doubled YoungPauseShift times.
	InstanceYoungTime = 5 * time.Minute
	YoungMemoryTime   = 15 * time.Second
	YoungTries        = 5
	YoungPauseShift   = 3
	// PendingRetryAfter is when to come again for an instance that is starting.
	PendingRetryAfter = 5 * time.Second
	// AWSCallTime bounds one try of a request to AWS.
	AWSCallTime = 5 * time.Second
	// AWSBackoffMin, doubled for each try up to AWSBackoffMax, bounds the random pause
	// before the next.
	AWSBackoffMin = 100 * time.Millisecond
	AWSBackoffMax = 2 * time.Second
	// AWSAnswerBytesMax bounds an answer of AWS's: a page of a thousand instances.
	AWSAnswerBytesMax = 16 << 20
	// AWSAccountsMax bounds the accounts and regions that are remembered, AWSRecordsMax
	// the instances, and the VPCs.
	AWSAccountsMax = 1024
	AWSRecordsMax  = 16 << 10
	// AWSConnectionsIdleMax bounds the idle connections to one of AWS's services.
	AWSConnectionsIdleMax = 8
	// AWSCredentialsSpare is how long before their end credentials are replaced.
	AWSCredentialsSpare = time.Minute
	// AWSPagesMax ends a listing of instances.
	AWSPagesMax = 64
	// ConnectionSpare is what is left of a connection's life when an exec's time-out
	// has passed on it: for ending the command, and the end of its output.
	ConnectionSpare = EndTimeMax + 2*time.Second
	// RenewConnectionAt is how much is left of a connection's life when the next is
	// dialled, as long as it is in use: the longest time-out of an exec (two minutes),
	// ConnectionSpare, and some tries.
	RenewConnectionAt = 3 * time.Minute
)

// The stream of an answer.
const (
	// SlowReaderTime is how long after its deadline a command that has ended in
	// time may wait for its reader to take what it wrote: a window of SSH's and
	// some buffers, 20 kB/s.
	SlowReaderTime = 2 * time.Minute
	// KeepaliveFrameEvery keeps proxies from cutting a quiet stream.
	KeepaliveFrameEvery = 15 * time.Second
	// ChunkBytesMax bounds the output of one frame.
	ChunkBytesMax = 64 << 10
)

// The activity log.
const (
	// SummaryCharsMax is the length of a row's summary, in characters.
	SummaryCharsMax = 200
	// BeginTimeMax is how long an act waits for its row while the store takes no commit,
	// before it is refused.
	BeginTimeMax = 2 * time.Second
	// FinishTimeMax is how long an act's end waits for the row's completion while the
	// store takes no commit.
	FinishTimeMax = 5 * time.Second
	// CommitRetryEvery is how often a store that fails is tried again, and
	// FailureTellEvery how often the server's log says that it still fails.
	CommitRetryEvery = 250 * time.Millisecond
	FailureTellEvery = time.Minute
	// DenialRowsMax is how many refusals of one actor, verb and code have a row each in
	// DenialTime; the others share one, which is written within DenialTellEvery after it.
	DenialRowsMax   = 10
	DenialTime      = time.Minute
	DenialTellEvery = time.Second
	// DenialsCountedMax bounds the actors, verbs and codes that are counted in a minute,
	// of half a KiB each.
	DenialsCountedMax = 64 << 10
	// CommitTimeMax ends a commit that a sick disk or database holds up.
	CommitTimeMax = 10 * time.Second
	// IdempotencyKeyLife is how long a key keeps its exec from running again, and
	// IdempotencyKeyCharsMax how long one may be.
	IdempotencyKeyLife     = 24 * time.Hour
	IdempotencyKeyCharsMax = 255
	// BatchRowsMax bounds one commit of the group commit.
	BatchRowsMax = 256
	// BatchQueueMax bounds the rows that wait for a commit.
	BatchQueueMax = 4096
)

// Listings.
const (
	PageDefault = 100
	PageMax     = 500
	// PageBytesMax bounds a page in bytes of JSON: one of large records ends before its
	// limit.
	PageBytesMax = 2 << 20
)

// Names and labels.
const (
	TokenNameCharsMax = 100
	NameCharsMax      = 63 // of an organisation or a workspace
	LabelsMax         = 64
	// LabelsPerPatchMax lets one patch take all labels away and set others.
	LabelsPerPatchMax = 2 * LabelsMax
	// ScopesPerTokenMax is far more than there are.
	ScopesPerTokenMax = 64
	LabelKeyBytesMax  = 63
	LabelBytesMax     = 256
)

// Ending the server.
const (
	// DrainTime is how long running execs may go on after SIGTERM.
	DrainTime = 30 * time.Second
	// DrainEndTime is how long the end of what was canceled may take: ending the
	// command, and completing its row.
	DrainEndTime = EndTimeMax + FinishTimeMax
	// ShutdownTime is how long answers that are complete may take to leave.
	ShutdownTime = 5 * time.Second
	// LogQueueBytesMax holds the lines of some seconds of a busy server while the reader
	// of its log is behind. Twice as much is held while a write waits.
	LogQueueBytesMax = 1 << 20
	// LogEndTime is how long the end of a process waits for the reader of its log.
	LogEndTime = time.Second
	// ReadyTime bounds the question whether the store answers.
	ReadyTime = 2 * time.Second
	// RecoverTime is how long a start waits for what a crash left running.
	RecoverTime = 5 * time.Second
)

// Cookie sessions.
const (
	// SessionLife is how long a cookie is good at most.
	SessionLife = 12 * time.Hour
	// SessionsPerToken bounds the sessions of one token; a new one ends the oldest.
	SessionsPerToken = 100
)

// Replicas.
const (
	// LeaseTime is how long a server is taken to be alive without a sign of life. With
	// AdoptEvery and AdoptTime it bounds how long a dead one's execs stay open, at 30 s.
	LeaseTime = 15 * time.Second
	// LeaseMargin is how long before its lease is over a server stops what it runs, so that
	// it has ended (EndTimeMax) when others may begin to look.
	LeaseMargin = 4 * time.Second
	// LeaseRenewEvery is how often a lease is renewed: three tries may fail.
	LeaseRenewEvery = 3 * time.Second
	// LeaseCallTime bounds one question to the store about leases.
	LeaseCallTime = 2 * time.Second
	// AdoptEvery is how often a server looks for what dead ones have left, and AdoptTime
	// how long it may take to end what still runs of it.
	AdoptEvery = 3 * time.Second
	AdoptTime  = 8 * time.Second
	// AdoptRowsMax is how many rows of dead servers are adopted at a time: their logs are
	// locked for it, and each takes half a KiB of memory until it is completed.
	AdoptRowsMax = 1024
	// RecheckEvery is how often a server looks whether what it runs may still run, in case
	// a notice was lost.
	RecheckEvery = time.Second
	// PeersTime is how long a revocation waits for the other servers: by then those that
	// don't answer have found out by themselves.
	PeersTime = 2 * time.Second
	// AuthCacheTime is how long a token that was looked up is cached, unless a notice of its
	// end clears the cache, and AuthCacheMax bounds the cached tokens.
	AuthCacheTime = time.Second
	AuthCacheMax  = 10_000
	// WorkspaceCacheTime is how long a workspace that was looked up for an act is cached,
	// unless a notice of its change or its end clears the cache. WorkspaceCacheMax bounds the
	// cached workspaces, of a few hundred bytes each, and a few KiB with all labels.
	WorkspaceCacheTime = time.Second
	WorkspaceCacheMax  = 4096
	// UsageTellEvery is how often servers tell each other what they have granted to tokens,
	// and UsagesPerNotice of how many in one notice, of 160 bytes each.
	UsageTellEvery  = 200 * time.Millisecond
	UsagesPerNotice = 256
	// UsageNoticeAge is how old a notice may be, by the clocks of both servers, to count:
	// where those differ by more, each server grants a rate of its own.
	UsageNoticeAge = 5 * time.Second
	// SignalTime bounds a signal that goes by way of another server.
	SignalTime = 10 * time.Second
	// PeerDialTime bounds the way to another server, and the handshake; PeerAnswerTime how
	// long it may take to begin to answer. One that was halted is found out by then.
	PeerDialTime   = 5 * time.Second
	PeerAnswerTime = 10 * time.Second
	// PeerPingTime is how long a connection to another server may be silent before it is
	// pinged, and how long the answer may take; PeerIdleTime how long one without a question
	// is kept.
	PeerPingTime = 5 * time.Second
	PeerIdleTime = 90 * time.Second
	// PeerCertificateTime is how long a server's certificate for others is good; PeerClockSkew
	// how far their clocks may be apart.
	PeerCertificateTime = 24 * time.Hour
	PeerClockSkew       = 10 * time.Minute
	// PeerQuestionBytesMax bounds a question of another server, and the answer to one that
	// has no stream; PeerHeaderBytesMax the headers of either.
	PeerQuestionBytesMax = 64 << 10
	PeerHeaderBytesMax   = 16 << 10
	// PeerQuestionsMax is how many questions of others a server answers at a time, and
	// PeerConnectionsMax how many connections it has with them, with strangers' counted.
	PeerQuestionsMax   = 1024
	PeerConnectionsMax = 256
	// PeerStreamBytes is what waits in memory of one stream from another server that nobody
	// reads, and PeerConnectionBytes of all streams of a connection together.
	PeerStreamBytes     = 256 << 10
	PeerConnectionBytes = 4 << 20
	// LeaseAloneTime is the lease of a server that has its store for itself: a hundred
	// years.
	LeaseAloneTime = 100 * 365 * 24 * time.Hour
)

// Live events.
const (
	// EventBytesKept bounds the kept tail of an organisation's newest events, for all
	// of its readers together. A reader that falls behind it reads from the store.
	EventBytesKept = 1 << 20
	// EventLagMax is how many events a reader that was up to date may fall behind
	// before it is told that it is too slow, and cut.
	EventLagMax = 10_000
	// EventBatchBytesMax bounds a reader's batch: so much a
	// reader that has stopped reading holds, or one event.
	EventBatchBytesMax = 64 << 10
	// EventPageMax and EventPageBytesMax bound a page of events read from the store.
	EventPageMax      = 256
	EventPageBytesMax = 256 << 10
	// EventGatherTime is how long a notice waits for others, so that an exec's two
	// events, or those of many at once, take one look at the store.
	EventGatherTime = 5 * time.Millisecond
	// EventLookEvery is how often the store is asked for events of which no
	// notice came.
	EventLookEvery = time.Second
	// EventReadsAtOnce is how many readings of events are made at a time, each of a page.
	EventReadsAtOnce = 2
	// EventReadTime bounds one question to the store.
	EventReadTime = 5 * time.Second
	// EventWriteTime is how long a reader may hold an event up before it is cut.
	EventWriteTime = 30 * time.Second
)

// The operator's commands.
const (
	// LockTime is how long a start waits for a data directory that is held: whoever
	// only looks at it, as doctor does, holds it for an instant.
	LockTime = 250 * time.Millisecond
	// BackupBytesSpare is the free space that a backup leaves on its disk, so
	// that no other writer there finds it full.
	BackupBytesSpare = 16 << 20
	// BackupTellEvery is how often a backup that takes long says how far it is.
	BackupTellEvery = 2 * time.Second
)

// Bounds of doctor's findings: errors (Min, Max) and warnings (Low, High).
const (
	// DiskBytesMin is the write-ahead log at its full size.
	DiskBytesMin = 64 << 20
	// DiskBytesLow is a day of ten execs a second, at 1 KiB a row.
	DiskBytesLow = 1 << 30
	// InodesLow leaves room for whatever else is on the disk; we need a handful.
	InodesLow = 1000
	// SyncTimeHigh is a slow disk's: each exec waits for a sync before it starts.
	SyncTimeHigh = 20 * time.Millisecond
	// SyncTries are enough for a median.
	SyncTries = 16
	// WALBytesHigh is a log that some reader has kept from being cut for long.
	WALBytesHigh = 256 << 20
	// ClockSkewHigh shifts what an activity log tells by more than an exec takes;
	// ClockSkewMax makes tokens expire when nobody expects it.
	ClockSkewHigh = 2 * time.Second
	ClockSkewMax  = time.Minute
	// OpenFilesMin and OpenFilesLow: an exec on the embedded host has up to eight
	// files open, and 1,024 may run for one organisation.
	OpenFilesMin = 1024
	OpenFilesLow = 8192
	// CertificateLookEvery is how often a handshake looks whether the certificate was
	// renewed: two stats a second are nothing beside its signature.
	CertificateLookEvery = time.Second
	// CertificateTimeLow is when a renewal that works would have come: those of
	// 90 days are renewed 30 days before their end.
	CertificateTimeLow = 21 * 24 * time.Hour
	// DoctorCallTime bounds a request that doctor makes.
	DoctorCallTime = 5 * time.Second
)

// Watching the server.
const (
	// ScrapesMax is how many scrapes of the metrics are answered at once: anybody may
	// ask, and each asks every part of the server.
	ScrapesMax = 4
	// ScrapeTime is how long a scrape waits for its turn: Prometheus gives up after
	// ten seconds where nobody has told it otherwise.
	ScrapeTime = 5 * time.Second
	// SpansMax bounds the spans that wait to be sent, 2 KiB each; more are dropped.
	SpansMax = 2048
	// SpansSendTime bounds sending a batch of spans, with all its tries.
	SpansSendTime = 10 * time.Second
	// SpansEndTime is how long the end of a server waits for its last spans.
	SpansEndTime = 3 * time.Second
)
