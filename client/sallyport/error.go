package sallyport

import (
	"errors"
	"fmt"
	"time"
)

// Code is a word for a program: the closed list of what can go wrong.
type Code string

// Codes of a request that was refused before anything ran.
const (
	CodeInvalidJSON           Code = "invalid_json"
	CodeInvalidArgv           Code = "invalid_argv"
	CodeArgvTooLarge          Code = "argv_too_large"
	CodeInvalidTimeout        Code = "invalid_timeout"
	CodeInvalidStream         Code = "invalid_stream"
	CodeInvalidStdin          Code = "invalid_stdin"
	CodeInvalidStdinBase64    Code = "invalid_stdin_base64"
	CodeInvalidEnv            Code = "invalid_env"
	CodeInvalidCwd            Code = "invalid_cwd"
	CodeInvalidMaxOutputBytes Code = "invalid_max_output_bytes"
	CodeInvalidOutput         Code = "invalid_output"
	CodeInvalidDetach         Code = "invalid_detach"
	CodeInvalidKeepS          Code = "invalid_keep_s"
	CodeInvalidWaitS          Code = "invalid_wait_s"
	CodeInvalidSince          Code = "invalid_since"
	CodeInvalidFollow         Code = "invalid_follow"
	CodeInvalidMaxBytes       Code = "invalid_max_bytes"
	CodeUnknownField          Code = "unknown_field"
	CodeBodyTooLarge          Code = "body_too_large"
	CodeUnsupportedMediaType  Code = "unsupported_media_type"
	CodeRequestTimeout        Code = "request_timeout"

	CodeHTTPVersionNotSupported Code = "http_version_not_supported"

	CodeInvalidName            Code = "invalid_name"
	CodeInvalidTier            Code = "invalid_tier"
	CodeInvalidLabels          Code = "invalid_labels"
	CodeInvalidConnector       Code = "invalid_connector"
	CodeInvalidForwardAllow    Code = "invalid_forward_allow"
	CodeInvalidRecordTerminals Code = "invalid_record_terminals"
	CodeInvalidScopes          Code = "invalid_scopes"
	CodeInvalidExpiry          Code = "invalid_expires_in_s"
	CodeInvalidOrgID           Code = "invalid_org_id"
	CodeInvalidLimit           Code = "invalid_limit"
	CodeInvalidCursor          Code = "invalid_cursor"
	CodeInvalidUntil           Code = "invalid_until"
	CodeInvalidNow             Code = "invalid_now"
	CodeInvalidAWS             Code = "invalid_aws"
	CodeInvalidLimits          Code = "invalid_limits"
	CodeInvalidRegion          Code = "invalid_region"
	CodeInvalidTag             Code = "invalid_tag"
	CodeInvalidSignal          Code = "invalid_signal"
	CodeInvalidStatus          Code = "invalid_status"

	CodeInvalidIdempotencyKey Code = "invalid_idempotency_key"
)

// Codes of who may do what, and of what is there.
const (
	CodeUnauthenticated    Code = "unauthenticated"
	CodeScopeForbidden     Code = "scope_forbidden"
	CodeExecTierForbidden  Code = "exec_tier_forbidden"
	CodeCrossOrigin        Code = "cross_origin_forbidden"
	CodeMisdirectedRequest Code = "misdirected_request"
	CodeWorkspaceNotFound  Code = "workspace_not_found"
	CodeWorkspaceHasNoHost Code = "workspace_has_no_host"
	CodeNotFound           Code = "not_found"
	CodeMethodNotAllowed   Code = "method_not_allowed"
	CodeNameTaken          Code = "name_taken"
	CodeOrgNotEmpty        Code = "org_not_empty"
	CodeTooManyCAKeys      Code = "too_many_ca_keys"
	CodeTooManyTokens      Code = "too_many_tokens"
	CodeTooManyWorkspaces  Code = "too_many_workspaces"
	CodeNotRunning         Code = "not_running"

	// Of an Idempotency-Key that an exec has already: with Error.ExecID.
	CodeAlreadyRun          Code = "already_run"
	CodeRunning             Code = "running"
	CodeIdempotencyMismatch Code = "idempotency_mismatch"
)

