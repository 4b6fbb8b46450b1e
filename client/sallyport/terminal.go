package sallyport

// SubprotocolTerminal is the WebSocket subprotocol of a terminal: a program at a PTY on a
// workspace's machine. Binary messages are keys to the server, and output from it, in any cut:
// a UTF-8 character may lie across two.
const SubprotocolTerminal = "sallyport.terminal.v1"

// Sizes of a terminal in characters: what a side has that is not given, and the most.
const (
	TerminalColsDefault = 80
	TerminalRowsDefault = 24
	TerminalSideMax     = 1000
)

// TerminalTypeDefault is TERM where the env of a TerminalStart has none.
const TerminalTypeDefault = "xterm-256color"

// Times of a terminal, in seconds.
const (
	// TerminalTimeoutSMax is the default of TimeoutS, and the most: longer is clamped.
	TerminalTimeoutSMax = 12 * 60 * 60
	// TerminalIdleTimeoutSDefault is the default of IdleTimeoutS, which is clamped alike.
	TerminalIdleTimeoutSDefault = 30 * 60
)

// TerminalWindowBytes is how much output the server sends beyond a client's last ack, from
// its first on, and how much of the latest output it keeps for a client that comes again.
const TerminalWindowBytes = 256 << 10

// Types of the control frames of a terminal, which are text messages: one JSON object each.
// A FrameError is the last frame of a terminal that did not end by itself, or of a connection.
const (
	// FrameStart, FrameResume and FrameWatch are a client's first frame, and FrameStarted,
	// FrameResumed and FrameWatching the answers.
	FrameStart    = "start"
	FrameStarted  = "started"
	FrameResume   = "resume"
	FrameResumed  = "resumed"
	FrameWatch    = "watch"
	FrameWatching = "watching"
	// FrameResize is a TerminalResize, from the client, and to those who watch.
	FrameResize = "resize"
	FrameSignal = "signal"
	FrameAck    = "ack"
	// FrameExit is the server's last frame where the program ended.
	FrameExit     = "exit"
	FrameWatchers = "watchers"
	FrameNotice   = "notice"
)

// TerminalStart is the first frame of a client that wants a terminal. The zero value of each
// field but Type asks for the default.
type TerminalStart struct {
	// Type is FrameStart.
	Type string `json:"type"`
	// Cols and Rows are the size in characters.
	Cols int `json:"cols,omitempty"`
	Rows int `json:"rows,omitempty"`
	// Cmd is the argv, as in an ExecRequest; none is the user's login shell.
	Cmd []string `json:"cmd,omitempty"`
	// Cwd is where it runs; the default is the user's home.
	Cwd string `json:"cwd,omitempty"`
	// Env is added to the program's environment. TERM in it is the terminal's type.
	Env map[string]string `json:"env,omitempty"`
	// TimeoutS bounds the terminal's whole life, IdleTimeoutS the time without a byte either
	// way.
	TimeoutS     int `json:"timeout_s,omitempty"`
	IdleTimeoutS int `json:"idle_timeout_s,omitempty"`
	// Record asks for a recording, also where the workspace doesn't.
	Record bool `json:"record,omitempty"`
}

// TerminalStarted is the server's first frame to a client that starts a terminal.
type TerminalStarted struct {
	// Type is FrameStarted.
	Type string `json:"type"`
	// ID is that of the terminal's activity row.
	ID string `json:"id"`
	// Cols, Rows and the time-outs are those in force.
	Cols         int  `json:"cols"`
	Rows         int  `json:"rows"`
	TimeoutS     int  `json:"timeout_s"`
	IdleTimeoutS int  `json:"idle_timeout_s"`
	Recorded     bool `json:"recorded"`
}

// TerminalResume is the first frame of a client that comes again.
type TerminalResume struct {
	// Type is FrameResume.
	Type string `json:"type"`
	ID   string `json:"id"`
	// Received is how many bytes of output have been dealt with; nil asks for all that is kept.
	Received *int64 `json:"received,omitempty"`
	// Cols and Rows are the size, as in a TerminalResize.
	Cols int `json:"cols,omitempty"`
	Rows int `json:"rows,omitempty"`
}

// TerminalResumed is the server's first frame to a client that comes again.
type TerminalResumed struct {
	// Type is FrameResumed.
	Type string `json:"type"`
	// ID, and all up to Recorded, are as in a TerminalStarted.
	ID           string `json:"id"`
	Cols         int    `json:"cols"`
	Rows         int    `json:"rows"`
	TimeoutS     int    `json:"timeout_s"`
	IdleTimeoutS int    `json:"idle_timeout_s"`
	Recorded     bool   `json:"recorded"`
	// From is the place in the output, in bytes from the start, at which it goes on.
	From int64 `json:"from"`
	// InputReceived counts the client's bytes that have arrived: it sends the rest again.
	InputReceived int64 `json:"input_received"`
}

// TerminalWatch is the first frame of a client that watches.
type TerminalWatch struct {
	// Type is FrameWatch.
	Type string `json:"type"`
	ID   string `json:"id"`
}

// TerminalWatching is the server's first frame to a client that watches.
type TerminalWatching struct {
	// Type is FrameWatching.
	Type string `json:"type"`
	ID   string `json:"id"`
	// Actor started the terminal.
	Actor string `json:"actor"`
	Cols  int    `json:"cols"`
	Rows  int    `json:"rows"`
	// From is the place in the output at which the bytes that follow begin.
	From int64 `json:"from"`
}

// TerminalResize changes the size; a side of 0 stays.
type TerminalResize struct {
	// Type is FrameResize.
	Type string `json:"type"`
	Cols int    `json:"cols,omitempty"`
	Rows int    `json:"rows,omitempty"`
}

// TerminalSignal sends a signal to the terminal's foreground process group.
type TerminalSignal struct {
	// Type is FrameSignal.
	Type string `json:"type"`
	// Signal is one of Signals, without SIG.
	Signal string `json:"signal"`
}

// TerminalAck says how much of the output has been dealt with, in bytes from the start.
type TerminalAck struct {
	// Type is FrameAck.
	Type     string `json:"type"`
	Received int64  `json:"received"`
}

// TerminalExit is how the program ended: all that it printed stands before.
type TerminalExit struct {
	// Type is FrameExit.
	Type string `json:"type"`
	// ExitCode is the program's own; 128+n when signal n ended it.
	ExitCode int `json:"exit_code"`
	// Signal is the name without SIG, such as KILL, when a signal ended it.
	Signal string `json:"signal,omitempty"`
	// DurationMS counts from the program's start, in milliseconds.
	DurationMS int64 `json:"duration_ms"`
}

// TerminalWatchers tells a terminal's client that somebody began or ceased to watch.
type TerminalWatchers struct {
	// Type is FrameWatchers.
	Type string `json:"type"`
	// Count is how many watch now.
	Count int `json:"count"`
}

// TerminalNotice announces the terminal's end.
type TerminalNotice struct {
	// Type is FrameNotice.
	Type string `json:"type"`
	// Code is why, such as CodeDraining.
	Code Code `json:"code"`
	// LeftS is how many seconds are left.
	LeftS int `json:"left_s"`
}
