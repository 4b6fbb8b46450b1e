package policy_test

import (
	"net/netip"
	"strings"
	"testing"

	"sallyport/client/sallyport"
	"sallyport/internal/policy"
	"sallyport/internal/store"
)

func TestForward(t *testing.T) {
	for _, tt := range []struct {
		allow   string // separated by blanks
		host    string
		port    uint16
		allowed bool
	}{
		{"default", "127.0.0.1", 5432, true},
		{"default", "127.255.0.9", 1, true},
		{"default", "localhost", 65535, true},
		{"default", "LocalHost", 80, true},
		{"default", "::1", 80, true},
		{"default", "0:0:0:0:0:0:0:1", 80, true},
		{"default", "::ffff:127.0.0.1", 80, true},
		{"default", "::ffff:10.0.0.1", 80, false},
		{"default", "::1%lo", 80, false},
		{"default", "0.0.0.0", 80, false},
		{"default", "::", 80, false},
		{"default", "128.0.0.1", 80, false},
		{"default", "loopback", 80, false}, // a name like any other
		{"default", "localhost.", 80, false},
		{"default", "localhost.example", 80, false},
		{"default", "127.1", 80, false}, // a name, whatever a resolver makes of it
		{"default", "2130706433", 80, false},
		{"default", "0x7f000001", 80, false},
		{"default", "169.254.169.254", 80, false},
		{"", "127.0.0.1", 80, false},
		{"loopback:80", "127.0.0.1", 80, true},
		{"loopback:80", "127.0.0.1", 81, false},
		{"loopback:80 loopback:443-445", "127.0.0.1", 444, true},
		{"loopback:80 loopback:443-445", "127.0.0.1", 446, false},
		{"db.internal:5432", "db.internal", 5432, true},
		{"db.internal:5432", "DB.internal", 5432, true},
		{"db.internal:5432", "db.internal.", 5432, false},
		{"db.internal:5432", "x.db.internal", 5432, false},
		{"db.internal:5432", "192.0.2.1", 5432, false},
		{"192.0.2.1:*", "192.0.2.1", 9, true},
		{"192.0.2.1:*", "::ffff:192.0.2.1", 9, true},
		{"192.0.2.1:*", "192.0.2.2", 9, false},
		{"192.0.2.0/24:22", "192.0.2.200", 22, true},
		{"192.0.2.7/24:22", "192.0.2.200", 22, true},
		{"192.0.2.0/24:22", "192.0.3.1", 22, false},
		{"0.0.0.0/0:*", "203.0.113.1", 22, true},
		{"0.0.0.0/0:*", "2001:db8::1", 22, false},
		{"0.0.0.0/0:*", "db.internal", 22, false},
		{"[2001:db8::1]:443", "2001:db8::1", 443, true},
		{"[2001:db8::1]:443", "2001:0db8:0::0:1", 443, true},
		{"[2001:db8::/32]:443", "2001:db8:1::9", 443, true},
		{"[2001:db8::/32]:443", "2001:db9::9", 443, false},
		{"[fe80::/10]:443", "fe80::1%eth0", 443, false},
		{"[::1]:80", "127.0.0.1", 80, false},
	} {
		ws := store.Workspace{Name: "build"}
		if tt.allow != "default" {
			ws.ForwardAllow = append([]string{}, strings.Fields(tt.allow)...)
			if err := policy.CheckForwardAllow(ws.ForwardAllow); err != nil {
				t.Errorf("%q: %v", tt.allow, err)
			}
		}
		err := policy.Forward(ws, tt.host, tt.port)
		if (err == nil) != tt.allowed || err != nil && sallyport.CodeOf(err) != sallyport.CodeForwardForbidden {
			t.Errorf("%q, %s %d: %v", tt.allow, tt.host, tt.port, err)
		}
	}
}

func TestCheckForwardAllow(t *testing.T) {
	for _, element := range []string{
		"", ":", "loopback", "loopback:", ":80", "loopback:0", "loopback:65536", "loopback:080000", "loopback:+1", "loopback:-1", "loopback:1-",
		"loopback:2-1", "loopback:1-2-3", "loopback:**", "loopback:* ", " loopback:*", "*:80", "*.internal:80", "[loopback]:80", "[db]:80",
		"[192.0.2.1]:80", "::1:80", "2001:db8::/32:80", "[2001:db8::1:80", "[::1%lo]:80", "[::ffff:192.0.2.1]:80", "[::ffff:192.0.2.0/120]:80",
		"192.0.2.0/33:80", "192.0.2.0/:80", "-db:80", "a/b:80", "a b:80", "a\x00:80", "é:80", "a:80\n", strings.Repeat("a", 256) + ":80",
	} {
		if err := policy.CheckForwardAllow([]string{"loopback:*", element}); sallyport.CodeOf(err) != sallyport.CodeInvalidForwardAllow {
			t.Errorf("%q: %v", element, err)
		}
	}
	if err := policy.CheckForwardAllow(make([]string, 65)); sallyport.CodeOf(err) != sallyport.CodeInvalidForwardAllow {
		t.Errorf("65 elements: %v", err)
	}
}

func TestCheckForwardHost(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1", "fe80::1%eth0", "a", "db.internal", "_sip._tcp.x.", "a-b", "127.1", strings.Repeat("a", 255)} {
		if err := policy.CheckForwardHost(host); err != nil {
			t.Errorf("%q: %v", host, err)
		}
	}
	for _, host := range []string{"", "[::1]", "a:80", "-a", ".a", "a b", "a\n", "a\x00", "a/b", "é", "a@b", "127.0.0.0/8", strings.Repeat("a", 256)} {
		if err := policy.CheckForwardHost(host); sallyport.CodeOf(err) != sallyport.CodeInvalidHost {
			t.Errorf("%q: %v", host, err)
		}
	}
}

// FuzzForward: whatever the list and the host, nothing is allowed that an element doesn't name:
// by its own words for a name, by its bits for an address.
func FuzzForward(f *testing.F) {
	f.Add("loopback:*", "127.0.0.1", uint16(80))
	f.Add("[2001:db8::/32]:1-9", "2001:db8::1", uint16(5))
	f.Add("db:5432", "DB", uint16(5432))
	f.Fuzz(func(t *testing.T, element, host string, port uint16) {
		valid := policy.CheckForwardAllow([]string{element}) == nil
		allowed := policy.Forward(store.Workspace{ForwardAllow: []string{element}}, host, port) == nil
		if !allowed {
			return
		}
		addr, err := netip.ParseAddr(host)
		hostPart := element[:strings.LastIndexByte(element, ':')]
		switch {
		case !valid || port == 0:
			t.Errorf("%q allows %q %d", element, host, port)
		case hostPart == "loopback":
			if !strings.EqualFold(host, "localhost") && (err != nil || !addr.Unmap().IsLoopback()) {
				t.Errorf("%q allows %q", element, host)
			}
		case err != nil && !strings.EqualFold(hostPart, host):
			t.Errorf("%q allows the name %q", element, host)
		}
	})
}
