package httpapi

import (
	"context"
	"net/http"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/limits"
)

// Watch is who is told of requests. Neither function may block; either may be nil.
type Watch struct {
	// Began is called before anything is done with a request. It returns the context
	// that the request goes on with, and the id of its trace for the log: empty for
	// none.
	Began func(*http.Request) (ctx context.Context, traceID string)
	// Answered is called once for each request that began, with that context, when
	// its answer is over, or was cut.
	Answered func(context.Context, Answered)
}

// Answered is what became of a request. It holds nothing that a caller sent: what
// it says is of closed lists, or a number, or an id of ours.
type Answered struct {
	// Route is a pattern of the list of routes, and Method one that it takes; "none"
	// and "other" for what is not in the list.
	Route, Method string
	// Status is the answer's, 0 when there was none.
	Status int
	// Bytes is the length of the answer's body.
	Bytes int64
	// Code is that of the error, if there was one.
	Code sallyport.Code
	// RequestID is that of the log; ExecID is empty unless a row was written.
	RequestID, ExecID string
	Took              time.Duration
}

// What Answered says of a request that is of no route.
const (
	routeNone   = "none"
	methodOther = "other"
)

// began tells who watches of a request.
func (c *call) began() {
	if c.api.Watch.Began == nil {
		return
	}
	ctx, traceID := c.api.Watch.Began(c.r)
	c.traceID = traceID
	if ctx != c.r.Context() {
		c.r = c.r.WithContext(ctx)
	}
}

// answered tells who watches what became of it.
func (c *call) answered(took time.Duration) {
	if c.api.Watch.Answered == nil {
		return
	}
	a := Answered{
		Route: routeNone, Method: methodOther, Status: c.w.status, Bytes: c.w.bytes,
		Code: sallyport.CodeOf(c.cause), RequestID: c.requestID, ExecID: c.execID, Took: took,
	}
	if c.methods != nil {
		a.Route = c.r.Pattern
		if _, ok := c.methods[getFor(c.r.Method)]; ok {
			a.Method = c.r.Method
		}
	}
	c.api.Watch.Answered(c.r.Context(), a)
}

// getFor is the method by whose route a request is answered: HEAD is GET without
// the body.
func getFor(method string) string {
	if method == http.MethodHead {
		return http.MethodGet
	}
	return method
}

// metrics is GET /metrics, unless the metrics have a listener of their own.
func (c *call) metrics() error {
	if c.api.Metrics == nil {
		return noRoute()
	}
	control := http.NewResponseController(c.w)
	setWriteDeadline(control, time.Now().Add(limits.ScrapeTime+limits.AnswerWriteTime))
	defer setWriteDeadline(control, time.Time{})
	if err := c.api.Metrics(c.w, c.r); err != nil {
		return err
	}
	_ = control.Flush() // a reader that has gone needs no answer
	return nil
}
