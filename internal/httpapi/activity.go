package httpapi

import (
	"net/http"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/gateway"
)

func (c *call) workspaceActivity() error {
	return c.activity(func(q gateway.ActivityQuery) (gateway.ActivityPage, error) {
		return c.api.Gateway.WorkspaceActivity(c.r.Context(), c.by, c.ref(), q)
	})
}

func (c *call) orgActivity() error {
	return c.activity(func(q gateway.ActivityQuery) (gateway.ActivityPage, error) {
		return c.api.Gateway.OrgActivity(c.r.Context(), c.by, c.r.PathValue("org"), q)
	})
}

func (c *call) allActivity() error {
	return c.activity(func(q gateway.ActivityQuery) (gateway.ActivityPage, error) {
		return c.api.Gateway.AllActivity(c.r.Context(), c.by, q)
	})
}

func (c *call) activity(read func(gateway.ActivityQuery) (gateway.ActivityPage, error)) error {
	q, err := c.activityQuery()
	if err != nil {
		return err
	}
	page, err := read(q)
	if err != nil {
		return err
	}
	c.answer(http.StatusOK, page)
	return nil
}

func (c *call) activityQuery() (q gateway.ActivityQuery, err error) {
	if q.Page, err = c.page(); err != nil {
		return q, err
	}
	query := c.r.URL.Query()
	q.Type, q.Status, q.Actor, q.Text = query.Get("type"), query.Get("status"), query.Get("actor"), query.Get("q")
	if q.Since, err = readTime("since", query.Get("since"), sallyport.CodeInvalidSince); err != nil {
		return q, err
	}
	q.Until, err = readTime("until", query.Get("until"), sallyport.CodeInvalidUntil)
	return q, err
}

func readTime(name, text string, code sallyport.Code) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, sallyport.Errorf(code, "%s must be a time as RFC 3339 has it, for example 2026-01-02T03:04:05Z", name).Because(err)
	}
	// Rows have microseconds: the first that a finer time lets in is the next.
	if whole := t.Truncate(time.Microsecond); !whole.Equal(t) {
		t = whole.Add(time.Microsecond)
	}
	return t, nil
}
