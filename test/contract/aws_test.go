package contract

import (
	"strings"
	"testing"

	"sallyport/test/stack"
)

// An organisation's access to AWS is the admin's to set: a merge patch, checked whole.
func TestOrgAWS(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	newHome(t, s, "a")
	const role, other = `arn:aws:iam::123456789012:role/sallyport`, `arn:aws-us-gov:iam::123456789012:role/path/x`
	for _, step := range []struct {
		patch string
		code  string
		want  string
	}{
		{`{"aws":{"role_arn":"` + role + `","external_id":"acme"}}`, "", `"aws":{"role_arn":"` + role + `","external_id":"acme"}`},
		{`{"aws":{"role_arn":"` + other + `"}}`, "", `"aws":{"role_arn":"` + other + `","external_id":"acme"}`},
		{`{"aws":{"external_id":null}}`, "", `"aws":{"role_arn":"` + other + `"}`},
		{`{"aws":{"external_id":"acme"}}`, "", `"aws":{"role_arn":"` + other + `","external_id":"acme"}`},
		{`{"aws":{"role_arn":null}}`, "invalid_aws", ""},
		{`{"aws":{"role_arn":"sallyport"}}`, "invalid_aws", ""},
		{`{"aws":{"role_arn":1}}`, "invalid_aws", ""},
		{`{"aws":{"external_id":"a b"}}`, "invalid_aws", ""},
		{`{"aws":{"external_id":"a"}}`, "invalid_aws", ""},
		{`{"aws":"` + role + `"}`, "invalid_aws", ""},
		{`{"aws":{"role":"` + role + `"}}`, "unknown_field", ""},
		{`{"name":"b"}`, "", `"name":"b",`},
		{`{"aws":null}`, "", ""},
	} {
		ref := "a"
		if a := s.Do(t, "GET", "/orgs/b", s.AdminToken, ""); a.Status == 200 {
			ref = "b"
		}
		before := s.Do(t, "GET", "/orgs/"+ref, s.AdminToken, "").Body
		a := s.Do(t, "PATCH", "/orgs/"+ref, s.AdminToken, step.patch)
		switch {
		case step.code != "":
			wantAnswer(t, step.patch, a, 400, step.code)
			if after := s.Do(t, "GET", "/orgs/"+ref, s.AdminToken, "").Body; after != before {
				t.Errorf("%s: refused, and changed %s", step.patch, after)
			}
		case a.Status != 200 || !strings.Contains(a.Body, step.want):
			t.Errorf("%s: got %d %s", step.patch, a.Status, a.Body)
		case step.want == "" && strings.Contains(a.Body, "aws"):
			t.Errorf("%s: got %s", step.patch, a.Body)
		}
	}
	wantAnswer(t, "made with it", s.Do(t, "POST", "/orgs", s.AdminToken, `{"name":"c","aws":{"role_arn":"`+role+`"}}`), 201, "")
	wantAnswer(t, "made with none", s.Do(t, "POST", "/orgs", s.AdminToken, `{"name":"d","aws":null}`), 201, "")
	wantAnswer(t, "made wrongly", s.Do(t, "POST", "/orgs", s.AdminToken, `{"name":"e","aws":{}}`), 400, "invalid_aws")
}

// An EC2 instance's connector is checked, filled in, and changed by merging; nobody is
// asked about it.
func TestEICConnector(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	h := newHome(t, s, "a")
	const id = `"instance_id":"i-0123456789abcdef0"`
	for _, refused := range []string{
		``, `"instance_id":"i-1"`, `"instance_id":"I-0123456789ABCDEF0"`, `"instance_id":1`, id + `,"region":"Ohio"`, id + `,"region":"us-east-2.evil.example"`,
		id + `,"user":"-l"`, id + `,"user":"a b"`, id + `,"endpoint_id":"x"`, id + `,"private_ip":"build"`, id + `,"private_ip":"10.0.0.5:22"`,
		id + `,"private_ip":"fe80::1%eth0"`, id + `,"host_key":"ssh-ed25519"`, id + `,"trust_on_first_use":1`,
	} {
		body := `{"name":"b","connector":{"type":"eic"` + strings.TrimSuffix(","+refused, ",") + `}}`
		wantAnswer(t, body, s.Do(t, "POST", "/workspaces", h.token, body), 400, "invalid_connector")
	}
	for _, unknown := range []string{`"host":"a"`, `"port":22`, `"auth":{"type":"ca"}`, `"InstanceId":"i"`} {
		body := `{"name":"b","connector":{"type":"eic",` + id + `,` + unknown + `}}`
		wantAnswer(t, body, s.Do(t, "POST", "/workspaces", h.token, body), 400, "unknown_field")
	}
	a := s.Do(t, "POST", "/workspaces", h.token, `{"name":"b","tier":3,"connector":{"type":"eic",`+id+`}}`)
	if want := `"connector":{"type":"eic",` + id + `,"user":"ec2-user","trust_on_first_use":true}`; a.Status != 201 || !strings.Contains(a.Body, want) {
		t.Errorf("got %d %s", a.Status, a.Body)
	}
	const key = `ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEKjzmQXC2pFoBhTmtbmuNMNx5rvL6g7fTEPjYWwA6lO`
	for _, step := range []struct{ patch, want string }{
		{`{"connector":{"region":"eu-west-1","private_ip":"10.0.2.44","endpoint_id":"eice-0123456789abcdef0"}}`,
			`"connector":{"type":"eic",` + id + `,"region":"eu-west-1","endpoint_id":"eice-0123456789abcdef0","private_ip":"10.0.2.44","user":"ec2-user","trust_on_first_use":true}`},
		{`{"connector":{"region":null,"private_ip":null,"endpoint_id":null,"user":"ubuntu"}}`,
			`"connector":{"type":"eic",` + id + `,"user":"ubuntu","trust_on_first_use":true}`},
		{`{"connector":{"host_key":"` + key + ` host"}}`, `"user":"ubuntu","host_key":"` + key + `","trust_on_first_use":true}`},
		{`{"connector":{"instance_id":"i-0123456789abcdef1"}}`, `{"type":"eic","instance_id":"i-0123456789abcdef1","user":"ubuntu","trust_on_first_use":true}`},
	} {
		if a := s.Do(t, "PATCH", "/workspaces/b", h.token, step.patch); a.Status != 200 || !strings.Contains(a.Body, step.want) {
			t.Errorf("%s: got %d %s, want %s", step.patch, a.Status, a.Body, step.want)
		}
	}
}
