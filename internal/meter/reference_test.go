package meter

import (
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"
)

var updateReference = flag.Bool("update", false, "write what is derived anew")

const referenceFile = "../../docs/metrics.md"

func TestReference(t *testing.T) {
	got := Reference()
	if *updateReference {
		if err := os.WriteFile(referenceFile, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(referenceFile)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is not what the table of series says; run: go test ./internal/meter -run Reference -update", referenceFile)
	}
	for line := range strings.Lines(got) {
		if strings.HasPrefix(line, "|") && strings.Count(line, "|") != 5 {
			t.Errorf("not four cells: %s", line)
		}
	}
}

// TestSeries holds the names to Prometheus's own rules: base units, and _total for
// what only grows.
func TestSeries(t *testing.T) {
	name := regexp.MustCompile(`^sallyport_[a-z]+(_[a-z]+)*$`)
	seen := map[string]bool{}
	for _, s := range all() {
		if !name.MatchString(s.name) || seen[s.name] {
			t.Errorf("%s: no name, or there twice", s.name)
		}
		seen[s.name] = true
		if strings.HasSuffix(s.name, "_total") != (s.kind == counter) {
			t.Errorf("%s is a %s", s.name, s.kind)
		}
		if (s.buckets != nil) != (s.kind == histogram) {
			t.Errorf("%s: %d buckets", s.name, len(s.buckets))
		}
		if !strings.HasSuffix(s.help, ".") {
			t.Errorf("%s: %q is no sentence", s.name, s.help)
		}
		for _, label := range s.labels {
			if strings.Contains(label, "org") || strings.Contains(label, "workspace") {
				t.Errorf("%s tells tenants apart by %s", s.name, label)
			}
		}
	}
}