// Codes of files.
const (
	CodeInvalidPath          Code = "invalid_path"
	CodeInvalidMode          Code = "invalid_mode"
	CodeInvalidMtime         Code = "invalid_mtime"
	CodeInvalidUID           Code = "invalid_uid"
	CodeInvalidGID           Code = "invalid_gid"
	CodeInvalidStat          Code = "invalid_stat"
	CodeInvalidDownload      Code = "invalid_download"
	CodeInvalidRecursive     Code = "invalid_recursive"
	CodeInvalidOverwrite     Code = "invalid_overwrite"
	CodeInvalidFileType      Code = "invalid_type"
	CodeInvalidBody          Code = "invalid_body"
	CodeInvalidOld           Code = "invalid_old"
	CodeInvalidNew           Code = "invalid_new"
	CodeInvalidExpect        Code = "invalid_expect"
	CodeInvalidContentRange  Code = "invalid_content_range"
	CodeInvalidContentDigest Code = "invalid_content_digest"
	CodeInvalidDepth         Code = "invalid_depth"
	CodeInvalidGlob          Code = "invalid_glob"
	CodeInvalidText          Code = "invalid_text"
	CodeInvalidAction        Code = "invalid_action"
	CodeInvalidTo            Code = "invalid_to"
	CodeInvalidArchive       Code = "invalid_archive"
	CodeInvalidUploadID      Code = "invalid_upload_id"
	CodeInvalidUploadOffset  Code = "invalid_upload_offset"
	CodeDigestMismatch       Code = "digest_mismatch"
	CodePermissionDenied     Code = "permission_denied"
	CodeFileNotFound         Code = "file_not_found"
	CodeIsADirectory         Code = "is_a_directory"
	CodeNotADirectory        Code = "not_a_directory"
	CodeNotAFile             Code = "not_a_file"
	CodeNotEmpty             Code = "not_empty"
	CodeExists               Code = "exists"
	CodeNoMatch              Code = "no_match"
	CodeUploadOffsetMismatch Code = "upload_offset_mismatch"
	CodePreconditionFailed   Code = "precondition_failed"
	CodeFileTooLarge         Code = "file_too_large"
	CodeRangeNotSatisfiable  Code = "range_not_satisfiable"
	CodeInvalidRoot          Code = "invalid_root"
	CodeTooManyTransfers     Code = "too_many_transfers"
	CodeFileIO               Code = "file_io"
	CodeFilesUnsupported     Code = "files_unsupported"
	CodeFileTimeout          Code = "file_timeout"
	CodeNoSpace              Code = "no_space"
	CodeInvalidAttachments   Code = "invalid_attachments"
	CodeAttachmentNotFound   Code = "attachment_not_found"
	CodeAttachmentGone       Code = "attachment_gone"
	CodeAttachmentTooLarge   Code = "attachment_too_large"
)

// Codes of WebSockets, and of forwards.
const (
	CodeInvalidHandshake Code = "invalid_handshake"
	CodeUpgradeRequired  Code = "upgrade_required"
	CodeInvalidFrame     Code = "invalid_frame"
	CodeInvalidHost      Code = "invalid_host"
	CodeInvalidPort      Code = "invalid_port"
	CodeForwardForbidden Code = "forward_forbidden"
	CodeForwardFailed    Code = "forward_failed"
	CodeTooManyForwards  Code = "too_many_forwards"
	CodeKilled           Code = "killed"
)

// Codes of terminals.
const (
	CodeInvalidCols         Code = "invalid_cols"
	CodeInvalidRows         Code = "invalid_rows"
	CodeInvalidIdleTimeoutS Code = "invalid_idle_timeout_s"
	CodeInvalidRecord       Code = "invalid_record"
	CodePTYRefused          Code = "pty_refused"
	CodeTerminalNotFound    Code = "terminal_not_found"
	CodeTerminalTimeout     Code = "terminal_timeout"
	CodeTakenOver           Code = "taken_over"
	CodeTooManyTerminals    Code = "too_many_terminals"
	CodeTooManyWatchers     Code = "too_many_watchers"
	CodeRecordingFull       Code = "recording_full"
)

