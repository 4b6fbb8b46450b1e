package eicsim_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"sallyport/test/eicsim"
)

// newKey makes a key and its line, which is as short as a key that is taken can be.
func newKey(t *testing.T) (ssh.Signer, string) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
}

// trust makes the client trust the tunnel's certificates.
func (w *world) trust() {
	if pool := w.CA(); pool != nil {
		w.http.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: pool}
	}
}

type instances struct {
	IDs   []string `xml:"reservationSet>item>instancesSet>item>instanceId"`
	State string   `xml:"reservationSet>item>instancesSet>item>instanceState>name"`
	Code  string   `xml:"reservationSet>item>instancesSet>item>instanceState>code"`
	IP    string   `xml:"reservationSet>item>instancesSet>item>privateIpAddress"`
	IPv6  string   `xml:"reservationSet>item>instancesSet>item>networkInterfaceSet>item>ipv6AddressesSet>item>ipv6Address"`
	Zone  string   `xml:"reservationSet>item>instancesSet>item>placement>availabilityZone"`
	Tag   string   `xml:"reservationSet>item>instancesSet>item>tagSet>item>value"`
	Next  string   `xml:"nextToken"`
}

func parse[T any](t *testing.T, a answer) T {
	t.Helper()
	var got T
	if a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if err := xml.Unmarshal([]byte(a.body), &got); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestDescribeInstances(t *testing.T) {
	w := newWorld(t, eicsim.Options{PageMax: 2}, "")
	w.UpdateInstance(instanceID, func(i *eicsim.Instance) {
		i.IPv6, i.Tags = "2001:db8::1", map[string]string{"Name": "web-1"}
	})
	for n := range 4 {
		w.AddInstance(eicsim.Instance{ID: fmt.Sprintf("i-%017d", n+100), VPC: "vpc-2", State: "stopped", Tags: map[string]string{"env": "test"}})
	}
	one := parse[instances](t, w.ec2(eicsim.DescribeInstances, "InstanceId.1="+instanceID))
	if len(one.IDs) != 1 || one.State != "running" || one.Code != "16" || one.IP != address || one.IPv6 != "2001:db8::1" || one.Zone != "us-east-2a" || one.Tag != "web-1" {
		t.Errorf("%+v", one)
	}
	for filter, want := range map[string]int{
		"tag:Name web-*": 1, "tag-key env": 4, "instance-state-name stopped": 4, "vpc-id vpc-1": 1, "instance-id " + instanceID: 1, "tag:Name x": 0,
	} {
		name, value, _ := strings.Cut(filter, " ")
		var ids []string
		for next := ""; ; {
			values := []string{"Filter.1.Name=" + name, "Filter.1.Value.1=" + value, "MaxResults=5"}
			if next != "" {
				values = append(values, "NextToken="+next)
			}
			page := parse[instances](t, w.ec2(eicsim.DescribeInstances, values...))
			if len(page.IDs) > 2 {
				t.Errorf("%s: a page of %d", filter, len(page.IDs))
			}
			ids = append(ids, page.IDs...)
			if next = page.Next; next == "" {
				break
			}
		}
		if len(ids) != want {
			t.Errorf("%s: %v", filter, ids)
		}
	}
}

// A query may stand in the URL too, and is signed as it is encoded there.
func TestDescribeByGET(t *testing.T) {
	w := newWorld(t, eicsim.Options{}, "")
	w.UpdateInstance(instanceID, func(i *eicsim.Instance) { i.Tags = map[string]string{"Name": "a b+c"} })
	const query = "?Action=DescribeInstances&Filter.1.Name=tag%3AName&Filter.1.Value.1=a%20b%2Bc&Version=2016-11-15"
	r, err := http.NewRequest(http.MethodGet, w.Endpoint()+"/"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.sign(r, nil, "ec2")
	if got := parse[instances](t, w.do(r)); len(got.IDs) != 1 {
		t.Errorf("%+v", got)
	}
}

func TestDescribeEndpoints(t *testing.T) {
	w := newWorld(t, eicsim.Options{}, "")
	w.AddEndpoint(eicsim.EndpointRecord{ID: "eice-2", VPC: "vpc-2", State: "update-complete"})
	type endpoints struct {
		IDs  []string `xml:"instanceConnectEndpointSet>item>instanceConnectEndpointId"`
		DNS  string   `xml:"instanceConnectEndpointSet>item>dnsName"`
		FIPS string   `xml:"instanceConnectEndpointSet>item>fipsDnsName"`
		Dual string   `xml:"instanceConnectEndpointSet>item>publicDnsNames>dualstack>dnsName"`
		Kind string   `xml:"instanceConnectEndpointSet>item>ipAddressType"`
	}
	got := parse[endpoints](t, w.ec2(eicsim.DescribeEndpoints, "Filter.1.Name=vpc-id", "Filter.1.Value.1="+vpc, "Filter.2.Name=state", "Filter.2.Value.1=create-complete", "MaxResults=50"))
	if len(got.IDs) != 1 || got.IDs[0] != endpointID || !strings.Contains(got.DNS, endpointID) || !strings.Contains(got.FIPS, "fips") || got.Dual == "" || got.Kind != "ipv4" {
		t.Errorf("%+v", got)
	}
	w.RemoveEndpoint(endpointID)
	if got := w.ec2(eicsim.DescribeEndpoints, "InstanceConnectEndpointId.1="+endpointID); got.code != "InvalidInstanceConnectEndpointId.NotFound" {
		t.Error(got)
	}
}

func TestEC2Refusals(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*world)
		values []string
		code   string
	}{
		{"unknown", nil, []string{"InstanceId.1=i-11111111"}, "InvalidInstanceID.NotFound"},
		{"malformed", nil, []string{"InstanceId.1=web"}, "InvalidInstanceID.Malformed"},
		{"ids and a page", nil, []string{"InstanceId.1=" + instanceID, "MaxResults=5"}, "InvalidParameterCombination"},
		{"a page of 4", nil, []string{"MaxResults=4"}, "InvalidParameterValue"},
		{"filter", nil, []string{"Filter.1.Name=colour", "Filter.1.Value.1=x"}, "InvalidParameterValue"},
		{"token", nil, []string{"NextToken=x"}, "InvalidNextToken"},
		{"denied", func(w *world) { w.Deny(eicsim.DescribeInstances) }, nil, "UnauthorizedOperation"},
		{"secret", func(w *world) { w.credentials.SecretAccessKey = "x" }, nil, "SignatureDoesNotMatch"},
		{"access key", func(w *world) { w.credentials.AccessKeyID = "x" }, nil, "AuthFailure"},
		{"revoked", func(w *world) { w.Revoke(w.credentials.AccessKeyID) }, nil, "AuthFailure"},
		{"clock", func(w *world) { w.clock = newClock(); w.clock.add(-6 * time.Minute) }, nil, "RequestExpired"},
		{"expired", func(w *world) { w.ExpireCredentials() }, nil, "ExpiredToken"},
		{"throttled", func(w *world) {
			w.Faults(eicsim.Faults{Error: map[string]eicsim.APIError{eicsim.DescribeInstances: {Status: 503, Code: "RequestLimitExceeded", Times: 1}}})
		}, nil, "RequestLimitExceeded"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, eicsim.Options{SessionToken: "x//+=="}, "")
			if c.change != nil {
				c.change(w)
			}
			if got := w.ec2(eicsim.DescribeInstances, c.values...); got.code != c.code {
				t.Errorf("%d %s; %v", got.status, got.body, w.Rejections())
			}
		})
	}
}

