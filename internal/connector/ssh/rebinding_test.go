//go:build linux

package ssh_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"sallyport/client/sallyport"
	"sallyport/internal/connector/ssh"
)

// names is a DNS server of one name, that may change its mind with each question.
type names struct {
	conn  net.PacketConn
	wg    sync.WaitGroup
	asked atomic.Int64

	mu      sync.Mutex // guards answers
	answers [][]netip.Addr
}

// startNames starts a server that answers the next question with the next of answers,
// and with the last of them from then on.
func startNames(t *testing.T, answers ...[]netip.Addr) *names {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &names{conn: conn, answers: answers}
	n.wg.Go(n.serve)
	t.Cleanup(func() {
		conn.Close()
		n.wg.Wait()
	})
	return n
}

// resolver asks nobody else.
func (n *names) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", n.conn.LocalAddr().String())
	}}
}

func (n *names) serve() {
	question := make([]byte, 1500)
	for {
		size, from, err := n.conn.ReadFrom(question)
		if err != nil {
			return
		}
		if answer, err := n.answer(question[:size]); err == nil {
			_, _ = n.conn.WriteTo(answer, from)
		}
	}
}

// answer speaks of IPv4 addresses alone: one question for them is asked for each dial.
func (n *names) answer(question []byte) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(question); err != nil || len(m.Questions) != 1 {
		return nil, fmt.Errorf("no question: %w", err)
	}
	q := m.Questions[0]
	m.Response, m.Authoritative, m.RecursionAvailable, m.Additionals = true, true, true, nil
	if q.Type == dnsmessage.TypeA {
		n.asked.Add(1)
		n.mu.Lock()
		now := n.answers[0]
		if len(n.answers) > 1 {
			n.answers = n.answers[1:]
		}
		n.mu.Unlock()
		if now == nil {
			m.RCode = dnsmessage.RCodeNameError
		}
		for _, addr := range now {
			m.Answers = append(m.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
				Body:   &dnsmessage.AResource{A: addr.As4()},
			})
		}
	}
	return m.Pack()
}

// door is a listener that knows who came.
func door(t *testing.T, addr string) (port string, came *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	came = &atomic.Int64{}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			came.Add(1)
			conn.Close()
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	_, port, err = net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port, came
}

// A name that stands for an address which may be dialled, and for another one a moment
// later, leads nowhere else: whatever it stood for when it was asked about, or dialled
// before, what counts is the address of each connection.
func TestRebinding(t *testing.T) {
	yes, no := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2")
	only := func(addrs ...netip.Addr) []netip.Addr { return addrs }
	for _, tt := range []struct {
		name    string
		answers [][]netip.Addr
		resolve bool     // it is asked about first
		dials   []string // the reason of each dial that follows; "" for one that succeeds
	}{
		{"between two dials", [][]netip.Addr{only(yes), only(no)}, false, []string{"", sallyport.ReasonAddressForbidden, sallyport.ReasonAddressForbidden}},
		{"between question and dial", [][]netip.Addr{only(yes), only(no)}, true, []string{sallyport.ReasonAddressForbidden}},
		{"there and back", [][]netip.Addr{only(no), only(yes), only(no)}, false, []string{sallyport.ReasonAddressForbidden, "", sallyport.ReasonAddressForbidden}},
		{"both at once", [][]netip.Addr{only(no, yes)}, true, []string{"", ""}},
		{"both at once, the other way round", [][]netip.Addr{only(yes, no)}, true, []string{"", ""}},
		{"gone", [][]netip.Addr{only(yes), nil}, false, []string{"", sallyport.ReasonNameNotFound}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			port, cameHere := door(t, "127.0.0.1:0")
			_, cameThere := door(t, net.JoinHostPort(no.String(), port))
			server := startNames(t, tt.answers...)
			c := &ssh.Connector{Rules: ssh.Rules{Allow: []netip.Prefix{netip.PrefixFrom(yes, 32)}}, Resolver: server.resolver()}
			to := target(t, net.JoinHostPort("rebinding.test", port), "u")
			if tt.resolve {
				for _, step := range c.Walk(t.Context(), to) {
					if step.Status != sallyport.StepOK {
						t.Fatalf("doctor: %+v", step)
					}
				}
			}
			well := int64(0)
			for _, reason := range tt.dials {
				asked := server.asked.Load()
				link, err := c.Dial(t.Context(), to)
				if (err == nil) != (reason == "") {
					t.Errorf("dial: %v, want %q", err, reason)
				}
				wantReason(t, err, reason)
				if err == nil {
					well++
					link.Conn.Close()
				}
				if server.asked.Load() == asked {
					t.Error("the name was not looked up anew")
				}
			}
			until(t, func() bool { return cameHere.Load() == well })
			if n := cameThere.Load(); n != 0 {
				t.Errorf("%d connections to the forbidden address", n)
			}
		})
	}
}

// A walk shows the addresses that may be dialled, and no others: what the server's own
// resolver knows of other networks is not for the caller.
func TestWalkShowsWhatMayBeDialled(t *testing.T) {
	t.Parallel()
	yes, no := netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("10.9.8.7")
	for _, tt := range []struct {
		answers []netip.Addr
		detail  string
		may     bool
	}{
		{[]netip.Addr{yes}, "build.example is 192.0.2.7", true},
		{[]netip.Addr{no}, "the name build.example is known", false},
		{[]netip.Addr{no, yes}, "build.example is 192.0.2.7, and addresses that may not be dialled", true},
	} {
		server := startNames(t, tt.answers)
		c := &ssh.Connector{Rules: ssh.Rules{Allow: []netip.Prefix{netip.PrefixFrom(yes, 32)}}, Resolver: server.resolver()}
		steps := c.Walk(t.Context(), target(t, "build.example:22", "u"))
		if len(steps) != 2 || steps[0].Detail != tt.detail || (steps[1].Status == sallyport.StepOK) != tt.may || strings.Contains(fmt.Sprint(steps), "10.9") {
			t.Errorf("%v: %+v", tt.answers, steps)
		}
	}
}

func until(t *testing.T, ok func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for !ok() {
		select {
		case <-deadline:
			t.Fatal("it has not come")
		case <-time.After(5 * time.Millisecond):
		}
	}
}