// Codes of a machine or a server that could not do what was asked.
const (
	CodeConnectFailed       Code = "connect_failed"
	CodeConnectTimeout      Code = "connect_timeout"
	CodeHostKeyMismatch     Code = "host_key_mismatch"
	CodeExecTransport       Code = "exec_transport"
	CodeExecTimeout         Code = "exec_timeout"
	CodeSpoolUnavailable    Code = "spool_unavailable"
	CodeNotDetached         Code = "not_detached"
	CodeDetachedRunning     Code = "detached_running"
	CodeOutputGone          Code = "output_gone"
	CodeTooManyExecs        Code = "too_many_execs"
	CodeRateLimited         Code = "rate_limited"
	CodeTooManyStreams      Code = "too_many_streams"
	CodeCanceled            Code = "canceled"
	CodeDraining            Code = "draining"
	CodeRevoked             Code = "revoked"
	CodeWorkspaceDeleted    Code = "workspace_deleted"
	CodeSlowReader          Code = "slow_reader"
	CodeInterrupted         Code = "interrupted"
	CodePlatformUnavailable Code = "platform_unavailable"
	CodeInternal            Code = "internal"
)

// Reasons refine a code where a caller or an operator can do something about it:
// the closed list of Error.Reason.
const (
	// ReasonCapacity, with too_many_execs and too_many_terminals: the machine takes no more
	// sessions now.
	ReasonCapacity = "capacity"
	// ReasonMemory, with too_many_execs, and with rate_limited for what is no exec: what
	// waits in the server's memory for the organisation's callers is as much as it may be.
	ReasonMemory = "memory"
	// ReasonOrganisation, with rate_limited: it is the organisation that asks for too much,
	// not the token alone; with no_space: its attachments hold as much as they may.
	ReasonOrganisation = "organisation"

	// With connect_failed, and with connect_timeout for what was waited for:

	// ReasonNameNotFound: the machine's name stands for no address.
	ReasonNameNotFound = "name_not_found"
	// ReasonAddressForbidden: its address isn't one that the server may dial.
	ReasonAddressForbidden = "address_forbidden"
	// ReasonDialFailed: nothing took the connection at the machine's address.
	ReasonDialFailed = "dial_failed"
	// ReasonNoBanner: something took it, and no SSH server spoke.
	ReasonNoBanner = "no_banner"
	// ReasonHandshakeFailed: the SSH server broke off before or while we logged in.
	ReasonHandshakeFailed = "handshake_failed"
	// ReasonAuthFailed: it refused the login.
	ReasonAuthFailed = "auth_failed"
	// ReasonKeyUnusable: the server has nothing to log in with.
	ReasonKeyUnusable = "key_unusable"
	// ReasonConnectionLost: a connection that was there broke before anything ran.
	ReasonConnectionLost = "connection_lost"

	// With connect_failed and connect_timeout of a ConnectorEIC:

	// ReasonPermission: AWS doesn't let the server do what it must; the message names
	// the IAM action.
	ReasonPermission = "permission"
	// ReasonCredentials: the server has no AWS credentials, or AWS doesn't know them.
	ReasonCredentials = "credentials"
	// ReasonNotFound: there is no such instance.
	ReasonNotFound = "not_found"
	// ReasonNotRunning: it is not running, or not yet.
	ReasonNotRunning = "not_running"
	// ReasonNoEndpoint: its network has no EC2 Instance Connect Endpoint that is usable.
	ReasonNoEndpoint = "no_endpoint"
	// ReasonUnreachable: what is on the way, or the machine's SSH server, can't be
	// reached, or doesn't answer.
	ReasonUnreachable = "unreachable"
	// ReasonKeyRefused: AWS took the key, and the machine didn't.
	ReasonKeyRefused = "key_refused"
	// ReasonThrottled: AWS puts the server off.
	ReasonThrottled = "throttled"
	// ReasonConfiguration: AWS refuses what the server sends: a clock that is wrong, a
	// certificate, a value.
	ReasonConfiguration = "configuration"
	// With CodeForwardFailed:

	// ReasonRefused: nothing takes connections at the target.
	ReasonRefused = "refused"
	// ReasonProhibited: the machine's SSH server may not forward there.
	ReasonProhibited = "prohibited"
	// ReasonTimeout: the target has not answered in time.
	ReasonTimeout = "timeout"

	// With CodeTerminalTimeout:

	// ReasonIdle: no byte went either way for the idle time-out.
	ReasonIdle = "idle"
	// ReasonTotal: the terminal's whole life is over.
	ReasonTotal = "total"

	// ReasonReadOnly, with CodePermissionDenied: the machine's file system is read-only.
	ReasonReadOnly = "read_only"
	// ReasonQuota, with CodeNoSpace: the user's quota on the machine is used up.
	ReasonQuota = "quota"

	// With CodeTooManyExecs of detached execs:

	// ReasonDetached: as many run detached as may.
	ReasonDetached = "detached"
	// ReasonFollowers: as many follow outputs as may.
	ReasonFollowers = "followers"

	// With CodeInterrupted of a detached exec, why its end can't be known:

	// ReasonMachineRestarted: the machine has booted since the start.
	ReasonMachineRestarted = "machine_restarted"
	// ReasonSupervisorLost: what watches it on the machine is gone.
	ReasonSupervisorLost = "supervisor_lost"
	// ReasonSpoolLost: its output is gone, and its end with it.
	ReasonSpoolLost = "spool_lost"
	// ReasonSpoolInvalid: the machine tells what can't be true.
	ReasonSpoolInvalid = "spool_invalid"
	// ReasonNeverStarted: nothing ran, and nothing will.
	ReasonNeverStarted = "never_started"

	// With CodeSpoolUnavailable:

	// ReasonNotWritable: no directory for the output can be made on the machine.
	ReasonNotWritable = "not_writable"
	// ReasonDiskFull: the machine's disk is full.
	ReasonDiskFull = "disk_full"
	// ReasonNoSetsid: the machine has no setsid.
	ReasonNoSetsid = "no_setsid"
)

