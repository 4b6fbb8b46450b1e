package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"time"

	"sallyport/client/sallyport"
)

// ActivityFilter says which rows of the activity log are wanted. Empty fields
// don't filter.
type ActivityFilter struct {
	// Owner says whose rows: an organisation's or a workspace's.
	Owner Owner
	// Everyone asks for the rows of all organisations, which are the admin's to
	// read; Owner is then not used.
	Everyone bool

	Type, Status, Actor string
	// Since is inclusive, Until exclusive.
	Since, Until time.Time
	// Query is a substring of the summary.
	Query string
}

func (f ActivityFilter) query(p Page) url.Values {
	q := p.query()
	set(q, "type", f.Type)
	set(q, "status", f.Status)
	set(q, "actor", f.Actor)
	set(q, "q", f.Query)
	if !f.Since.IsZero() {
		q.Set("since", f.Since.UTC().Format(time.RFC3339Nano))
	}
	if !f.Until.IsZero() {
		q.Set("until", f.Until.UTC().Format(time.RFC3339Nano))
	}
	return q
}

// ListActivity returns one page of the activity log, newest first.
func (c *Client) ListActivity(ctx context.Context, f ActivityFilter, p Page) (sallyport.List[sallyport.Activity], error) {
	var list sallyport.List[sallyport.Activity]
	q := f.query(p)
	route := "/activity"
	if !f.Everyone {
		owner, err := f.Owner.find(ctx, c)
		if err != nil {
			return list, err
		}
		route = owner.path("activity")
		set(q, "org", owner.lookupOrg())
	}
	err := c.do(ctx, call{doing: "read the activity", method: http.MethodGet, path: route, query: q}, &list)
	return list, err
}

// AllActivity yields every row that f wants, newest first, and ends with the
// first error. A log is long: stop when there is enough.
func (c *Client) AllActivity(ctx context.Context, f ActivityFilter) iter.Seq2[sallyport.Activity, error] {
	return func(yield func(sallyport.Activity, error) bool) {
		if !f.Everyone {
			owner, err := f.Owner.find(ctx, c)
			if err != nil {
				yield(sallyport.Activity{}, err)
				return
			}
			f.Owner = owner
		}
		all(func(cursor string) (sallyport.List[sallyport.Activity], error) {
			return c.ListActivity(ctx, f, Page{Cursor: cursor})
		})(yield)
	}
}
