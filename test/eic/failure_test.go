//go:build linux

package eic

import (
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"sallyport/client"
	"sallyport/client/sallyport"
	"sallyport/test/eicsim"
	"sallyport/test/sshd"
)

// apiError is a fault of one action.
func apiError(action, code string, status int) eicsim.Faults {
	return eicsim.Faults{Error: map[string]eicsim.APIError{action: {Status: status, Code: code, Message: "canary arn:aws:iam::1:user/x"}}}
}

// Every row of the table of failures: its code and reason, whether AWS's own words stay
// ours, one row in the log, in bounded time, and nothing left open.
func TestFailures(t *testing.T) {
	w := newWorld(t, eicsim.Options{}, map[string]string{"SALLYPORT_LIMITS_CONNECT_TIMEOUT": "2500ms"})
	silent := listen(t)
	for _, tt := range []struct {
		name   string
		fault  func(m *machine)
		code   sallyport.Code
		reason string
		says   string // a piece of the sentence
	}{
		{"credentials expired for good", fault(apiError(eicsim.DescribeInstances, "ExpiredToken", 400)), "connect_failed", "credentials", "credentials"},
		{"credentials unknown", fault(apiError(eicsim.SendSSHPublicKey, "UnrecognizedClientException", 400)), "connect_failed", "credentials", ""},
		{"clock", fault(apiError(eicsim.DescribeInstances, "RequestExpired", 400)), "connect_failed", "configuration", "clock"},
		{"signature", fault(apiError(eicsim.SendSSHPublicKey, "InvalidSignatureException", 403)), "connect_failed", "configuration", ""},
		{"throttled for good", fault(apiError(eicsim.SendSSHPublicKey, "ThrottlingException", 400)), "connect_timeout", "throttled", ""},
		{"AWS is down", fault(apiError(eicsim.DescribeInstances, "InternalError", 500)), "connect_timeout", "unreachable", ""},
		{"AWS never answers", fault(eicsim.Faults{StallAPI: map[string]bool{eicsim.SendSSHPublicKey: true}}), "connect_timeout", "unreachable", ""},
		{"the upgrade is never answered", fault(eicsim.Faults{StallAPI: map[string]bool{eicsim.OpenTunnel: true}}), "connect_timeout", "unreachable", ""},
		{"no permission to describe", func(m *machine) { m.sim.Deny(eicsim.DescribeInstances) }, "connect_failed", "permission", "ec2:DescribeInstances"},
		{"no permission for endpoints", func(m *machine) { m.sim.Deny(eicsim.DescribeEndpoints) }, "connect_failed", "permission", "ec2:DescribeInstanceConnectEndpoints"},
		{"no permission to push", func(m *machine) { m.sim.Deny(eicsim.SendSSHPublicKey) }, "connect_failed", "permission", "ec2-instance-connect:SendSSHPublicKey"},
		{"no permission to tunnel", func(m *machine) { m.sim.Deny(eicsim.OpenTunnel) }, "connect_failed", "permission", "ec2-instance-connect:OpenTunnel"},
		{"push refused", fault(apiError(eicsim.SendSSHPublicKey, "AuthException", 403)), "connect_failed", "permission", "SendSSHPublicKey"},
		{"arguments refused", fault(apiError(eicsim.SendSSHPublicKey, "InvalidArgsException", 400)), "connect_failed", "configuration", ""},
		{"no such instance", func(m *machine) { m.sim.RemoveInstance(m.id) }, "connect_failed", "not_found", ""},
		{"pending", state("pending"), "connect_failed", "not_running", "starting"},
		{"stopping", state("stopping"), "connect_failed", "not_running", "not running"},
		{"stopped", state("stopped"), "connect_failed", "not_running", "not running"},
		{"terminated", state("terminated"), "connect_failed", "not_found", ""},
		{"no address", func(m *machine) { m.sim.UpdateInstance(m.id, func(i *eicsim.Instance) { i.PrivateIP = "" }) }, "connect_failed", "not_running", ""},
		{"no endpoint", func(m *machine) { m.sim.RemoveEndpoint(endpointID) }, "connect_failed", "no_endpoint", ""},
		{"endpoint not usable", func(m *machine) {
			m.sim.UpdateEndpoint(endpointID, func(e *eicsim.EndpointRecord) { e.State = "delete-in-progress" })
		}, "connect_failed", "no_endpoint", ""},
		{"target not reached", fault(eicsim.Faults{CannotConnect: -1}), "connect_failed", "unreachable", "security groups"},
		{"nothing listens", func(m *machine) { m.sim.UpdateInstance(m.id, func(i *eicsim.Instance) { i.Addr = "" }) }, "connect_failed", "unreachable", ""},
		{"no banner", func(m *machine) { m.sim.UpdateInstance(m.id, func(i *eicsim.Instance) { i.Addr = silent }) }, "connect_timeout", "unreachable", ""},
		{"silent tunnel", fault(eicsim.Faults{Stall: true}), "connect_timeout", "unreachable", ""},
		{"cut in the handshake", fault(eicsim.Faults{DropAfter: 100}), "connect_failed", "unreachable", ""},
		{"text message", fault(eicsim.Faults{TextMessage: true}), "connect_failed", "unreachable", ""},
		{"another user", func(m *machine) { m.patch(t, `{"connector":{"user":"nobody-here"}}`) }, "connect_failed", "key_refused", "ec2-instance-connect"},
		{"endpoint full", fault(apiError(eicsim.OpenTunnel, "TunnelLimitExceeded", 429)), "too_many_execs", "capacity", "tunnel"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := &world{Stack: w.Stack, sim: w.sim, client: w.client, count: w.count}
			m := w.newMachine(t, sshd.Options{})
			defer func() {
				w.sim.Faults(eicsim.Faults{})
				for _, action := range []string{eicsim.DescribeInstances, eicsim.DescribeEndpoints, eicsim.SendSSHPublicKey, eicsim.OpenTunnel} {
					w.sim.Allow(action)
				}
				w.sim.RemoveEndpoint(endpointID)
			}()
			// An endpoint of its own: what is remembered of another is not asked again.
			w.sim.RemoveEndpoint(endpointID)
			m.moveVPC(strings.ReplaceAll(tt.name, " ", "-"))
			tt.fault(m)
			_, _, err := m.exec(t.Context(), client.Exec{Cmd: []string{"true"}})
			var known *sallyport.Error
			if known = asKnown(err); known == nil || known.Code != tt.code || known.Reason != tt.reason || !strings.Contains(known.Message, tt.says) {
				t.Fatalf("got %s, want %s (%s) with %q; the simulator refused %q", quote(err), tt.code, tt.reason, tt.says, m.sim.Rejections())
			}
			if tt.code != "too_many_execs" && (known.Started == nil || *known.Started) {
				t.Errorf("started: %v", known.Started)
			}
			rows := m.rows(t)
			if len(rows) != 1 || rows[0].Status != "error" || rows[0].Code != tt.code || rows[0].Reason != tt.reason {
				t.Errorf("rows %+v", rows)
			}
			for _, foreign := range []string{"canary", "arn:", m.id, endpointID, "10.0.2."} {
				if strings.Contains(quote(err), foreign) {
					t.Errorf("the caller is told %q: %s", foreign, quote(err))
				}
			}
			await(t, "the tunnels to be closed", func() bool { return m.sim.Tunnels(endpointID) == 0 })
		})
		w.count++
	}
}

