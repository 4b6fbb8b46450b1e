package eic

import (
	"context"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"sallyport/client/sallyport"
	"sallyport/internal/connector"
)

// Discover lists a page of the instances in a region that have not been terminated, with
// the instances that target's organisation may see. page is at least 5; EC2 may return fewer. A cursor
// that EC2 doesn't know is invalid_cursor; other errors are as Dial's.
func (c *Connector) Discover(ctx context.Context, target connector.Target, q sallyport.InstanceQuery, cursor string, page int) (found []sallyport.Instance, next string, err error) {
	target.Spec.Region = q.Region
	d := &dial{Connector: c, target: target}
	if found, next, err = d.discover(ctx, q, cursor, page); err == nil {
		return found, next, nil
	}
	if f, _ := err.(*fault); f != nil && cursor != "" && (f.code == "InvalidNextToken" || strings.HasPrefix(f.code, "InvalidParameter")) {
		return nil, "", sallyport.Errorf(sallyport.CodeInvalidCursor, "the cursor is not one of this listing").Because(err)
	}
	c.log.InfoContext(ctx, "eic: instances not listed", "cause", err)
	return nil, "", tell(ctx, err)
}

func (d *dial) discover(ctx context.Context, q sallyport.InstanceQuery, cursor string, page int) (found []sallyport.Instance, next string, err error) {
	if d.account, err = d.accounts.of(ctx, q.Region, d.target.AWS); err != nil {
		return nil, "", err
	}
	query := url.Values{"MaxResults": {strconv.Itoa(max(page, 5))}} // EC2 takes no less
	if cursor != "" {
		query.Set("NextToken", cursor)
	}
	for i, name := range []string{"pending", "running", "stopping", "stopped"} {
		query.Set("Filter.1.Name", "instance-state-name")
		query.Set("Filter.1.Value."+strconv.Itoa(i+1), name)
	}
	for i, key := range slices.Sorted(maps.Keys(q.Tags)) {
		n := "Filter." + strconv.Itoa(i+2)
		name, value := "tag:"+key, q.Tags[key]
		if value == "" {
			name, value = "tag-key", key
		}
		query.Set(n+".Name", name)
		query.Set(n+".Value.1", value)
	}
	all, next, err := d.account.instances(ctx, query)
	if err != nil {
		return nil, "", err
	}
	for _, i := range all {
		endpointID, err := d.endpointOf(ctx, i)
		if err != nil {
			return nil, "", err
		}
		found = append(found, d.wire(i, endpointID))
	}
	return found, next, nil
}

// endpointOf is the endpoint through which an instance would be reached; "" is none.
func (d *dial) endpointOf(ctx context.Context, i instance) (string, error) {
	all, _, err := d.findEndpoints(ctx, i.VPC)
	if kind, _ := classOf(err); err != nil && kind != noEndpoint {
		return "", err
	}
	e, _ := choose(all, i)
	return e.ID, nil
}

func (d *dial) wire(i instance, endpointID string) sallyport.Instance {
	w := sallyport.Instance{
		ID: i.ID, Region: d.account.region, State: i.State, PrivateIP: i.address(), LaunchedAt: i.LaunchTime.UTC(), EndpointID: endpointID,
		Tags: map[string]string{},
	}
	for _, t := range i.Tags {
		w.Tags[t.Key] = t.Value
	}
	w.Name = w.Tags["Name"]
	return w
}
