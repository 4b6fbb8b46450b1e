package sallyport

import "time"

// Types of activity rows.
const (
	ActivityExec             = "workspace_exec"
	ActivityExecSignal       = "exec_signal"
	ActivityExecOutputRead   = "exec_output_read"
	ActivityAccessDenied     = "access_denied"
	ActivityTokenCreated     = "token_created"
	ActivityTokenRevoked     = "token_revoked"
	ActivityWorkspaceCreated = "workspace_created"
	ActivityWorkspaceUpdated = "workspace_updated"
	ActivityWorkspaceDeleted = "workspace_deleted"
	// ActivityWorkspaceDiagnosed is a walk on the way to a workspace's machine. Its status
	// is error where the machine can't be used.
	ActivityWorkspaceDiagnosed = "workspace_diagnosed"
	ActivityOrgCreated         = "org_created"
	ActivityOrgUpdated         = "org_updated"
	ActivityOrgDeleted         = "org_deleted"
	ActivityHostKeyPinned      = "host_key_pinned"
	ActivityHostKeyMismatch    = "host_key_mismatch"
	// ActivityFile is an operation on files: op says which.
	ActivityFile = "workspace_file"
	// ActivityForward is one TCP connection to a port of a machine, and ActivityForwardKilled
	// its end by somebody.
	ActivityForward       = "workspace_forward"
	ActivityForwardKilled = "forward_killed"
	// ActivityTerminal is a terminal, ActivityTerminalWatched somebody's look at one, and
	// ActivityTerminalKilled its end by somebody.
	ActivityTerminal        = "workspace_terminal"
	ActivityTerminalWatched = "terminal_watched"
	ActivityTerminalKilled  = "terminal_killed"
	// ActivityRecordingRead and ActivityRecordingDeleted are of a terminal's recording.
	ActivityRecordingRead    = "recording_read"
	ActivityRecordingDeleted = "recording_deleted"
	// ActivityCARotated is about the server's own SSH CA, and of no organisation.
	ActivityCARotated = "ca_rotated"
)

// Statuses of activity rows.
const (
	// StatusRunning is an exec whose command has not ended yet.
	StatusRunning = "running"
	// StatusOK is exit 0, or any other act that was done.
	StatusOK = "ok"
	// StatusError is any other exit, a signal, a failed or broken connection.
	StatusError = "error"
	// StatusTimeout is an exec that its own deadline ended.
	StatusTimeout = "timeout"
	// StatusCanceled is an exec that its caller, or the server, ended.
	StatusCanceled = "canceled"
	// StatusInterrupted is an exec that a crash of the server left open.
	StatusInterrupted = "interrupted"
	// StatusDenied is a refusal.
	StatusDenied = "denied"
)

// Activity is one row of the activity log. It never holds a byte of output or
// of stdin, an env value, or a token. A field that doesn't apply is left out.
//
// What is embedded is flat in JSON. A row's begun part is known when it is written, and
// its ended part when its act has ended: the event of the first shows the former alone.
type Activity struct {
	ID string `json:"id"`
	// Seq is the number, in its organisation, of the row's last change. It has
	// no gaps and is in the order of commits.
	Seq         int64      `json:"seq"`
	Type        string     `json:"type"`
	Status      string     `json:"status"`
	Actor       string     `json:"actor"`
	OrgID       string     `json:"org_id,omitempty"`
	WorkspaceID string     `json:"workspace_id,omitempty"`
	Summary     string     `json:"summary"`
	CreatedAt   time.Time  `json:"created_at"`
	CompletedAt *time.Time `json:"completed_at,omitempty"`

	ActBegun
	ActEnded
	ExecBegun
	ExecEnded
	DenialBegun
	FileBegun
	FileEnded
	ForwardBegun
	ForwardEnded
	TerminalBegun
	TerminalEnded

	ExecSeen
}

// ActBegun is what a row of any type says from the start.
type ActBegun struct {
	ClientAddr string `json:"client_addr,omitempty"`
}