// asKnown is an error of the API's; nil is another.
func asKnown(err error) *sallyport.Error {
	known, _ := errors.AsType[*sallyport.Error](err)
	return known
}

func fault(f eicsim.Faults) func(*machine) { return func(m *machine) { m.sim.Faults(f) } }

func state(s string) func(*machine) {
	return func(m *machine) { m.sim.UpdateInstance(m.id, func(i *eicsim.Instance) { i.State = s }) }
}

// moveVPC moves the machine into a VPC of its own, with the endpoint.
func (m *machine) moveVPC(name string) {
	m.sim.UpdateInstance(m.id, func(i *eicsim.Instance) { i.VPC, i.Subnet = "vpc-"+name, "subnet-"+name })
	m.sim.AddEndpoint(eicsim.EndpointRecord{ID: endpointID, VPC: "vpc-" + name, Subnet: "subnet-" + name})
}

func (m *machine) patch(t testing.TB, body string) {
	t.Helper()
	if a := m.Do(t, http.MethodPatch, "/workspaces/"+m.name, m.Token, body); a.Status != http.StatusOK {
		t.Fatalf("patch: %d %s", a.Status, a.Body)
	}
}

// listen is the address of a server that accepts and says nothing.
func listen(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// A fault that passes costs its exec some time, and nothing else.
func TestPassingFaults(t *testing.T) {
	w := newWorld(t, eicsim.Options{}, nil)
	for name, f := range map[string]eicsim.Faults{
		"throttled":             {Error: map[string]eicsim.APIError{eicsim.SendSSHPublicKey: {Code: "ThrottlingException", Times: 3}}},
		"throttled by EC2":      {Error: map[string]eicsim.APIError{eicsim.DescribeInstances: {Status: 503, Code: "RequestLimitExceeded", Times: 2}}},
		"AWS is down":           {Error: map[string]eicsim.APIError{eicsim.DescribeEndpoints: {Status: 500, Code: "InternalError", Times: 2}}},
		"the tunnel is down":    {Error: map[string]eicsim.APIError{eicsim.OpenTunnel: {Status: 503, Code: "ServiceUnavailable", Times: 2}}},
		"credentials renewed":   {Error: map[string]eicsim.APIError{eicsim.SendSSHPublicKey: {Code: "ExpiredTokenException", Times: 1}}},
		"endpoint full at once": {Error: map[string]eicsim.APIError{eicsim.OpenTunnel: {Status: 429, Code: "Anything", Times: 2}}},
	} {
		t.Run(name, func(t *testing.T) {
			m := w.newMachine(t, sshd.Options{})
			w.sim.Faults(f)
			began := time.Now()
			m.must(t, "true")
			t.Logf("took %s", time.Since(began).Round(time.Millisecond))
			if rows := m.rows(t); len(rows) != 1 || rows[0].Status != "ok" {
				t.Errorf("rows %+v", rows)
			}
		})
	}
}
