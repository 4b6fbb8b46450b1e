package eicsim

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"
)

// Instance of the simulated account.
type Instance struct {
	ID, VPC, Subnet, PrivateIP, IPv6 string
	// State is as EC2 names it; empty is running.
	State            string
	AvailabilityZone string
	// LaunchTime is the simulator's now if it is zero.
	LaunchTime time.Time
	Tags       map[string]string
	// Addr, HOST:PORT, is what a tunnel to port 22 really dials; empty is a machine
	// on which nothing listens.
	Addr string
	// OSUsers are whom a policy lets keys be pushed for; nil is anybody.
	OSUsers []string
}

// EndpointRecord is an EC2 Instance Connect Endpoint. Names that are empty when it is
// added are made from its id.
type EndpointRecord struct {
	ID, VPC, Subnet string
	// State is as EC2 names it; empty is create-complete.
	State                                  string
	DNSName, FIPSDNSName, DualstackDNSName string
	// IPAddressType is ipv4, ipv6 or dualstack; empty is ipv4.
	IPAddressType string
}

// States in which an endpoint opens tunnels.
func usableStates() []string {
	return []string{"create-complete", "update-in-progress", "update-failed", "update-complete"}
}

// AddInstance adds an instance, or replaces the one of its id.
func (s *Sim) AddInstance(i Instance) {
	i.State = cmp.Or(i.State, "running")
	i.AvailabilityZone = cmp.Or(i.AvailabilityZone, s.options.Region+"a")
	if i.LaunchTime.IsZero() {
		i.LaunchTime = s.now()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.instances[i.ID] = &i
}

// UpdateInstance changes an instance; f is not called for one that there isn't, and
// must not call the simulator.
func (s *Sim) UpdateInstance(id string, f func(*Instance)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := s.instances[id]; i != nil {
		f(i)
	}
}

// RemoveInstance removes an instance, as if it never was.
func (s *Sim) RemoveInstance(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.instances, id)
}

// AddEndpoint adds an endpoint, or replaces the one of its id.
func (s *Sim) AddEndpoint(e EndpointRecord) {
	domain := "." + s.options.Region
	e.State = cmp.Or(e.State, "create-complete")
	e.IPAddressType = cmp.Or(e.IPAddressType, "ipv4")
	e.DNSName = cmp.Or(e.DNSName, e.ID+".deadbeef.ec2-instance-connect-endpoint"+domain+".amazonaws.com")
	e.FIPSDNSName = cmp.Or(e.FIPSDNSName, e.ID+".deadbeef.fips.ec2-instance-connect-endpoint"+domain+".amazonaws.com")
	e.DualstackDNSName = cmp.Or(e.DualstackDNSName, e.ID+".deadbeef.ec2-instance-connect-endpoint"+domain+".api.aws")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endpoints[e.ID] = &e
}

// UpdateEndpoint changes an endpoint; f is not called for one that there isn't, and
// must not call the simulator.
func (s *Sim) UpdateEndpoint(id string, f func(*EndpointRecord)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.endpoints[id]; e != nil {
		f(e)
	}
}

// RemoveEndpoint removes an endpoint. Tunnels that it has opened stay.
func (s *Sim) RemoveEndpoint(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.endpoints, id)
}

// Deny makes an action answer that it isn't permitted, until Allow.
func (s *Sim) Deny(action string) { s.setDenied(action, true) }

// Allow lifts Deny.
func (s *Sim) Allow(action string) { s.setDenied(action, false) }

func (s *Sim) setDenied(action string, denied bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.denied[action] = denied
}

func (s *Sim) isDenied(action string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.denied[action]
}

func (s *Sim) instance(id string) (Instance, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := s.instances[id]; i != nil {
		return *i, true
	}
	return Instance{}, false
}

func (s *Sim) endpoint(id string) (EndpointRecord, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.endpoints[id]; e != nil {
		return *e, true
	}
	return EndpointRecord{}, false
}

// allInstances are in the order of their ids, so that pages join.
func (s *Sim) allInstances() []Instance {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Instance
	for _, id := range slices.Sorted(maps.Keys(s.instances)) {
		all = append(all, *s.instances[id])
	}
	return all
}

func (s *Sim) allEndpoints() []EndpointRecord {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []EndpointRecord
	for _, id := range slices.Sorted(maps.Keys(s.endpoints)) {
		all = append(all, *s.endpoints[id])
	}
	return all
}

// instanceAt finds the instance of a VPC that has an address.
func (s *Sim) instanceAt(vpc string, address netip.Addr) (Instance, bool) {
	for _, i := range s.allInstances() {
		if i.VPC == vpc && (isAddress(i.PrivateIP, address) || isAddress(i.IPv6, address)) {
			return i, true
		}
	}
	return Instance{}, false
}

func isAddress(text string, address netip.Addr) bool {
	parsed, err := netip.ParseAddr(text)
	return err == nil && parsed == address
}

func (s *Sim) isEndpointName(name string) bool {
	return slices.ContainsFunc(s.allEndpoints(), func(e EndpointRecord) bool { return slices.Contains(e.names(), name) })
}

func (i Instance) isRunning() bool { return i.State == "running" }

func (e EndpointRecord) names() []string {
	return []string{e.DNSName, e.FIPSDNSName, e.DualstackDNSName}
}

// fits tells whether the endpoint has addresses of the target's family.
func (e EndpointRecord) fits(target netip.Addr) bool {
	switch e.IPAddressType {
	case "dualstack":
		return true
	case "ipv6":
		return target.Is6()
	}
	return target.Is4()
}
