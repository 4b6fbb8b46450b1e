package eic

import (
	"context"
	"encoding/xml"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"time"
)

const (
	describeInstances = "ec2:DescribeInstances"
	describeEndpoints = "ec2:DescribeInstanceConnectEndpoints"
)

// instance is EC2's description of one.
type instance struct {
	ID         string    `xml:"instanceId"`
	State      string    `xml:"instanceState>name"`
	VPC        string    `xml:"vpcId"`
	Subnet     string    `xml:"subnetId"`
	PrivateIP  string    `xml:"privateIpAddress"`
	IPv6       []string  `xml:"networkInterfaceSet>item>ipv6AddressesSet>item>ipv6Address"`
	LaunchTime time.Time `xml:"launchTime"`
	Tags       []tag     `xml:"tagSet>item"`
}

type tag struct {
	Key   string `xml:"key"`
	Value string `xml:"value"`
}

// address is the private IPv4 address, else the first of IPv6; "" is none.
func (i instance) address() string {
	if i.PrivateIP != "" || len(i.IPv6) == 0 {
		return i.PrivateIP
	}
	return i.IPv6[0]
}

// endpoint is an EC2 Instance Connect Endpoint.
type endpoint struct {
	ID            string `xml:"instanceConnectEndpointId"`
	State         string `xml:"state"`
	VPC           string `xml:"vpcId"`
	Subnet        string `xml:"subnetId"`
	DNSName       string `xml:"dnsName"`
	FIPSDNSName   string `xml:"fipsDnsName"`
	DualStackName string `xml:"publicDnsNames>dualstack>dnsName"`
	IPAddressType string `xml:"ipAddressType"`
}

// isUsable tells whether tunnels go through it: also while it is changed, and when a
// change has failed.
func (e endpoint) isUsable() bool {
	return slices.Contains([]string{"create-complete", "update-in-progress", "update-failed", "update-complete"}, e.State)
}

// fits tells whether it reaches an address: its type says over which protocols.
func (e endpoint) fits(address string) bool {
	addr, err := netip.ParseAddr(address)
	switch {
	case err != nil || e.IPAddressType == "" || e.IPAddressType == "dualstack":
		return true
	case addr.Is6():
		return e.IPAddressType == "ipv6"
	}
	return e.IPAddressType == "ipv4"
}

// instance asks EC2 for one.
func (a *account) instance(ctx context.Context, id string) (instance, error) {
	found, _, err := a.instances(ctx, url.Values{"InstanceId.1": {id}})
	if err != nil {
		return instance{}, err
	}
	for _, i := range found {
		if i.ID == id {
			return i, nil
		}
	}
	return instance{}, &fault{class: gone, action: describeInstances, code: "nothing found"}
}

// instances asks EC2 for a page of them.
func (a *account) instances(ctx context.Context, query url.Values) (found []instance, next string, err error) {
	got, err := a.query(ctx, describeInstances, "DescribeInstances", query)
	if err != nil {
		return nil, "", err
	}
	var page struct {
		Instances []instance `xml:"reservationSet>item>instancesSet>item"`
		Next      string     `xml:"nextToken"`
	}
	if err := xml.Unmarshal(got.body, &page); err != nil {
		return nil, "", &fault{class: transient, action: describeInstances, requestID: got.requestID, err: err}
	}
	return page.Instances, page.Next, nil
}

// endpoints asks EC2 for those of a VPC, or the one with an id.
func (a *account) endpoints(ctx context.Context, vpc, id string) ([]endpoint, error) {
	const pageMax = "50" // the most that EC2 takes
	query := url.Values{"MaxResults": {pageMax}}
	if id != "" {
		query = url.Values{"InstanceConnectEndpointId.1": {id}}
	} else {
		query.Set("Filter.1.Name", "vpc-id")
		query.Set("Filter.1.Value.1", vpc)
	}
	var all []endpoint
	for {
		got, err := a.query(ctx, describeEndpoints, "DescribeInstanceConnectEndpoints", query)
		if err != nil {
			return nil, err
		}
		var page struct {
			Endpoints []endpoint `xml:"instanceConnectEndpointSet>item"`
			Next      string     `xml:"nextToken"`
		}
		if err := xml.Unmarshal(got.body, &page); err != nil {
			return nil, &fault{class: transient, action: describeEndpoints, requestID: got.requestID, err: err}
		}
		all = append(all, page.Endpoints...)
		if page.Next == "" || len(page.Endpoints) == 0 {
			return all, nil
		}
		query.Set("NextToken", page.Next)
	}
}

// choose picks the endpoint for an instance: the one in its own subnet, else the first.
func choose(all []endpoint, i instance) (endpoint, bool) {
	usable := slices.DeleteFunc(slices.Clone(all), func(e endpoint) bool { return !e.isUsable() || !e.fits(i.address()) })
	if len(usable) == 0 {
		return endpoint{}, false
	}
	for _, e := range usable {
		if e.Subnet != "" && e.Subnet == i.Subnet {
			return e, true
		}
	}
	return usable[0], true
}

// query is a request of EC2's Query API.
func (a *account) query(ctx context.Context, action, name string, form url.Values) (answer, error) {
	form.Set("Action", name)
	form.Set("Version", "2016-11-15")
	return a.do(ctx, call{
		action: action, service: ec2Service(), body: []byte(form.Encode()),
		header: http.Header{"Content-Type": {"application/x-www-form-urlencoded; charset=utf-8"}},
		failed: func(body []byte) string {
			var e struct {
				Code string `xml:"Errors>Error>Code"`
			}
			_ = xml.Unmarshal(body, &e) // a body that isn't AWS's has no code
			return e.Code
		},
	})
}
