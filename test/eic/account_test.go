//go:build linux

package eic

import (
	"bytes"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/client"
	"sallyport/client/sallyport"
	"sallyport/test/eicsim"
	"sallyport/test/sshd"
)

// failsWith runs a command that must not be reached for a reason.
func (m *machine) failsWith(t testing.TB, reason, says string) {
	t.Helper()
	_, _, err := m.exec(t.Context(), client.Exec{Cmd: []string{"true"}})
	if known := asKnown(err); known == nil || known.Reason != reason || !strings.Contains(known.Message, says) {
		t.Errorf("got %s, want %s with %q", quote(err), reason, says)
	}
}

// A server without AWS credentials says so, in the exec's answer and to doctor.
func TestNoCredentials(t *testing.T) {
	w := newWorld(t, eicsim.Options{}, nil)
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(t.TempDir(), "none"))
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "none"))
	m := w.newMachine(t, sshd.Options{})
	m.failsWith(t, "credentials", "no AWS credentials")
	found, err := w.client.Diagnose(t.Context(), m.name)
	if err != nil || found.OK || found.Steps[0].Name != "credentials" || found.Steps[0].Status != sallyport.StepFail {
		t.Errorf("%v, %+v", err, found)
	}
}

// An organisation's role is assumed with its external id, again when its credentials
// have ended, and is no other organisation's.
func TestRole(t *testing.T) {
	const role = "arn:aws:iam::123456789012:role/acme"
	w := newWorld(t, eicsim.Options{}, nil)
	w.sim.AddRole(role, "acme-id")
	m := w.newMachine(t, sshd.Options{})
	set := func(body string) {
		if a := w.Do(t, http.MethodPatch, "/orgs/dev", w.AdminToken, body); a.Status != http.StatusOK {
			t.Fatalf("%s: %d %s", body, a.Status, a.Body)
		}
	}
	set(`{"aws":{"role_arn":"` + role + `","external_id":"another"}}`)
	m.failsWith(t, "permission", "sts:AssumeRole")
	set(`{"aws":{"external_id":"acme-id"}}`)
	await(t, "the back-off to end", func() bool {
		_, _, err := m.exec(t.Context(), client.Exec{Cmd: []string{"true"}})
		return err == nil
	})
	if n := w.sim.Calls(eicsim.AssumeRole); n != 2 {
		t.Errorf("%d calls of AssumeRole", n)
	}
	w.sim.ExpireCredentials()
	w.sim.CutTunnels()
	again := &machine{world: w, name: "again", id: m.id, sshd: m.sshd}
	again.create(t, &sallyport.Connector{Type: sallyport.ConnectorEIC, InstanceID: m.id, User: m.sshd.User})
	again.must(t, "true")
	if n := w.sim.Calls(eicsim.AssumeRole); n != 3 {
		t.Errorf("%d calls of AssumeRole", n)
	}
	if code, stdout, stderr := w.run(t, w.Token, "workspaces", "discover", "--dry-run"); code != 0 || !strings.Contains(stdout, "is a workspace") {
		t.Errorf("discover with a role: %d %q %q", code, stdout, stderr)
	}
}

