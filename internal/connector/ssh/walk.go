package ssh

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"time"

	"sallyport"
	"sallyport/internal/connector"
)

// Steps names the steps of Walk, and last that of the dial.
func (c *Connector) Steps() []string {
	return []string{sallyport.StepName, sallyport.StepAddress, sallyport.StepPort}
}

// Walk looks target's name up, and holds the addresses to the rules. It dials nobody.
func (c *Connector) Walk(ctx context.Context, target connector.Target) []sallyport.DiagnosisStep {
	host, began := target.Spec.Host, time.Now()
	addrs, err := c.resolve(ctx, host)
	name := sallyport.DiagnosisStep{Name: sallyport.StepName, Status: sallyport.StepOK, DurationMS: time.Since(began).Milliseconds()}
	if err != nil {
		name.Status, name.Detail = sallyport.StepFail, "the name "+host+" can't be found"
		name.Hint = "check connector.host, and the names that the server's own resolver knows"
		return []sallyport.DiagnosisStep{name}
	}
	texts := make([]string, len(addrs))
	for i, a := range addrs {
		texts[i] = a.String()
	}
	if name.Detail = host + " is " + strings.Join(texts, ", "); len(texts) == 1 && texts[0] == host {
		name.Detail = "it is an address"
	}
	address := sallyport.DiagnosisStep{Name: sallyport.StepAddress, Status: sallyport.StepOK, Detail: "it may be dialled"}
	if !c.anyAllowed(addrs) {
		address.Status, address.Detail = sallyport.StepFail, "none of the addresses may be dialled"
		address.Hint = "an operator allows networks with connectors.ssh.allow"
	}
	return []sallyport.DiagnosisStep{name, address}
}

func (c *Connector) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	resolver := c.Resolver
	if resolver == nil {
		resolver = net.DefaultResolver
	}
	addrs, err := resolver.LookupNetIP(ctx, "ip", host)
	for i, addr := range addrs {
		addrs[i] = addr.Unmap()
	}
	return addrs, err
}

func (c *Connector) anyAllowed(addrs []netip.Addr) bool {
	for _, addr := range addrs {
		if c.Rules.Check(addr) == nil {
			return true
		}
	}
	return false
}
