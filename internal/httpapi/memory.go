package httpapi

import (
	"net/http"

	"sallyport/client/sallyport"
	"sallyport/internal/limits"
)

// hold counts so many bytes in all that wait in memory for the call's caller, or refuses them
// where its organisation's share is taken. What is small isn't counted.
func (c *call) hold(bytes int64) error {
	more := bytes - c.held.Bytes()
	if bytes <= limits.SmallBytesMax || more <= 0 || c.held.Reserve(c.by.OrgID, more) {
		return nil
	}
	return c.memoryFull()
}

// holdAnswer counts an answer that waits for its reader. One that only shows something is
// refused where there is no room; what was done is told in any case.
func (c *call) holdAnswer(bytes int64) error {
	if c.r.Method == http.MethodGet {
		return c.hold(bytes)
	}
	return nil
}

// memoryFull is the refusal of what would wait in memory: too_many_execs for an exec,
// rate_limited for all else.
func (c *call) memoryFull() error {
	full := sallyport.Errorf(sallyport.CodeRateLimited, "too much waits in the server's memory for this organisation; try again in a moment, and read answers as they come")
	if c.isExec {
		full.Code = sallyport.CodeTooManyExecs
	}
	full.Reason = sallyport.ReasonMemory
	return full
}
