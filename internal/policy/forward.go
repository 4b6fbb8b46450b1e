package policy

import (
	"net"
	"net/netip"
	"strconv"
	"strings"

	"sallyport/client/sallyport"
	"sallyport/internal/limits"
	"sallyport/internal/store"
)

// ForwardAllow is where forwards of a workspace may lead, as the API shows it.
func ForwardAllow(ws store.Workspace) []string {
	if ws.ForwardAllow == nil {
		return sallyport.ForwardAllowDefault()
	}
	return ws.ForwardAllow
}

// CheckForwardAllow checks where forwards of a workspace may lead. It returns
// invalid_forward_allow.
func CheckForwardAllow(allow []string) error {
	if len(allow) > limits.ForwardAllowMax {
		return sallyport.Errorf(sallyport.CodeInvalidForwardAllow, "forward_allow has more than %d elements", limits.ForwardAllowMax)
	}
	for _, element := range allow {
		if _, ok := parseTargets(element); !ok {
			return sallyport.Errorf(sallyport.CodeInvalidForwardAllow,
				"%.100q is not HOST:PORTS: HOST is loopback, a name, an address or a CIDR, PORTS a number, A-B or *, and IPv6 stands in brackets; for example loopback:* or 192.0.2.0/24:5432", element)
		}
	}
	return nil
}

// CheckForwardHost returns invalid_host for what is neither an address nor a name that a
// machine may look up.
func CheckForwardHost(host string) error {
	if len(host) <= sallyport.ForwardHostBytesMax && (isAddress(host) || isHostName(host)) {
		return nil
	}
	return sallyport.Errorf(sallyport.CodeInvalidHost, "host must be an address, IPv6 without brackets, or a name of at most %d letters, digits, and . - _", sallyport.ForwardHostBytesMax)
}

// Forward decides by the workspace's forward_allow whether a forward may lead to a host and a
// port. The host is judged as it is asked for: the machine looks it up, and nobody here. It
// returns forward_forbidden.
func Forward(ws store.Workspace, host string, port uint16) error {
	for _, element := range ForwardAllow(ws) {
		if t, ok := parseTargets(element); ok && t.has(host, port) {
			return nil
		}
	}
	return sallyport.Errorf(sallyport.CodeForwardForbidden, "the forward_allow of workspace %s doesn't have %s", ws.Name, net.JoinHostPort(host, strconv.Itoa(int(port))))
}

// targets is one element of a forward_allow: some hosts, and a range of their ports. One of
// loopback, name and prefix is set.
type targets struct {
	loopback    bool
	name        string
	prefix      netip.Prefix
	first, last uint16
}

// has tells whether a forward to host and port may be by this element.
func (t targets) has(host string, port uint16) bool {
	if port < t.first || port > t.last {
		return false
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return t.name != "" && strings.EqualFold(host, t.name) || t.loopback && strings.EqualFold(host, "localhost")
	}
	if addr = addr.Unmap(); addr.Zone() != "" {
		return false // it says nothing of where it leads
	}
	return t.prefix.IsValid() && t.prefix.Contains(addr) || t.loopback && addr.IsLoopback()
}

// parseTargets reads HOST:PORTS.
func parseTargets(element string) (t targets, ok bool) {
	colon := strings.LastIndexByte(element, ':')
	if colon < 0 || len(element) > limits.ForwardAllowBytesMax {
		return t, false
	}
	if t.first, t.last, ok = parsePorts(element[colon+1:]); !ok {
		return t, false
	}
	host := element[:colon]
	inner, bracketed := strings.CutPrefix(host, "[")
	if bracketed {
		if host, ok = strings.CutSuffix(inner, "]"); !ok {
			return t, false
		}
	}
	if strings.Contains(host, ":") != bracketed { // brackets are for IPv6, and IPv6 has some
		return t, false
	}
	t.prefix, ok = parsePrefix(host)
	switch {
	case ok || bracketed:
	case host == "loopback":
		t.loopback, ok = true, true
	case len(host) <= sallyport.ForwardHostBytesMax && isHostName(host):
		t.name, ok = host, true
	}
	return t, ok
}

// parsePrefix reads an address or a CIDR. It takes no zone, and no IPv4 in the clothes of IPv6,
// which would match nothing.
func parsePrefix(s string) (prefix netip.Prefix, ok bool) {
	if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" {
		prefix = netip.PrefixFrom(addr, addr.BitLen())
	} else if prefix, err = netip.ParsePrefix(s); err != nil {
		return prefix, false
	}
	return prefix, prefix.IsValid() && !prefix.Addr().Is4In6()
}

// parsePorts reads a number, A-B or *.
func parsePorts(s string) (first, last uint16, ok bool) {
	if s == "*" {
		return 1, 65535, true
	}
	from, to, isRange := strings.Cut(s, "-")
	if !isRange {
		to = from
	}
	first, okFirst := ParsePort(from)
	last, okLast := ParsePort(to)
	return first, last, okFirst && okLast && first <= last
}

// ParsePort reads a port in decimal digits, 1 to 65535.
func ParsePort(s string) (port uint16, ok bool) {
	n, err := strconv.ParseUint(s, 10, 16) // which takes digits alone
	return uint16(n), err == nil && n > 0 && len(s) <= len("65535")
}

func isAddress(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil
}

// isHostName tells whether s is a name that a resolver may be asked for: no option of a
// program, no path, nothing that a log would have to escape.
func isHostName(s string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
	return s != "" && s[0] != '-' && s[0] != '.' && strings.Trim(s, letters) == ""
}
