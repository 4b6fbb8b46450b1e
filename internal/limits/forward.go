package limits

import "time"

// WebSockets of ours.
const (
	// SocketMessageBytesMax bounds a message to the server.
	SocketMessageBytesMax = 2 << 20
	// SocketPieceBytes is how much output of an exec a message from the server holds, and a few
	// bytes more: libraries take 32 KiB where nobody says otherwise.
	SocketPieceBytes = 31 << 10
	// SocketHoldTime is how long input is held back before no pong is expected meanwhile.
	SocketHoldTime = time.Second
	// SocketEndTime is how long the other side may take to take the last message.
	SocketEndTime = 2 * time.Second
)

// Forwards.
const (
	// RunningForwards is how many forwards of one organisation run at once, and
	// RunningForwardsPerWorkspace how many to one of its machines.
	RunningForwards             = 1024
	RunningForwardsPerWorkspace = 256
	// ForwardAllowMax bounds the elements of forward_allow, and ForwardAllowBytesMax each: a
	// host's name in brackets, and two ports.
	ForwardAllowMax      = 64
	ForwardAllowBytesMax = 300
	// ForwardOpenTime is how long the target may take to take a connection.
	ForwardOpenTime = 10 * time.Second
	// ForwardPieceBytes is how much a forward holds of each direction, and the longest message
	// that it sends: no more than libraries take where nobody says otherwise.
	ForwardPieceBytes = 32 << 10
)
