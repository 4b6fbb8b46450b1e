package known

import (
	"slices"
	"strings"
	"testing"
)

func TestProgramsText(t *testing.T) {
	t.Parallel()
	usages, faults := parseUsages(programsText)
	for _, fault := range faults {
		t.Error(fault)
	}
	for name, u := range usages {
		if name != strings.ToLower(name) || len(u.Rules) == 0 {
			t.Errorf("%q is looked up by its name in small letters", name)
		}
	}
	for _, line := range strings.Split(programsText, "\n") {
		names, _, _ := strings.Cut(line, ": ")
		words := strings.Fields(names)
		slices.Sort(words)
		if !strings.HasPrefix(line, "#") && len(slices.Compact(words)) != len(strings.Fields(names)) {
			t.Errorf("a name stands twice: %s", line)
		}
	}
}

func TestParseRule(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"-p=Y", "^pass:", "Y..", "^X"} {
		if r, err := parseRule(bad); err == nil {
			t.Errorf("%q is read as %+v", bad, r)
		}
	}
	r, err := parseRule("login|l -p=X -[uh]=_ --auth=U:X -qX -b! ^>X _ K=X..")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(r.Words[0], []string{"login", "l"}) || !r.Says('p') || !r.Says('u') || r.Long["auth"].Kind != Pair ||
		!slices.Equal(r.Needs, []string{"-b"}) || r.Prefixes[0].Text != ">" || !r.Repeats || len(r.Arguments) != 2 {
		t.Errorf("%+v", r)
	}
}

func TestLookup(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{"mysql": true, "python3.12": true, "python": true, "7z": true, "unknown": false, "unknown3": false, "": false} {
		if got := Lookup(name).Runs(); got != want {
			t.Errorf("Lookup(%q): %t", name, got)
		}
	}
}
