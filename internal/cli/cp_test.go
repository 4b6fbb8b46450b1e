//go:build linux

package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCpAtTerminal: a person sees how far a copy is, and a name can't fool the terminal.
func TestCpAtTerminal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	shown := shownAt(t, 80, nil, "cp", "w:dump\x1b[2J.sql", filepath.Join(dir, "here"))
	for _, want := range []string{`w:dump\x1b[2J.sql`, "100%", "3.0/3.0 MiB", "MiB/s"} {
		if !strings.Contains(shown, want) {
			t.Errorf("%q isn't in %q", want, shown)
		}
	}
	if strings.Contains(shown, "\x1b") {
		t.Errorf("an escape is in %q", shown)
	}
	if info, err := os.Stat(filepath.Join(dir, "here")); err != nil || info.Size() != 3<<20 || info.Mode() != 0o640 {
		t.Errorf("%v, %v", info, err)
	}
	if shown := shownAt(t, 80, nil, "cp", "-q", "w:a", filepath.Join(dir, "a")); shown != "" {
		t.Errorf("with -q: %q", shown)
	}
	if shown := shownAt(t, 80, nil, "cp", "w:a", filepath.Join(dir, "a"), "--json"); !strings.HasPrefix(shown, `{"from":"w:a",`) {
		t.Errorf("with --json: %q", shown)
	}
}

// TestPlaces: what is a workspace's, and what is here.
func TestPlaces(t *testing.T) {
	t.Parallel()
	for word, want := range map[string]place{
		"a":            {path: "a"},
		"./a:b":        {path: "./a:b"},
		":a":           {path: ":a"},
		"/x/a:b":       {path: "/x/a:b"},
		"d/":           {path: "d/", isDir: true},
		".":            {path: ".", isDir: true, isWithin: true},
		"d/..":         {path: "d/..", isDir: true, isWithin: true},
		"w:":           {workspace: "w", isDir: true, isWithin: true},
		"w:.":          {workspace: "w", isDir: true, isWithin: true},
		"w:a/b":        {workspace: "w", path: "a/b"},
		"w:a//./b/":    {workspace: "w", path: "a/b", isDir: true},
		"w:a/.":        {workspace: "w", path: "a", isDir: true, isWithin: true},
		"w:a:b":        {workspace: "w", path: "a:b"},
		"w:...":        {workspace: "w", path: "..."},
		"w:a\xff\n%2F": {workspace: "w", path: "a\xff\n%2F"},
	} {
		want.word = word
		if got, err := parsePlace(word); err != nil || got != want {
			t.Errorf("%q: %+v, %v", word, got, err)
		}
	}
	for _, word := range []string{"", "w:/a", "w:..", "w:a/../b", "w:../a"} {
		if got, err := parsePlace(word); err == nil {
			t.Errorf("%q: %+v", word, got)
		}
	}
}
