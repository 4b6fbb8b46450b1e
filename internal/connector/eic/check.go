package eic

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"

	"sallyport/client/sallyport"
	"sallyport/internal/connector"
)

// Patterns of a connector's fields, as AWS's API has them.
const (
	instancePattern = `^i-[a-f0-9]{8,30}$`
	endpointPattern = `^eice-[a-f0-9]{8,32}$`
	userPattern     = `^[A-Za-z_][A-Za-z0-9@._-]{0,31}$`
)

// Check returns what is wrong with a connector of this type, for the person who set it,
// and the connector as it is to be stored: the first host key that is seen is trusted,
// unless one is given.
func (c *Connector) Check(spec sallyport.Connector, _ bool) (sallyport.Connector, error) {
	for _, f := range []struct{ name, value, pattern, want string }{
		{"instance_id", spec.InstanceID, instancePattern, "the instance's id, such as i-0123456789abcdef0"},
		{"region", spec.Region, "^$|" + sallyport.AWSRegionPattern, "a region, such as us-east-2"},
		{"endpoint_id", spec.EndpointID, "^$|" + endpointPattern, "an endpoint's id, such as eice-0123456789abcdef0"},
		{"user", spec.User, "^$|" + userPattern, "the login name on the machine, such as ubuntu, of at most 32 characters"},
	} {
		if !regexp.MustCompile(f.pattern).MatchString(f.value) {
			return spec, fmt.Errorf("connector.%s must be %s", f.name, f.want)
		}
	}
	if addr, err := netip.ParseAddr(spec.PrivateIP); spec.PrivateIP != "" && (err != nil || addr.Zone() != "") {
		return spec, errors.New("connector.private_ip must be the instance's private address, such as 10.0.2.44")
	}
	if spec.User == "" {
		spec.User = sallyport.DefaultEICUser
	}
	spec.TrustOnFirstUse = spec.HostKey == "" || spec.TrustOnFirstUse
	if spec.HostKey == "" {
		return spec, nil
	}
	key, err := connector.ParseHostKey(spec.HostKey)
	if err != nil {
		return spec, fmt.Errorf("connector.host_key: %w", err)
	}
	spec.HostKey = connector.HostKeyLine(key)
	return spec, nil
}
