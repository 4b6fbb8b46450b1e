package ssh

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// Rules say which addresses may be dialled. A token that may set a workspace's host could
// otherwise make the server connect to itself, or to the metadata service of its cloud.
// The rules are applied to the address that is dialled, after a name was looked up: the
// answer of an earlier look-up means nothing.
type Rules struct {
	// Allow is the list of networks that may be dialled, and no others. Empty, all
	// may but loopback, link-local, multicast and metadata addresses.
	Allow []netip.Prefix
	// Loopback allows loopback addresses too, where Allow is empty.
	Loopback bool
}

// metadata are the networks in which clouds give a machine its secrets, other than
// 169.254.0.0/16 and fe80::/10, which are link-local.
var metadata = prefixes(
	"fd00:ec2::/32",       // EC2: instance metadata, and EKS's credentials for pods
	"fd20:ce::/64",        // Google
	"fd00:42::/64",        // Scaleway
	"fd00:c1::/64",        // Oracle
	"fd00:a9fe:a9fe::/48", // Akamai
	"192.0.0.192/32",      // Oracle, before 169.254.169.254
	"100.100.100.200/32",  // Alibaba
	"168.63.129.16/32",    // Azure's wire server
)

// thisNetwork is the server itself to some systems, as a whole.
var thisNetwork = netip.MustParsePrefix("0.0.0.0/8")

func prefixes(texts ...string) []netip.Prefix {
	list := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		list[i] = netip.MustParsePrefix(text)
	}
	return list
}

// ErrForbidden is an address that may not be dialled.
var ErrForbidden = errors.New("the address is not allowed")

// Check returns nil for an address that may be dialled, else ErrForbidden with the
// reason. An IPv6 address that carries an IPv4 address, for a translator or a tunnel on
// the way, is judged by that one too.
func (r Rules) Check(addr netip.Addr) error {
	addr = plain(addr)
	carried := carriedIPv4(addr)
	if len(r.Allow) == 0 {
		for _, a := range append(carried, addr) {
			if err := r.forbidden(a); err != nil {
				return err
			}
		}
		return nil
	}
	if !r.allows(addr) {
		return fmt.Errorf("%w: %s is in none of the allowed networks", ErrForbidden, addr)
	}
	// A list that names an IPv6 network doesn't mean the loopback address behind it.
	for _, a := range carried {
		if err := r.forbidden(a); err != nil && !r.allows(a) {
			return err
		}
	}
	return nil
}

func (r Rules) allows(addr netip.Addr) bool {
	return slices.ContainsFunc(r.Allow, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// forbidden says why an address may not be dialled where no list says what may.
func (r Rules) forbidden(addr netip.Addr) error {
	switch {
	case !addr.IsValid() || addr.IsUnspecified() || thisNetwork.Contains(addr):
		return fmt.Errorf("%w: %s is no machine's", ErrForbidden, addr)
	case addr.IsLoopback() && !r.Loopback:
		return fmt.Errorf("%w: %s is the server itself", ErrForbidden, addr)
	case addr.IsLinkLocalUnicast():
		return fmt.Errorf("%w: %s is link-local", ErrForbidden, addr)
	case addr.IsMulticast() || addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return fmt.Errorf("%w: %s is many machines'", ErrForbidden, addr)
	case slices.ContainsFunc(metadata, func(p netip.Prefix) bool { return p.Contains(addr) }):
		return fmt.Errorf("%w: %s is a metadata service", ErrForbidden, addr)
	}
	return nil
}

// plain is an address without a zone; one that is another form of an IPv4 address, as
// mapped or for NAT64's well-known prefix (RFC 6052), is that address.
func plain(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if nat64.Contains(addr) {
		b := addr.As16()
		return netip.AddrFrom4([4]byte(b[12:]))
	}
	return addr
}

var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// carrier is a network of IPv6 addresses that carry an IPv4 address. Where a
// translator's prefix may have several lengths, so may the place of that address.
type carrier struct {
	network netip.Prefix
	places  [][4]int // of the bytes of the IPv4 address
	flipped bool     // every bit is turned over
}

// carriers are the known ones. What a network translates by a prefix of its own, only
// its operator can know: connectors.ssh.allow is for that.
var carriers = []carrier{
	{network: netip.MustParsePrefix("2002::/16"), places: [][4]int{{2, 3, 4, 5}}},                    // 6to4 (RFC 3056)
	{network: netip.MustParsePrefix("::/96"), places: [][4]int{{12, 13, 14, 15}}},                    // IPv4-compatible (RFC 4291)
	{network: netip.MustParsePrefix("::ffff:0:0:0/96"), places: [][4]int{{12, 13, 14, 15}}},          // SIIT (RFC 2765)
	{network: netip.MustParsePrefix("2001::/32"), places: [][4]int{{4, 5, 6, 7}}},                    // Teredo's server (RFC 4380)
	{network: netip.MustParsePrefix("2001::/32"), places: [][4]int{{12, 13, 14, 15}}, flipped: true}, // Teredo's client
	// NAT64 for local use (RFC 8215): the prefix may have 48, 56, 64 or 96 bits.
	{network: netip.MustParsePrefix("64:ff9b:1::/48"), places: [][4]int{{6, 7, 9, 10}, {7, 9, 10, 11}, {9, 10, 11, 12}, {12, 13, 14, 15}}},
}

// carriedIPv4 are the IPv4 addresses that an IPv6 address may stand for on its way.
func carriedIPv4(addr netip.Addr) []netip.Addr {
	if !addr.Is6() || addr.IsLoopback() || addr.IsUnspecified() {
		return nil
	}
	b := addr.As16()
	var found []netip.Addr
	for _, c := range carriers {
		if c.network.Contains(addr) {
			found = append(found, c.read(b)...)
		}
	}
	// ISATAP (RFC 5214) takes any prefix: the host's half tells.
	if (b[8] == 0 || b[8] == 2) && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe {
		found = append(found, netip.AddrFrom4([4]byte(b[12:])))
	}
	return found
}

func (c carrier) read(b [16]byte) []netip.Addr {
	var found []netip.Addr
	for _, place := range c.places {
		v4 := [4]byte{b[place[0]], b[place[1]], b[place[2]], b[place[3]]}
		if c.flipped {
			for i := range v4 {
				v4[i] = ^v4[i]
			}
		}
		// Of several places all but one hold other bits, most often zeros.
		if a := netip.AddrFrom4(v4); len(c.places) == 1 || !thisNetwork.Contains(a) {
			found = append(found, a)
		}
	}
	return found
}
