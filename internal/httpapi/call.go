package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/fairqueue"
	"sallyport/internal/gateway"
	"sallyport/internal/limits"
	"sallyport/internal/quota"
)

// call is one request on its way through a handler.
type call struct {
	api     *API
	w       *recorder
	r       *http.Request
	methods map[string]route // what the path takes; nil for one that there is not
	route   route            // the one that answers
	turn    *fairqueue.Place // what the call holds of the API's turns; nil is none
	by      gateway.Caller
	// authenticatedAt is when the caller was authenticated, before the store was asked.
	authenticatedAt time.Time
	byCookie        bool // the caller was authenticated by a cookie
	requestID       string
	bodyTaken       bool        // somebody has read the body, or tried
	held            *quota.Held // what waits in memory for the caller
	isExec          bool
	// countedFor is the organisation whose open requests count this one; empty for none.
	countedFor string

	// For the log.
	execID  string
	traceID string
	cause   error
}

// isJSON tells whether a body says that it is JSON, which a form of another site's page
// can't.
func isJSON(contentTypes []string) bool {
	if len(contentTypes) != 1 {
		return false
	}
	media, _, err := mime.ParseMediaType(contentTypes[0])
	return err == nil && (media == "application/json" || media == "application/merge-patch+json")
}

// limitBody bounds how long the body may take to arrive from now on.
func (c *call) limitBody(d time.Duration) {
	if c.r.Body != http.NoBody {
		// It fails on a connection that has gone, whose reads fail as well.
		_ = c.setReadDeadline(time.Now().Add(d))
	}
}

// limitUnread keeps a body that nobody wants from holding its answer up: before it
// sends one, net/http takes what is left of the body.
func (c *call) limitUnread() {
	if !c.bodyTaken && c.r.Body != http.NoBody {
		c.limitBody(limits.BodyUnreadTime)
		yield(c.r)
	}
}

func (c *call) setReadDeadline(at time.Time) error {
	err := http.NewResponseController(c.w).SetReadDeadline(at)
	if errors.Is(err, http.ErrNotSupported) {
		return nil
	}
	return err
}

// answer writes v as JSON, in which < and > stay what they are.
func (c *call) answer(status int, v any) {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		c.api.Log.Error("encode answer", "request_id", c.requestID, "error", err)
		status = http.StatusInternalServerError
		body.Reset()
		body.WriteString(`{"error":"the answer could not be written","code":"internal"}` + "\n")
	}
	if err := c.holdAnswer(int64(body.Len())); err != nil && status < 400 {
		c.fail(err)
		return
	}
	c.send(status, sallyport.MediaJSON, body.Bytes())
}

// send writes a whole answer.
func (c *call) send(status int, mediaType string, body []byte) {
	if h := c.w.Header(); h.Get("Trailer") == "" {
		h.Set("Content-Length", strconv.Itoa(len(body)))
	}
	c.sendParts(status, mediaType, func(w io.Writer) error {
		_, err := w.Write(body)
		return err
	})
}

// sendParts writes an answer as write brings it. A reader that stops reading loses
// its connection.
func (c *call) sendParts(status int, mediaType string, write func(io.Writer) error) {
	c.w.Header().Set("Content-Type", mediaType)
	control := http.NewResponseController(c.w)
	patient := &patientWriter{w: c.w, control: control}
	patient.wait()
	c.limitUnread()
	c.turn.Release() // the reader may take his time
	c.w.WriteHeader(status)
	if write(patient) == nil && control.Flush() == nil {
		setWriteDeadline(control, time.Time{})
	}
}

// patientWriter gives the reader limits.AnswerWriteTime for each part.
type patientWriter struct {
	w       io.Writer
	control *http.ResponseController
}

func (p *patientWriter) wait() { setWriteDeadline(p.control, time.Now().Add(limits.AnswerWriteTime)) }

func (p *patientWriter) Write(b []byte) (int, error) {
	p.wait()
	return p.w.Write(b)
}

// setWriteDeadline bounds how long the writes of an answer may take. It fails on a
// connection that has gone, whose writes fail as well.
func setWriteDeadline(control *http.ResponseController, at time.Time) {
	_ = control.SetWriteDeadline(at)
}

// ref is the workspace that the path names, within the organisation that the
// query may name.
func (c *call) ref() gateway.Ref {
	return gateway.Ref{Org: c.r.URL.Query().Get("org"), Workspace: c.r.PathValue("workspace")}
}

// page reads ?limit= and ?cursor=.
func (c *call) page() (gateway.PageRequest, error) {
	query := c.r.URL.Query()
	page := gateway.PageRequest{Cursor: query.Get("cursor")}
	text := query.Get("limit")
	if text == "" {
		return page, nil
	}
	limit, err := strconv.Atoi(text)
	if strings.Trim(text, "0123456789") == "" && errors.Is(err, strconv.ErrRange) {
		limit, err = limits.PageMax, nil
	}
	if err != nil || limit < 1 {
		return page, sallyport.Errorf(sallyport.CodeInvalidLimit, "limit must be an integer from 1 on; more than %d is %d", limits.PageMax, limits.PageMax)
	}
	page.Limit = min(limit, limits.PageMax)
	return page, nil
}