// The endpoint in the instance's own subnet is preferred, one of an IPv6 address must
// take those, and what is remembered of one that has gone is found out anew.
func TestEndpoints(t *testing.T) {
	w := newWorld(t, eicsim.Options{}, nil)
	const other = "eice-0123456789abcdef1"
	w.sim.AddEndpoint(eicsim.EndpointRecord{ID: other, VPC: vpc, Subnet: "subnet-2", State: "update-failed"})
	m := w.newMachine(t, sshd.Options{})
	w.sim.UpdateInstance(m.id, func(i *eicsim.Instance) { i.Subnet = "subnet-2" })
	m.must(t, "true")
	if got := w.sim.LastTunnelQuery().Get("instanceConnectEndpointId"); got != other {
		t.Errorf("went through %s", got)
	}

	// It is deleted, and what is remembered says that it is there.
	w.sim.RemoveEndpoint(other)
	w.sim.CutTunnels()
	await(t, "the tunnel's end", func() bool { return w.sim.Tunnels(other) == 0 })
	m.must(t, "true")
	if got := w.sim.LastTunnelQuery().Get("instanceConnectEndpointId"); got != endpointID {
		t.Errorf("went through %s", got)
	}

	six := w.newMachine(t, sshd.Options{})
	w.sim.UpdateInstance(six.id, func(i *eicsim.Instance) {
		i.PrivateIP, i.IPv6, i.VPC, i.Subnet = "", "2001:db8::44", "vpc-6", "subnet-6"
	})
	w.sim.AddEndpoint(eicsim.EndpointRecord{ID: "eice-0123456789abcde60", VPC: "vpc-6", Subnet: "subnet-6", IPAddressType: "ipv4"})
	six.failsWith(t, "no_endpoint", "")
	w.sim.AddEndpoint(eicsim.EndpointRecord{ID: "eice-0123456789abcde61", VPC: "vpc-7", Subnet: "subnet-7", IPAddressType: "ipv6"})
	seven := &machine{world: w, name: "seven", id: six.id, sshd: six.sshd}
	w.sim.UpdateInstance(six.id, func(i *eicsim.Instance) { i.VPC, i.Subnet = "vpc-7", "subnet-7" })
	seven.create(t, &sallyport.Connector{Type: sallyport.ConnectorEIC, InstanceID: six.id, User: six.sshd.User, EndpointID: "eice-0123456789abcde61", PrivateIP: "2001:db8::44"})
	seven.must(t, "true")
	if got := w.sim.LastTunnelQuery().Get("privateIpAddress"); got != "2001:db8::44" {
		t.Errorf("went to %s", got)
	}
}

// A tunnel's TLS is checked as any other's, by the endpoint's name.
func TestTLS(t *testing.T) {
	w := newWorld(t, eicsim.Options{TLS: true}, nil)
	m := w.newMachine(t, sshd.Options{})
	m.failsWith(t, "configuration", "certificate")
	w2 := newWorld(t, eicsim.Options{TLS: true}, nil)
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(bundle, w2.sim.CAPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_CA_BUNDLE", bundle)
	w2.newMachine(t, sshd.Options{}).must(t, "true")
}

// No credential, key or presigned URL is in the log, a row, an answer, a metric, or a
// file of the data directory.
func TestSecrets(t *testing.T) {
	const secret, session = "canarySecretAccessKey0123456789canary000", "canarySessionToken//+=="
	w := newWorld(t, eicsim.Options{AccessKey: "AKIACANARY0123456789", SecretKey: secret, SessionToken: session}, map[string]string{"SALLYPORT_LIMITS_CONNECT_TIMEOUT": "2s"})
	m := w.newMachine(t, sshd.Options{})
	m.must(t, "true")
	w.sim.CutTunnels()
	for _, f := range []eicsim.Faults{
		{Error: map[string]eicsim.APIError{eicsim.OpenTunnel: {Status: 403, Code: "SignatureDoesNotMatch", Message: "AKIACANARY0123456789"}}},
		{StallAPI: map[string]bool{eicsim.OpenTunnel: true}}, {CannotConnect: -1},
	} {
		w.sim.Faults(f)
		bad := &machine{world: w, name: "b" + strings.Repeat("x", w.count), id: m.id, sshd: m.sshd}
		w.count++
		bad.create(t, &sallyport.Connector{Type: sallyport.ConnectorEIC, InstanceID: m.id, User: m.sshd.User})
		bad.exec(t.Context(), client.Exec{Cmd: []string{"true"}})
		w.client.Diagnose(t.Context(), bad.name)
	}
	var seen bytes.Buffer
	seen.WriteString(w.Log.String())
	for _, path := range []string{"/activity", "/metrics", "/workspaces", "/workspaces/" + m.name + "/connection"} {
		seen.WriteString(w.Do(t, http.MethodGet, path, w.AdminToken, "").Body)
	}
	err := filepath.WalkDir(w.DataDir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		seen.Write(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, canary := range []string{"AKIACANARY", "canarySecret", "canarySession", "X-Amz-", "openTunnel?", "OPENSSH PRIVATE KEY"} {
		if i := strings.Index(seen.String(), canary); i >= 0 {
			t.Errorf("%q is in %q", canary, seen.String()[max(0, i-100):min(seen.Len(), i+100)])
		}
	}
}
