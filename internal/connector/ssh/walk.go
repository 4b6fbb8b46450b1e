package ssh

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"sallyport/client/sallyport"
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
	allowed := slices.DeleteFunc(slices.Clone(addrs), func(a netip.Addr) bool { return c.Rules.Check(a) != nil })
	name.Detail = describe(host, addrs, allowed)
	address := sallyport.DiagnosisStep{Name: sallyport.StepAddress, Status: sallyport.StepOK, Detail: "it may be dialled"}
	if len(allowed) == 0 {
		address.Status, address.Detail = sallyport.StepFail, "none of the addresses may be dialled"
		address.Hint = "an operator allows networks with connectors.ssh.allow"
	}
	return []sallyport.DiagnosisStep{name, address}
}

// describe says what a name stands for: its addresses, as far as they may be dialled. What
// the server's own resolver knows of other networks is not for the caller.
func describe(host string, addrs, allowed []netip.Addr) string {
	if _, err := netip.ParseAddr(host); err == nil {
		return "it is an address"
	}
	texts := make([]string, len(allowed))
	for i, a := range allowed {
		texts[i] = a.String()
	}
	switch {
	case len(allowed) == 0:
		return "the name " + host + " is known"
	case len(allowed) < len(addrs):
		texts = append(texts, "and addresses that may not be dialled")
	}
	return host + " is " + strings.Join(texts, ", ")
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
