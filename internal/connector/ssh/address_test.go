package ssh_test

import (
	"errors"
	"net/netip"
	"testing"

	"sallyport/internal/connector/ssh"
	_ "sallyport/test/apart"
)

func TestRules(t *testing.T) {
	allow := func(prefixes ...string) (rules ssh.Rules) {
		for _, p := range prefixes {
			rules.Allow = append(rules.Allow, netip.MustParsePrefix(p))
		}
		return rules
	}
	tests := []struct {
		name  string
		rules ssh.Rules
		yes   []string
		no    []string
	}{
		{"default", ssh.Rules{},
			[]string{"10.0.0.5", "192.168.1.1", "203.0.113.9", "2001:db8::1", "fd12:3456::1", "::ffff:10.0.0.5", "64:ff9b::a00:5"},
			[]string{
				"127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "0.0.0.0", "::", "::ffff:0.0.0.0", "169.254.169.254",
				"169.254.0.1", "::ffff:169.254.169.254", "fe80::1", "fe80::1%eth0", "fd00:ec2::254", "100.100.100.200",
				"168.63.129.16", "224.0.0.1", "ff02::1", "255.255.255.255", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
			}},
		{"metadata of clouds", ssh.Rules{},
			[]string{"fd00:ec3::254", "fd20:cf::254", "fd00:43::42", "192.0.0.191", "1.0.0.1"},
			[]string{
				"fd00:ec2::23", "fd00:ec2:1:2:3:4:5:6", "fd20:ce::254", "fd00:42::42", "fd00:c1::a9fe:a9fe", "fd00:a9fe:a9fe::1",
				"192.0.0.192", "0.0.0.1", "0.255.255.255", "::ffff:0.1.2.3",
			}},
		{"IPv4 carried by IPv6", ssh.Rules{},
			[]string{
				"2002:a00:5::1", "64:ff9b:1::a00:5", "64:ff9b:1:a00:0:500::", "64:ff9b:1:1:2:3:a00:5", "::10.0.0.5", "::ffff:0:10.0.0.5",
				"2001:0:cb00:7101::34ff:8ef6", "2001:db8::5efe:10.0.0.5", "2001:db8::200:5efe:10.0.0.5", "2001:db8::1:5efe:127.0.0.1",
			},
			[]string{
				"2002:a9fe:a9fe::", "2002:7f00:1::1", "2002:1::", "::169.254.169.254", "::127.0.0.1", "::ffff:0:169.254.169.254",
				"::ffff:0:0.0.0.1", "64:ff9b::0.0.0.1", "64:ff9b::192.0.0.192",
				"64:ff9b:1::a9fe:a9fe", "64:ff9b:1:a9fe:a9:fe00::", "64:ff9b:1:a9fe:a9:fe00:0:1", "64:ff9b:1:a9:fe:a9fe::",
				"64:ff9b:1:1:a9:fea9:fe00:0", "64:ff9b:1:0:7f:0:100::",
				"2001:0:a9fe:a9fe::34ff:8ef6", "2001:0:cb00:7101::80ff:fffe", "2001:0:cb00:7101::5601:5601",
				"2001:db8::5efe:169.254.169.254", "2001:db8::200:5efe:127.0.0.1",
			}},
		{"a list of IPv6 networks", allow("2002::/16", "64:ff9b:1::/48", "2001:db8::/32"),
			[]string{"2002:a00:5::1", "64:ff9b:1::a00:5", "2001:db8::5efe:10.0.0.5"},
			[]string{"2002:a9fe:a9fe::1", "64:ff9b:1::7f00:1", "2001:db8::5efe:127.0.0.1", "10.0.0.5", "64:ff9b::a00:5"}},
		{"a list of both", allow("2002::/16", "127.0.0.0/8"), []string{"2002:7f00:1::1"}, []string{"2002:a9fe:a9fe::1"}},
		{"dev", ssh.Rules{Loopback: true},
			[]string{"127.0.0.1", "::1", "::ffff:127.0.0.1", "10.0.0.5"},
			[]string{"169.254.169.254", "fe80::1", "0.0.0.0", "fd00:ec2::254"}},
		{"list", allow("10.1.0.0/16", "2001:db8::/32"),
			[]string{"10.1.2.3", "::ffff:10.1.2.3", "2001:db8::5", "2001:db8::5%eth0", "64:ff9b::a01:203"},
			[]string{"10.2.0.1", "127.0.0.1", "169.254.169.254", "2001:db9::1", "0.0.0.0"}},
		{"loopback in the list", allow("127.0.0.0/8"), []string{"127.0.0.1"}, []string{"10.0.0.5", "::1"}},
	}
	for _, tt := range tests {
		for _, addr := range tt.yes {
			if err := tt.rules.Check(netip.MustParseAddr(addr)); err != nil {
				t.Errorf("%s: %s: %v", tt.name, addr, err)
			}
		}
		for _, addr := range tt.no {
			if err := tt.rules.Check(netip.MustParseAddr(addr)); !errors.Is(err, ssh.ErrForbidden) {
				t.Errorf("%s: %s: %v", tt.name, addr, err)
			}
		}
	}
	if err := (ssh.Rules{}).Check(netip.Addr{}); !errors.Is(err, ssh.ErrForbidden) {
		t.Errorf("no address: %v", err)
	}
}
