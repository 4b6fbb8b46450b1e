package sallyport

// SubprotocolForward is the WebSocket subprotocol of a forward: one TCP connection to a port
// of a workspace's machine. Binary messages are its bytes, in any cut.
const SubprotocolForward = "sallyport.forward.v1"

// The target's host of a forward that names none, and the longest there may be, in bytes.
const (
	ForwardHostDefault  = "127.0.0.1"
	ForwardHostBytesMax = 255
)

// ForwardAllowDefault returns the forward_allow of a workspace that has none of its own.
func ForwardAllowDefault() []string { return []string{"loopback:*"} }

// Types of the control frames of a forward, which are text messages: one JSON object each.
const (
	// FrameEOF ends the direction in which it is sent, and that alone: TCP's half-close. A
	// direction ends once; no bytes come behind.
	FrameEOF = "eof"
	// FrameError is the server's last frame where the connection did not end by itself.
	FrameError = "error"
)

// ForwardFrame is a control frame of a forward.
type ForwardFrame struct {
	Type string `json:"type"`
}

// SocketError is the server's last frame on a WebSocket where something failed, or was
// ended. Its code is the reason in the WebSocket's close frame, too.
type SocketError struct {
	// Type is FrameError.
	Type string `json:"type"`
	Error
}
