package ssh_test

import (
	"errors"
	"net/netip"
	"testing"

	"sallyport/internal/connector/ssh"
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