// What is injected some times is gone then, and Allow lifts Deny.
func TestInjectedErrorsEnd(t *testing.T) {
	w := newWorld(t, eicsim.Options{}, "")
	w.Faults(eicsim.Faults{Error: map[string]eicsim.APIError{eicsim.DescribeInstances: {Code: "Unavailable", Times: 2, RetryAfter: time.Second}}})
	for range 2 {
		if got := w.ec2(eicsim.DescribeInstances); got.code != "Unavailable" || got.header.Get("Retry-After") != "1" {
			t.Error(got)
		}
	}
	w.Deny(eicsim.DescribeInstances)
	w.Allow(eicsim.DescribeInstances)
	if got := w.ec2(eicsim.DescribeInstances); got.status != http.StatusOK {
		t.Error(got)
	}
	if got := w.Calls(eicsim.DescribeInstances); got != 3 || len(w.RequestIDs(eicsim.DescribeInstances)) != got {
		t.Errorf("%d calls", got)
	}
	// What names no action has the empty one.
	w.Faults(eicsim.Faults{StallAPI: map[string]bool{"": true}})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, w.Endpoint(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r); err == nil {
		response.Body.Close()
		t.Error("a stalled call was answered")
	}
}

func TestPush(t *testing.T) {
	_, line := newKey(t)
	if len(line) != 80 {
		t.Fatalf("%d characters", len(line))
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ssh.NewPublicKey(ec.Public())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name                      string
		change                    func(*world)
		instance, user, key, zone string
		code                      string
	}{
		{"taken", nil, instanceID, "ubuntu", line, "", ""},
		{"in its zone", nil, instanceID, "ubuntu", line + " comment", "us-east-2a", ""},
		{"instance", nil, "web", "ubuntu", line, "", "InvalidArgsException"},
		{"user", nil, instanceID, "1x", line, "", "InvalidArgsException"},
		{"long user", nil, instanceID, strings.Repeat("x", 33), line, "", "InvalidArgsException"},
		{"short key", nil, instanceID, "ubuntu", line[:79], "", "InvalidArgsException"},
		{"broken key", nil, instanceID, "ubuntu", line[:20] + "=" + line[21:], "", "InvalidArgsException"},
		{"ecdsa", nil, instanceID, "ubuntu", string(ssh.MarshalAuthorizedKey(ecKey)), "", "InvalidArgsException"},
		{"two lines", nil, instanceID, "ubuntu", line + "\n" + line, "", "InvalidArgsException"},
		{"zone", nil, instanceID, "ubuntu", line, "nowhere", "InvalidArgsException"},
		{"another zone", nil, instanceID, "ubuntu", line, "us-east-2b", "EC2InstanceNotFoundException"},
		{"unknown", nil, "i-11111111", "ubuntu", line, "", "EC2InstanceNotFoundException"},
		{"stopped", func(w *world) {
			w.UpdateInstance(instanceID, func(i *eicsim.Instance) { i.State = "stopped" })
		}, instanceID, "ubuntu", line, "", "EC2InstanceStateInvalidException"},
		{"another user", func(w *world) {
			w.UpdateInstance(instanceID, func(i *eicsim.Instance) { i.OSUsers = []string{"ubuntu"} })
		}, instanceID, "root", line, "", "AccessDeniedException"},
		{"denied", func(w *world) { w.Deny(eicsim.SendSSHPublicKey) }, instanceID, "ubuntu", line, "", "AccessDeniedException"},
		{"secret", func(w *world) { w.credentials.SecretAccessKey = "x" }, instanceID, "ubuntu", line, "", "InvalidSignatureException"},
		{"expired", func(w *world) { w.ExpireCredentials() }, instanceID, "ubuntu", line, "", "ExpiredTokenException"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, eicsim.Options{SessionToken: "x"}, "")
			if c.change != nil {
				c.change(w)
			}
			got := w.push(c.instance, c.user, c.key, c.zone)
			if got.code != c.code || (got.status == http.StatusOK) != (c.code == "") {
				t.Errorf("%d %s; %v", got.status, got.body, w.Rejections())
			}
			if granted := len(w.Authorized(c.instance, c.user)); (granted == 1) != (c.code == "") {
				t.Errorf("%d keys are granted", granted)
			}
		})
	}
}

