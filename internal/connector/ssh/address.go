package ssh

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// Rules say which addresses may be dialled. Whoever may set a workspace's host could
// otherwise make the server speak to itself, or to the metadata service of the cloud
// that it runs in. They are asked of the address that is dialled, after a name was
// looked up: what it stood for a moment before means nothing.
type Rules struct {
	// Allow is the list of networks that may be dialled, and no others. Empty, all
	// may but loopback, link-local, multicast and metadata addresses.
	Allow []netip.Prefix
	// Loopback allows loopback addresses too, where Allow is empty.
	Loopback bool
}

// metadata are the addresses at which clouds tell a machine its secrets and that are
// not link-local: those of EC2 over IPv6, Alibaba, and Azure's wire server. (The
// common 169.254.169.254 is link-local.)
func metadata() []netip.Addr {
	return []netip.Addr{
		netip.MustParseAddr("fd00:ec2::254"), netip.MustParseAddr("100.100.100.200"), netip.MustParseAddr("168.63.129.16"),
	}
}

// nat64 is the prefix behind which a translator finds an IPv4 address (RFC 6052).
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// ErrForbidden is an address that may not be dialled.
var ErrForbidden = errors.New("the address is not allowed")

// Check returns nil for an address that may be dialled, else ErrForbidden with the
// reason. An IPv4 address in IPv6 form is that IPv4 address.
func (r Rules) Check(addr netip.Addr) error {
	addr = plain(addr)
	if len(r.Allow) > 0 {
		if slices.ContainsFunc(r.Allow, func(p netip.Prefix) bool { return p.Contains(addr) }) {
			return nil
		}
		return fmt.Errorf("%w: %s is in none of the allowed networks", ErrForbidden, addr)
	}
	switch {
	case !addr.IsValid() || addr.IsUnspecified():
		return fmt.Errorf("%w: %s is no machine's", ErrForbidden, addr)
	case addr.IsLoopback() && !r.Loopback:
		return fmt.Errorf("%w: %s is the server itself", ErrForbidden, addr)
	case addr.IsLinkLocalUnicast():
		return fmt.Errorf("%w: %s is link-local", ErrForbidden, addr)
	case addr.IsMulticast() || addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return fmt.Errorf("%w: %s is many machines'", ErrForbidden, addr)
	case slices.Contains(metadata(), addr):
		return fmt.Errorf("%w: %s is a metadata service", ErrForbidden, addr)
	}
	return nil
}

// plain is the address that is reached in the end, without a zone.
func plain(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if addr.Is6() && nat64.Contains(addr) {
		b := addr.As16()
		return netip.AddrFrom4([4]byte(b[12:]))
	}
	return addr
}