// Error is what every refusal and failure of Sallyport's own looks like, in
// JSON and in Go. A command that ran and failed is not an Error: it is an
// ExecResult with its exit code.
type Error struct {
	// Message is a sentence for a person. It holds our words alone, never those
	// of a machine or a provider.
	Message string `json:"error"`
	Code    Code   `json:"code"`
	// Reason refines the code where there is one, such as ReasonCapacity.
	Reason string `json:"reason,omitempty"`
	// TimeoutS is the time-out that passed, with CodeExecTimeout.
	TimeoutS int `json:"timeout_s,omitempty"`
	// Started tells whether the command had started, where that matters to a
	// caller who thinks of trying again. Nil where nothing was dispatched.
	Started *bool `json:"started,omitempty"`
	// ExecID is the exec that has the Idempotency-Key, with CodeAlreadyRun and
	// CodeRunning; Status and ExitCode are how it ended, with the former. In any other
	// error of an exec, package client sets it to that exec.
	ExecID   string `json:"exec_id,omitempty"`
	Status   string `json:"status,omitempty"`
	ExitCode *int   `json:"exit_code,omitempty"`
	// UploadOffset is what is kept of an upload, in bytes, with CodeUploadOffsetMismatch.
	UploadOffset *int64 `json:"upload_offset,omitempty"`
	// Entries is how many entries were done before the failure, of an extraction or a
	// recursive deletion.
	Entries *int64 `json:"entries,omitempty"`
	// Found is how many times the text was found, with CodeNoMatch.
	Found *int `json:"found,omitempty"`
	// RetryAfter is when to try again, where the error knows better than its code.
	RetryAfter time.Duration `json:"-"`
	// RequestID is set with CodeInternal: the line of the server's log to look for.
	RequestID string `json:"request_id,omitempty"`

	// Cause is for the operator's log and never leaves the server.
	Cause error `json:"-"`
}

// Errorf returns an Error with a message for the person who asked.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Error returns the message, with the cause behind it for the server's own log.
func (e *Error) Error() string {
	if e.Cause != nil {
		return e.Message + ": " + e.Cause.Error()
	}
	return e.Message
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Because returns a copy of e that carries cause for the operator's log.
func (e Error) Because(cause error) *Error {
	e.Cause = cause
	return &e
}

// WithStarted returns a copy of e that says whether the command had started.
func (e Error) WithStarted(started bool) *Error {
	e.Started = &started
	return &e
}

// CodeOf returns the code of the first Error in err's chain, CodeInternal for
// any other error, and "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CodeInternal
}

// WithReason returns a copy of e that is refined by reason.
func (e Error) WithReason(reason string) *Error {
	e.Reason = reason
	return &e
}