// ActEnded tells, in a row of any type, of a failure or a refusal.
type ActEnded struct {
	Code   Code   `json:"code,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// ExecBegun is what the row of an exec says from the start.
type ExecBegun struct {
	Argv       []string `json:"argv,omitempty"`
	Cwd        string   `json:"cwd,omitempty"`
	EnvNames   []string `json:"env_names,omitempty"`
	StdinBytes *int64   `json:"stdin_bytes,omitempty"`
	TimeoutS   int      `json:"timeout_s,omitempty"`
	// Detached tells that the exec outlives its call, and KeepS, in seconds, how long its
	// output is kept on the machine behind its end.
	Detached bool `json:"detached,omitempty"`
	KeepS    int  `json:"keep_s,omitempty"`
}

// ExecEnded is what the end of an exec adds to its row.
type ExecEnded struct {
	ExitCode   *int   `json:"exit_code,omitempty"`
	Signal     string `json:"signal,omitempty"`
	DurationMS *int64 `json:"duration_ms,omitempty"`
	// StdoutBytes and StderrBytes are what the command wrote, not what the cap let through.
	StdoutBytes     *int64 `json:"stdout_bytes,omitempty"`
	StderrBytes     *int64 `json:"stderr_bytes,omitempty"`
	StdoutTruncated *bool  `json:"stdout_truncated,omitempty"`
	StderrTruncated *bool  `json:"stderr_truncated,omitempty"`
	// Survivors counts the processes that are known to be left after a forced
	// end; SurvivorsUnknown is true when nobody could look.
	Survivors        *int `json:"survivors,omitempty"`
	SurvivorsUnknown bool `json:"survivors_unknown,omitempty"`
	// OutputOpen tells of a detached exec that a background child still held its output when
	// it had ended, and Usage what its command used. Usage is nil where the machine doesn't tell.
	OutputOpen bool   `json:"output_open,omitempty"`
	Usage      *Usage `json:"usage,omitempty"`
}

// Usage is what a command and the children that it waited for used of the processor, in
// milliseconds.
type Usage struct {
	CPUUserMS   int64 `json:"cpu_user_ms"`
	CPUSystemMS int64 `json:"cpu_system_ms"`
}

// ExecSeen is what is known of a detached exec now, and is no part of its row.
type ExecSeen struct {
	// OutputUntil is when the output goes, once the exec has ended.
	OutputUntil *time.Time `json:"output_until,omitempty"`
	// SeenAt is when the machine last confirmed that the exec runs.
	SeenAt *time.Time `json:"seen_at,omitempty"`
}

// DenialBegun is in the row of refusals that came too fast to have a row each.
type DenialBegun struct {
	// Count is how many refusals the row stands for, and Until the time of the last.
	Count int        `json:"count,omitempty"`
	Until *time.Time `json:"until,omitempty"`
}

// FileBegun is what the row of a file operation says from the start. A path stands in
// Path where its bytes are UTF-8, else, in base64, in PathBase64; secrets of known shapes
// are masked in it.
type FileBegun struct {
	Op         string `json:"op,omitempty"`
	Path       string `json:"path,omitempty"`
	PathBase64 string `json:"path_base64,omitempty"`
	To         string `json:"to,omitempty"`
	ToBase64   string `json:"to_base64,omitempty"`
	// Offset is that of a range, or of a resumed upload, in bytes.
	Offset *int64 `json:"offset,omitempty"`
}

// FileEnded is what the end of a file operation adds to its row.
type FileEnded struct {
	// Bytes is the content that came from the caller, or left to it.
	Bytes *int64 `json:"bytes,omitempty"`
	// Entries is how many were listed, archived, extracted or removed.
	Entries *int64 `json:"entries,omitempty"`
	// SHA256 is that of the bytes that the request wrote, in hexadecimal.
	SHA256 string `json:"sha256,omitempty"`
}

// ForwardBegun is what the row of a forward says from the start.
type ForwardBegun struct {
	// Target is what the machine connects to, as net.JoinHostPort writes it.
	Target string `json:"target,omitempty"`
}

// ForwardEnded is what the end of a forward, or of a terminal, adds to its row.
type ForwardEnded struct {
	// InputBytes is what went to the target or was typed, and OutputBytes what came from it.
	InputBytes  *int64 `json:"input_bytes,omitempty"`
	OutputBytes *int64 `json:"output_bytes,omitempty"`
}

// TerminalBegun is what the row of a terminal says from the start, beside an exec's fields.
type TerminalBegun struct {
	// Recorded tells that what the terminal shows is recorded.
	Recorded *bool `json:"recorded,omitempty"`
}

// TerminalEnded is what the end of a terminal adds to its row, beside an exec's fields.
type TerminalEnded struct {
	// Resumes is how often its client came again.
	Resumes *int `json:"resumes,omitempty"`
}
