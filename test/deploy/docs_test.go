package deploy

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
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

// TestExampleAddresses: addresses and names in the docs and in the help are those that are
// nobody's. The networks of a VPC are private ones, as AWS demands.
func TestExampleAddresses(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatal(pages, err)
	}
	address, name := regexp.MustCompile(`\b\d+\.\d+\.\d+\.\d+\b`), regexp.MustCompile(`\bexample\.(com|org|net)\b`)
	for _, page := range append(pages, "../../README.md", "../../deploy/systemd/README.md", "../../internal/openapi/openapi.yaml", "../../internal/cli/testdata/help.golden") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range append(address.FindAllString(string(text), -1), name.FindAllString(string(text), -1)...) {
			isOurs := strings.HasPrefix(found, "192.0.2.") || strings.HasPrefix(found, "127.") || found == "0.0.0.0"
			if !isOurs && !(strings.HasSuffix(page, "aws.md") && strings.HasPrefix(found, "10.0.")) {
				t.Errorf("%s: %s", page, found)
			}
		}
	}
}