// A role's credentials open all of it, until they expire.
func TestAssumeRole(t *testing.T) {
	const role = "arn:aws:iam::123456789012:role/sallyport"
	w := newWorld(t, eicsim.Options{}, echo(t))
	w.AddRole(role, "secret word")
	assume := func(externalID, seconds string) answer {
		return w.query("sts", "2011-06-15", eicsim.AssumeRole, "RoleArn="+role, "RoleSessionName=sallyport", "ExternalId="+externalID, "DurationSeconds="+seconds)
	}
	if got := assume("another", "900"); got.code != "AccessDenied" {
		t.Error(got)
	}
	if got := assume("secret word", "899"); got.code != "ValidationError" {
		t.Error(got)
	}
	type assumed struct {
		AccessKeyID string    `xml:"AssumeRoleResult>Credentials>AccessKeyId"`
		Secret      string    `xml:"AssumeRoleResult>Credentials>SecretAccessKey"`
		Token       string    `xml:"AssumeRoleResult>Credentials>SessionToken"`
		Expiration  time.Time `xml:"AssumeRoleResult>Credentials>Expiration"`
	}
	own := w.credentials
	for _, end := range []func(){w.ExpireCredentials, func() { w.clock.add(15 * time.Minute) }} {
		w.credentials = own
		got := parse[assumed](t, assume("secret word", "900"))
		if !got.Expiration.Equal(w.clock.now().Add(15 * time.Minute)) {
			t.Errorf("they expire at %v", got.Expiration)
		}
		w.credentials.AccessKeyID, w.credentials.SecretAccessKey, w.credentials.SessionToken = got.AccessKeyID, got.Secret, got.Token
		if got := w.ec2(eicsim.DescribeInstances); got.status != http.StatusOK {
			t.Error(got)
		}
		w.mustOpen()
		end()
		if got := w.ec2(eicsim.DescribeInstances); got.code != "ExpiredToken" {
			t.Error(got)
		}
		if _, response, err := w.open(w.newAsk()); err == nil {
			t.Error("a tunnel was opened")
		} else if body, _ := io.ReadAll(response.Body); codeOf(body) != "ExpiredTokenException" {
			t.Errorf("%s", body)
		}
	}
}
