package sallyport

import "time"

// Connection is how one server reaches a workspace's machine now. It is of the server
// that was asked alone: each has its own connections.
type Connection struct {
	// State is one of the states below.
	State string `json:"state"`
	// Since is when the state began: with StateConnected and StateIdle, when the
	// connections did; with StateBackingOff, when the first of the failures in a row
	// came; with StateNone, when the last connection ended. Missing where the server
	// doesn't know.
	Since *time.Time `json:"since,omitempty"`
	// Connections counts the SSH connections, and Sessions what runs on them.
	Connections int `json:"connections"`
	Sessions    int `json:"sessions"`
	// SessionsPerConnection is how many run at most on one connection: less than usual
	// where the machine has refused more (sshd's MaxSessions).
	SessionsPerConnection int `json:"sessions_per_connection"`
	// Waiting counts the callers that wait for a session.
	Waiting int `json:"waiting"`
	// HostKey is the key that the machine has proven last, as known_hosts has it, and
	// HostKeyFingerprint its SHA-256, as ssh-keygen -l prints it.
	HostKey            string `json:"host_key,omitempty"`
	HostKeyFingerprint string `json:"host_key_fingerprint,omitempty"`
	// LastError is what went wrong last. It stays when all is well again.
	LastError *ConnectionError `json:"last_error,omitempty"`
	// NextDialAt is when the machine may be dialled again, with StateBackingOff.
	NextDialAt *time.Time `json:"next_dial_at,omitempty"`
}

// States of a Connection.
const (
	// StateNone: there is no connection, and nothing is wrong; the next exec dials.
	StateNone = "none"
	// StateConnecting: the first connection is being made.
	StateConnecting = "connecting"
	// StateConnected: there are connections, and something runs on them.
	StateConnected = "connected"
	// StateIdle: there are connections, and nothing runs.
	StateIdle = "idle"
	// StateBackingOff: the last dial failed, and execs get its error until NextDialAt.
	StateBackingOff = "backing_off"
)

// ConnectionError is what went wrong on the way to a machine, in our words.
type ConnectionError struct {
	Message string `json:"error"`
	Code    Code   `json:"code"`
	// Reason is one of the reasons of error.go.
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"at"`
}
