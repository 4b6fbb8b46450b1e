// Package sallyport is the vocabulary that the server, the command line and
// the Go client share: the wire types of the HTTP API and its error codes.
// It imports the standard library alone, so that a client stays small.
//
// To run commands on a workspace from Go, see package sallyport/client.
package sallyport

import "time"

// DefaultTimeout and MaxTimeout bound the time_out of one exec, MaxTimeoutStreamed that of one
// whose stdin is streamed. A request without one gets the default; one that asks for more is
// clamped.
const (
	DefaultTimeout     = 30 * time.Second
	MaxTimeout         = 120 * time.Second
	MaxTimeoutStreamed = time.Hour
)

// Headers of the answer to an exec.
const (
	// HeaderIdempotencyKey keeps an exec from running twice.
	HeaderIdempotencyKey = "Idempotency-Key"
	// HeaderExecID names the exec's row in the activity log.
	HeaderExecID = "Sallyport-Exec-Id"
	// HeaderOutputOffset tells, of a detached exec's output, the offset of the first byte of each
	// stream: stdout=N,stderr=M.
	HeaderOutputOffset = "Sallyport-Output-Offset"
	// HeaderTimeoutS is the time-out in force, in seconds, so that a clamp is told.
	HeaderTimeoutS = "Sallyport-Timeout-S"
	// HeaderEventID is the seq behind which a stream of events begins.
	HeaderEventID = "Sallyport-Event-Id"
	// HeaderOrg names the organisation that a request is for, by id or name, to a server
	// that is for one alone; others don't look at it.
	HeaderOrg = "X-Sallyport-Org"
	// HeaderActivityID names the row of a file operation in the activity log.
	HeaderActivityID = "Sallyport-Activity-Id"
	// HeaderUploadID names an upload that may be resumed, and HeaderUploadOffset is how much
	// of it is kept, in bytes.
	HeaderUploadID     = "Upload-Id"
	HeaderUploadOffset = "Upload-Offset"
	// HeaderSkipped, a trailer of an archive, counts what was left out of it.
	HeaderSkipped = "Sallyport-Skipped"
	// HeaderRequestID is on every answer, and in the server's log beside it.
	HeaderRequestID = "X-Request-Id"
)

// Trailers of an exec's answer in MediaDocker.
const (
	TrailerExitCode  = "Sallyport-Exit-Code"
	TrailerErrorCode = "Sallyport-Error-Code"
	// TrailerResult is the last frame as JSON.
	TrailerResult = "Sallyport-Result"
)

// Media types of an exec's answer.
const (
	// MediaNDJSON is one JSON frame a line: the default framing.
	MediaNDJSON = "application/x-ndjson"
	// MediaSSE has the same frames as server-sent events: "frame", and for the
	// last "end".
	MediaSSE = "text/event-stream"
	// MediaExecStream is the body of an exec whose stdin is streamed: an ExecRequest as JSON on
	// one line, and behind it stdin, as it is, to the end of the body.
	MediaExecStream = "application/vnd.sallyport.exec-stream"
	// MediaFrames is raw output behind headers of 8 bytes, the last frame as JSON
	// in a piece of kind 4: the fastest, for our own clients, through any proxy.
	MediaFrames = "application/vnd.sallyport.frames"
	// MediaDocker is Docker's multiplexed stream; the result comes in trailers.
	MediaDocker = "application/vnd.docker.multiplexed-stream"
	// MediaJSON is every other answer.
	MediaJSON = "application/json"
)

// List is one page of a listing, in the order that the route documents.
type List[T any] struct {
	Items []T `json:"items"`
	// NextCursor asks for the next page (?cursor=); empty on the last.
	NextCursor string `json:"next_cursor"`
}
