package deploy

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
)

// oneOrMore is a string or a list of them, as IAM takes both.
type oneOrMore []string

func (o *oneOrMore) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*o = oneOrMore{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(o))
}

// TestDocumentedPolicy: the policy in the docs is the one that Terraform makes.
func TestDocumentedPolicy(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/aws.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(page), "cat >policy.json <<'EOF'\n")
	text, _, _ := strings.Cut(after, "    EOF\n")
	var policy struct {
		Statement []struct {
			Sid, Effect      string
			Action, Resource oneOrMore
			Condition        map[string]map[string]oneOrMore
		}
	}
	if err := json.Unmarshal([]byte(text), &policy); err != nil {
		t.Fatal(err)
	}
	want := opens(map[string]string{"sallyport": "workspace"})
	want[2].Conditions["IpAddress ec2-instance-connect:privateIpAddress"] = []string{"10.0.0.0/16"}
	var got []statement
	for _, s := range policy.Statement {
		if s.Effect != "Allow" {
			t.Errorf("%s: effect %q", s.Sid, s.Effect)
		}
		one := statement{Sid: s.Sid, Actions: s.Action, Resources: s.Resource}
		for test, keys := range s.Condition {
			for key, values := range keys {
				if one.Conditions == nil {
					one.Conditions = map[string][]string{}
				}
				one.Conditions[test+" "+key] = values
			}
		}
		got = append(got, one)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("documented:\n%+v\nwant\n%+v", got, want)
	}
}
