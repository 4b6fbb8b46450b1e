package eicsim

import (
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Bounds of MaxResults.
const (
	instancesPageMin, instancesPageMax = 5, 1000
	endpointsPageMin, endpointsPageMax = 1, 50
)

type tag struct {
	Key   string `xml:"key"`
	Value string `xml:"value"`
}

type interfaceItem struct {
	Subnet    string   `xml:"subnetId"`
	VPC       string   `xml:"vpcId"`
	PrivateIP string   `xml:"privateIpAddress,omitempty"`
	IPv6      []string `xml:"ipv6AddressesSet>item>ipv6Address"`
}

type instanceItem struct {
	ID         string          `xml:"instanceId"`
	StateCode  int             `xml:"instanceState>code"`
	StateName  string          `xml:"instanceState>name"`
	LaunchTime string          `xml:"launchTime"`
	Zone       string          `xml:"placement>availabilityZone"`
	Subnet     string          `xml:"subnetId,omitempty"`
	VPC        string          `xml:"vpcId,omitempty"`
	PrivateIP  string          `xml:"privateIpAddress,omitempty"`
	IPv6       string          `xml:"ipv6Address,omitempty"`
	Tags       []tag           `xml:"tagSet>item"`
	Interfaces []interfaceItem `xml:"networkInterfaceSet>item"`
}

type reservation struct {
	ID        string         `xml:"reservationId"`
	Instances []instanceItem `xml:"instancesSet>item"`
}

type describeInstancesResponse struct {
	XMLName      xml.Name      `xml:"http://ec2.amazonaws.com/doc/2016-11-15/ DescribeInstancesResponse"`
	RequestID    string        `xml:"requestId"`
	Reservations []reservation `xml:"reservationSet>item"`
	NextToken    string        `xml:"nextToken,omitempty"`
}

type endpointItem struct {
	ID            string `xml:"instanceConnectEndpointId"`
	State         string `xml:"state"`
	DNSName       string `xml:"dnsName"`
	FIPSDNSName   string `xml:"fipsDnsName"`
	VPC           string `xml:"vpcId"`
	Subnet        string `xml:"subnetId"`
	IPAddressType string `xml:"ipAddressType"`
	IPv4DNSName   string `xml:"publicDnsNames>ipv4>dnsName"`
	Dualstack     string `xml:"publicDnsNames>dualstack>dnsName"`
}

type describeEndpointsResponse struct {
	XMLName   xml.Name       `xml:"http://ec2.amazonaws.com/doc/2016-11-15/ DescribeInstanceConnectEndpointsResponse"`
	RequestID string         `xml:"requestId"`
	Endpoints []endpointItem `xml:"instanceConnectEndpointSet>item"`
	NextToken string         `xml:"nextToken,omitempty"`
}

// describeInstances answers one reservation for each instance.
func (s *Sim) describeInstances(form url.Values, requestID string) (any, *APIError) {
	ids := numbered(form, "InstanceId")
	if len(ids) > 0 && form.Has("MaxResults") {
		return nil, invalid("InvalidParameterCombination", "The parameter instancesSet cannot be used with the parameter maxResults")
	}
	all := s.allInstances()
	for _, id := range ids {
		if !regexp.MustCompile(`^i-([0-9a-f]{8}|[0-9a-f]{17})$`).MatchString(id) {
			return nil, invalid("InvalidInstanceID.Malformed", "Invalid id: %q", id)
		}
		if !slices.ContainsFunc(all, func(i Instance) bool { return i.ID == id }) {
			return nil, invalid("InvalidInstanceID.NotFound", "The instance ID '%s' does not exist", id)
		}
	}
	filters, fault := readFilters(form, isInstanceFilter)
	if fault != nil {
		return nil, fault
	}
	all = slices.DeleteFunc(all, func(i Instance) bool {
		return len(ids) > 0 && !slices.Contains(ids, i.ID) || !filters.pass(i.values)
	})
	page, next, fault := pageOf(all, form, instancesPageMin, instancesPageMax, s.options.PageMax)
	if fault != nil {
		return nil, fault
	}
	answer := describeInstancesResponse{RequestID: requestID, NextToken: next}
	for _, i := range page {
		answer.Reservations = append(answer.Reservations, reservation{ID: "r-" + strings.TrimPrefix(i.ID, "i-"), Instances: []instanceItem{i.item()}})
	}
	return answer, nil
}

// stateCodes are EC2's own numbers.
func stateCodes() map[string]int {
	return map[string]int{"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}
}

// item leaves out of a terminated instance what EC2 leaves out.
func (i Instance) item() instanceItem {
	item := instanceItem{
		ID: i.ID, StateCode: stateCodes()[i.State], StateName: i.State, Zone: i.AvailabilityZone,
		LaunchTime: i.LaunchTime.UTC().Format("2006-01-02T15:04:05.000Z"),
	}
	for _, key := range slices.Sorted(maps.Keys(i.Tags)) {
		item.Tags = append(item.Tags, tag{key, i.Tags[key]})
	}
	if i.State == "terminated" {
		return item
	}
	item.Subnet, item.VPC, item.PrivateIP, item.IPv6 = i.Subnet, i.VPC, i.PrivateIP, i.IPv6
	face := interfaceItem{Subnet: i.Subnet, VPC: i.VPC, PrivateIP: i.PrivateIP}
	if i.IPv6 != "" {
		face.IPv6 = []string{i.IPv6}
	}
	item.Interfaces = []interfaceItem{face}
	return item
}

func isInstanceFilter(name string) bool {
	return strings.HasPrefix(name, "tag:") || slices.Contains([]string{"tag-key", "instance-state-name", "vpc-id", "subnet-id", "instance-id", "private-ip-address"}, name)
}

// values are what a filter of that name looks at.
func (i Instance) values(name string) []string {
	if key, ok := strings.CutPrefix(name, "tag:"); ok {
		value, ok := i.Tags[key]
		if !ok {
			return nil
		}
		return []string{value}
	}
	switch name {
	case "tag-key":
		return slices.Collect(maps.Keys(i.Tags))
	case "instance-state-name":
		return []string{i.State}
	case "vpc-id":
		return []string{i.VPC}
	case "subnet-id":
		return []string{i.Subnet}
	case "private-ip-address":
		return []string{i.PrivateIP}
	}
	return []string{i.ID}
}

func (s *Sim) describeEndpoints(form url.Values, requestID string) (any, *APIError) {
	ids := numbered(form, "InstanceConnectEndpointId")
	all := s.allEndpoints()
	for _, id := range ids {
		if !slices.ContainsFunc(all, func(e EndpointRecord) bool { return e.ID == id }) {
			return nil, invalid("InvalidInstanceConnectEndpointId.NotFound", "The instance connect endpoint ID '%s' does not exist", id)
		}
	}
	filters, fault := readFilters(form, func(name string) bool {
		return slices.Contains([]string{"vpc-id", "subnet-id", "state", "instance-connect-endpoint-id"}, name)
	})
	if fault != nil {
		return nil, fault
	}
	all = slices.DeleteFunc(all, func(e EndpointRecord) bool {
		return len(ids) > 0 && !slices.Contains(ids, e.ID) || !filters.pass(e.values)
	})
	page, next, fault := pageOf(all, form, endpointsPageMin, endpointsPageMax, s.options.PageMax)
	if fault != nil {
		return nil, fault
	}
	answer := describeEndpointsResponse{RequestID: requestID, NextToken: next}
	for _, e := range page {
		answer.Endpoints = append(answer.Endpoints, endpointItem{
			ID: e.ID, State: e.State, DNSName: e.DNSName, FIPSDNSName: e.FIPSDNSName, VPC: e.VPC, Subnet: e.Subnet,
			IPAddressType: e.IPAddressType, IPv4DNSName: e.DNSName, Dualstack: e.DualstackDNSName,
		})
	}
	return answer, nil
}

func (e EndpointRecord) values(name string) []string {
	switch name {
	case "vpc-id":
		return []string{e.VPC}
	case "subnet-id":
		return []string{e.Subnet}
	case "state":
		return []string{e.State}
	}
	return []string{e.ID}
}

// numbered are the values of NAME.1, NAME.2 and so on.
func numbered(form url.Values, name string) []string {
	var values []string
	for n := 1; form.Has(fmt.Sprintf("%s.%d", name, n)); n++ {
		values = append(values, form.Get(fmt.Sprintf("%s.%d", name, n)))
	}
	return values
}

// filters are values by name: each name must pass, by any of its values.
type filters map[string][]string

func readFilters(form url.Values, isKnown func(string) bool) (filters, *APIError) {
	found := filters{}
	for n := 1; form.Has(fmt.Sprintf("Filter.%d.Name", n)); n++ {
		name := form.Get(fmt.Sprintf("Filter.%d.Name", n))
		values := numbered(form, fmt.Sprintf("Filter.%d.Value", n))
		if !isKnown(name) {
			return nil, invalid("InvalidParameterValue", "The filter '%s' is invalid", name)
		}
		if len(values) == 0 {
			return nil, invalid("InvalidParameterValue", "The filter '%s' has no values", name)
		}
		found[name] = append(found[name], values...)
	}
	return found, nil
}

func (f filters) pass(values func(name string) []string) bool {
	for name, patterns := range f {
		if !slices.ContainsFunc(values(name), func(value string) bool {
			return slices.ContainsFunc(patterns, func(pattern string) bool { return like(pattern, value) })
		}) {
			return false
		}
	}
	return true
}

// like matches as EC2 does: * is anything, ? one character.
func like(pattern, value string) bool {
	quoted := strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(regexp.QuoteMeta(pattern))
	return regexp.MustCompile(`^(?s:` + quoted + `)$`).MatchString(value)
}

// tokenPrefix brings into every token what a query must escape.
const tokenPrefix = "+/+/"

// pageOf cuts a page out of all records.
func pageOf[T any](all []T, form url.Values, least, most, capped int) (page []T, next string, fault *APIError) {
	size := most
	if text := form.Get("MaxResults"); text != "" {
		var err error
		if size, err = strconv.Atoi(text); err != nil || size < least || size > most {
			return nil, "", invalid("InvalidParameterValue", "Value ( %s ) for parameter maxResults is invalid. Expecting a value between %d and %d.", text, least, most)
		}
	}
	if capped > 0 {
		size = min(size, capped)
	}
	from := 0
	if token := form.Get("NextToken"); token != "" {
		text, ok := strings.CutPrefix(token, tokenPrefix)
		decoded, err := base64.StdEncoding.DecodeString(text)
		if from, _ = strconv.Atoi(string(decoded)); !ok || err != nil || from <= 0 || from > len(all) {
			return nil, "", &APIError{Status: http.StatusBadRequest, Code: "InvalidNextToken", Message: "The token is not valid"}
		}
	}
	to := min(from+size, len(all))
	if to < len(all) {
		next = tokenPrefix + base64.StdEncoding.EncodeToString([]byte(strconv.Itoa(to)))
	}
	return all[from:to], next, nil
}
