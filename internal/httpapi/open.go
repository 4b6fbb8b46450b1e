package httpapi

import (
	"sync"

	"sallyport/client/sallyport"
)

// openRequests counts the requests that are not answered yet, by organisation: each may hold
// a connection for as long as its caller likes.
type openRequests struct {
	mu sync.Mutex // guards the fields below
	of map[string]int
}

// enter counts the call for an organisation until leave is called. It returns rate_limited
// when the organisation has as many open as it may.
func (c *call) enter(org string, most int) error {
	open := &c.api.open
	if most == 0 || c.countedFor != "" {
		return nil
	}
	open.mu.Lock()
	defer open.mu.Unlock()
	if open.of[org] >= most {
		full := sallyport.Errorf(sallyport.CodeRateLimited, "the organisation has as many requests open at once as it may, %d; try again when one has ended", most)
		full.Reason = sallyport.ReasonOrganisation
		return full
	}
	if open.of == nil {
		open.of = map[string]int{}
	}
	open.of[org]++
	c.countedFor = org
	return nil
}

// leave counts the call no more.
func (c *call) leave() {
	if c.countedFor == "" {
		return
	}
	open := &c.api.open
	open.mu.Lock()
	defer open.mu.Unlock()
	if open.of[c.countedFor]--; open.of[c.countedFor] == 0 {
		delete(open.of, c.countedFor)
	}
	c.countedFor = ""
}
