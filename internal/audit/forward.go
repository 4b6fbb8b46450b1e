package audit

import (
	"net"
	"strconv"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/store"
)

// Forward is what the row of a forward says before the machine is asked.
type Forward struct {
	// Host and Port are the target's, and have been checked.
	Host string
	Port uint16
}

// Describe implements Detail.
func (f Forward) Describe(row *sallyport.Activity) {
	row.Type, row.Target = sallyport.ActivityForward, net.JoinHostPort(f.Host, strconv.Itoa(int(f.Port)))
	row.Summary = summary("forward to " + row.Target)
}

// ForwardOutcome is how a forward ended.
type ForwardOutcome struct {
	// InputBytes went to the target, and OutputBytes came from it.
	InputBytes, OutputBytes int64
	// Duration is the time since the target took the connection.
	Duration time.Duration
}

// Complete implements Outcome.
func (f ForwardOutcome) Complete(row *store.Activity) {
	ms := f.Duration.Milliseconds()
	row.DurationMS, row.InputBytes, row.OutputBytes = &ms, &f.InputBytes, &f.OutputBytes
}
