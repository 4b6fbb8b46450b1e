package sallyport

// ExecRequest is the body of POST /workspaces/{id}/exec: one argv, run without
// a shell. The zero value of every field but Cmd asks for the default.
type ExecRequest struct {
	// Cmd is the argv: 1 to 4,096 elements, at most 128 KiB in all, no NUL byte.
	// It reaches the program byte for byte; name a shell to get one.
	Cmd []string `json:"cmd"`
	// TimeoutS counts from the command's start. 0 is 30 seconds; over 120 is 120.
	TimeoutS int `json:"timeout_s,omitempty"`
	// Stream asks for frames as the output arrives, not when the command has ended.
	Stream bool `json:"stream,omitempty"`
	// StdinBase64 is fed to the command, then end of file. At most 1 MiB decoded.
	StdinBase64 []byte `json:"stdin_base64,omitempty"`
	// Env is added to the command's environment. At most 64 names, 64 KiB in all.
	Env map[string]string `json:"env,omitempty"`
	// Cwd is where the command runs; the default is the user's home.
	Cwd string `json:"cwd,omitempty"`
	// MaxOutputBytes caps each of stdout and stderr. 0 is 1 MiB; at most 16 MiB
	// buffered and 1 GiB streamed.
	MaxOutputBytes int64 `json:"max_output_bytes,omitempty"`
	// Output asks for the first and the newest bytes of each of stdout and stderr, in place
	// of MaxOutputBytes, which must be 0 then. Nil is all, up to that cap.
	Output *OutputSize `json:"output,omitempty"`
	// Detach asks for the answer when the command has started, which then goes on by itself.
	// TimeoutS is a day if it is 0 then, and a week at most; MaxOutputBytes is how much of each
	// stream is kept on the machine, 64 KiB to 1 GiB, 16 MiB if it is 0.
	Detach bool `json:"detach,omitempty"`
	// KeepS is how long the output of a detached exec is kept behind its end, in seconds. 0 is
	// a day; over a week is a week.
	KeepS int `json:"keep_s,omitempty"`
}

// OutputSize is how much of an output stream is wanted. A stream that is no longer than both
// parts together comes whole. The command is never slowed by it.
type OutputSize struct {
	// HeadBytes and TailBytes are how many of the first and of the newest bytes, each at most
	// OutputPartBytesMax.
	HeadBytes int64 `json:"head_bytes"`
	TailBytes int64 `json:"tail_bytes"`
}

// Bytes is how many bytes of a stream are wanted at most: both parts together.
func (s OutputSize) Bytes() int64 { return s.HeadBytes + s.TailBytes }

// OutputPartBytesMax is the most that each part of an OutputSize may be.
const OutputPartBytesMax = 8 << 20

// Names of a command's two output streams, as frames carry them.
const (
	Stdout = "stdout"
	Stderr = "stderr"
)

// EncodingBase64 marks a frame whose Data is base64, since its bytes are not UTF-8.
const EncodingBase64 = "base64"

// ExecResult is how a command ended: the last frame of an exec whose command
// ran to its end. An exec that Sallyport could not carry through has an Error
// in its place, never a result.
type ExecResult struct {
	// ExitCode is the command's own; 128+n when signal n ended it.
	ExitCode int `json:"exit_code"`
	// DurationMS counts from the command's start, in milliseconds.
	DurationMS int64 `json:"duration_ms"`
	// Signal is the name without SIG, such as KILL, when a signal ended it.
	Signal string `json:"signal,omitempty"`
	// OutputOpen tells that a background child still held stdout or stderr open
	// when the answer ended; the child was left alone.
	OutputOpen bool `json:"output_open,omitempty"`
	// StdoutBytes and StderrBytes are how many bytes the command wrote. They are told to who
	// asked for an OutputSize.
	StdoutBytes *int64 `json:"stdout_bytes,omitempty"`
	StderrBytes *int64 `json:"stderr_bytes,omitempty"`
	// Usage is what the command of a detached exec used, where its machine tells.
	Usage *Usage `json:"usage,omitempty"`
}

// OutputFrame is a frame of a detached exec's output: Data, or, in its place, how many bytes
// from Offset on are not kept any more.
type OutputFrame struct {
	Stream string `json:"stream"`
	// Offset is that of the first byte in its stream.
	Offset  int64  `json:"offset"`
	Data    string `json:"data,omitempty"`
	Skipped int64  `json:"skipped,omitempty"`
	// Encoding is EncodingBase64 where Data isn't text.
	Encoding  string `json:"encoding,omitempty"`
	Truncated bool   `json:"truncated"`
}

// OutputEnd is the last frame of a detached exec's output. Of an exec that has ended it holds
// how, as the last frame of an exec does: a result, or an error and its code.
type OutputEnd struct {
	// Status is the exec's, running too. It is empty where the reading failed.
	Status      string `json:"status,omitempty"`
	ExitCode    *int   `json:"exit_code,omitempty"`
	DurationMS  *int64 `json:"duration_ms,omitempty"`
	Signal      string `json:"signal,omitempty"`
	OutputOpen  bool   `json:"output_open,omitempty"`
	StdoutBytes *int64 `json:"stdout_bytes,omitempty"`
	StderrBytes *int64 `json:"stderr_bytes,omitempty"`
	Usage       *Usage `json:"usage,omitempty"`
	// Message, Code and Reason are those of an Error.
	Message string `json:"error,omitempty"`
	Code    Code   `json:"code,omitempty"`
	Reason  string `json:"reason,omitempty"`
	// Next is where to go on, of the streams that were asked for.
	Next OutputNext `json:"next"`
}

// OutputNext are offsets in a detached exec's output; nil is a stream that wasn't asked for.
type OutputNext struct {
	Stdout *int64 `json:"stdout,omitempty"`
	Stderr *int64 `json:"stderr,omitempty"`
}

// SubprotocolExec is the WebSocket subprotocol of an exec whose stdin is streamed. Binary
// messages to the server are its stdin, in any cut; those from it are a byte, 1 for stdout and
// 2 for stderr, and the output behind it.
const SubprotocolExec = "sallyport.exec.v1"

// FrameStdinEOF is the type of the control frame that ends stdin. A client whose connection
// ends, in whatever way, before the server's last frame does not end stdin: the command is
// ended.
const FrameStdinEOF = "stdin_eof"

// ExecStart is the first frame of a client of SubprotocolExec. StdinBase64 must be empty, and
// Stream is always true.
type ExecStart struct {
	// Type is FrameStart.
	Type string `json:"type"`
	ExecRequest
}

// ExecStarted is the server's first frame: the command has started.
type ExecStarted struct {
	// Type is FrameStarted.
	Type string `json:"type"`
	// ID is that of the exec's activity row.
	ID string `json:"id"`
	// TimeoutS is the time-out in force, in seconds.
	TimeoutS int `json:"timeout_s"`
}

// ExecExit is the server's last frame where the command ended: all that it wrote stands
// before. A SocketError is in its place where Sallyport could not carry the exec through.
type ExecExit struct {
	// Type is FrameExit.
	Type string `json:"type"`
	ExecResult
}

// ExecSignal is the body of POST /workspaces/{id}/execs/{exec}/signal.
type ExecSignal struct {
	// Signal is one of Signals, without SIG.
	Signal string `json:"signal"`
}

// Signals are those that a running command can be sent.
func Signals() []string { return []string{"TERM", "KILL", "INT", "HUP"} }
