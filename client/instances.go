package client

import (
	"context"
	"iter"
	"net/http"

	"sallyport/client/sallyport"
)

// ListInstances returns one page of the EC2 instances that could be workspaces of an
// organisation. It takes the admin, or the scope workspaces where the organisation has a
// role of its own in AWS.
func (c *Client) ListInstances(ctx context.Context, org string, find sallyport.InstanceQuery, p Page) (sallyport.List[sallyport.Instance], error) {
	var list sallyport.List[sallyport.Instance]
	if err := checkRef("organisation", org); err != nil {
		return list, err
	}
	q := p.query()
	set(q, "region", find.Region)
	for key, value := range find.Tags {
		if value != "" {
			key += "=" + value
		}
		q.Add("tag", key)
	}
	err := c.do(ctx, call{doing: "list EC2 instances", method: http.MethodGet, path: path("orgs", org, "instances"), query: q}, &list)
	return list, err
}

// AllInstances yields every one of them, and ends with the first error.
func (c *Client) AllInstances(ctx context.Context, org string, find sallyport.InstanceQuery) iter.Seq2[sallyport.Instance, error] {
	return all(func(cursor string) (sallyport.List[sallyport.Instance], error) {
		return c.ListInstances(ctx, org, find, Page{Limit: pageMax, Cursor: cursor})
	})
}
