package httpapi

import (
	"strconv"
	"time"
)

// takeRequest counts the call against its token's rate, and tells in the answer, whatever
// that will be, where the token stands. It returns rate_limited.
//
// The headers are those of the drafts 03 to 06 of the IETF's RateLimit fields, which clients
// and proxies know; what came later has another form, and is a draft still.
func (c *call) takeRequest() error {
	standing, err := c.api.Gateway.TakeRequest(c.r.Context(), c.by)
	if standing.Rate.PerS > 0 {
		h := c.w.Header()
		h.Set("RateLimit-Limit", strconv.Itoa(standing.Rate.Burst))
		h.Set("RateLimit-Remaining", strconv.Itoa(standing.Remaining))
		h.Set("RateLimit-Reset", strconv.Itoa(int((standing.Full+time.Second-1)/time.Second)))
	}
	return err
}
