package house

import (
	"os"
	"os/exec"
	"path"
	"strings"
	"testing"

	_ "sallyport/test/apart"
)

// repository is the root of the repository, from this folder.
const repository = "../.."

func TestLadder(t *testing.T) {
	code := loadRepository(t)
	report(t, checkLadder(code, rungs))
}

func TestBans(t *testing.T) {
	code := loadRepository(t)
	report(t, checkBans(code))
}

func TestApart(t *testing.T) {
	code := loadRepository(t)
	report(t, checkApart(code))
}

func TestTidy(t *testing.T) {
	code := loadRepository(t)
	report(t, sift(checkTidy(code, standardNames(t)), exceptions))
}

// TestLicences looks at every module that is part of the program or the client;
// what only tests use isn't given to anybody.
func TestLicences(t *testing.T) {
	modules := golist(t, "-e", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}\t{{.Dir}}{{end}}{{end}}", "./cmd/...", "./client/...")
	seen := map[string]bool{}
	for _, module := range modules {
		name, dir, ok := strings.Cut(module, "\t")
		if !ok || seen[name] {
			continue
		}
		seen[name] = true
		if fault := checkLicence(os.DirFS(dir)); fault != "" {
			t.Errorf("%s: %s", name, fault)
		}
	}
	if len(seen) == 0 {
		t.Error("no module was looked at")
	}
}

func loadRepository(t *testing.T) *tree {
	t.Helper()
	code, err := load(os.DirFS(repository))
	if err != nil {
		t.Fatal(err)
	}
	return code
}

func report(t *testing.T, found []finding) {
	t.Helper()
	for _, f := range found {
		t.Error(f)
	}
}

// standardNames returns the names that the standard library has given away.
func standardNames(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	for _, imported := range golist(t, "std") {
		if !strings.Contains("/"+imported+"/", "/internal/") {
			names[path.Base(imported)] = true
		}
	}
	return names
}

// golist returns the lines of go list's answer.
func golist(t *testing.T, args ...string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list"}, args...)...)
	cmd.Dir = repository
	cmd.Stderr = t.Output()
	answer, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", cmd, err)
	}
	return strings.Split(strings.TrimSpace(string(answer)), "\n")
}
