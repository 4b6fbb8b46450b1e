// Package apart keeps tests from what belongs to the person who runs them: home, AWS
// credentials, SSH and git configuration, proxies, OpenTelemetry, PostgreSQL and
// Sallyport variables. Test packages that start processes or servers import it for its
// effect alone; test/house demands it of them.
package apart

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// marker is in the environment of what a test starts: it has what the test gave it.
const marker = "SALLYPORT_TESTS_APART"

// kept are the variables that stay, or begin with this where they end in an underscore.
var kept = []string{
	"PATH", "TMPDIR", "USER", "LOGNAME", "CI", "CGO_ENABLED", "CC",
	"GOCACHE", "GOMODCACHE", "GOPATH", "GOROOT", "GOENV", "GOFLAGS", "GOPROXY", "GOSUMDB", "GOTOOLCHAIN", "GOTMPDIR",
	"GOMAXPROCS", "GODEBUG", "GORACE", "GOTRACEBACK", "GOCOVERDIR", "GOMEMLIMIT",
	"FAULTS_", // a seed, and how much
}

// It must be done before any package of a test reads its environment, TestMain too.
func init() {
	if _, done := os.LookupEnv(marker); done || !strings.HasSuffix(os.Args[0], ".test") {
		return // a process that a test has started
	}
	if err := set(); err != nil {
		_, _ = os.Stderr.WriteString("test/apart: " + err.Error() + "\n")
		os.Exit(2)
	}
}

// set leaves of the environment what is kept, and gives the tests a home of their own.
func set() error {
	keepGo()
	home, err := makeHome()
	if err != nil {
		return err
	}
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		if isKept(name) {
			continue
		}
		if err := os.Unsetenv(name); err != nil {
			return err
		}
	}
	for name, value := range map[string]string{"HOME": home, marker: "1"} {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	return nil
}

func isKept(name string) bool {
	return slices.ContainsFunc(kept, func(k string) bool {
		return name == k || strings.HasSuffix(k, "_") && strings.HasPrefix(name, k)
	})
}

// keepGo names what Go finds by the home: tests that build the program use its caches.
func keepGo() {
	home, _ := os.UserHomeDir()
	cache, _ := os.UserCacheDir()
	config, _ := os.UserConfigDir()
	for name, value := range map[string]string{
		"GOPATH": filepath.Join(home, "go"), "GOCACHE": filepath.Join(cache, "go-build"), "GOENV": filepath.Join(config, "go", "env"),
	} {
		if os.Getenv(name) == "" && filepath.IsAbs(value) {
			_ = os.Setenv(name, value) // the name is a good one
		}
	}
}

// makeHome makes the home that all tests of a user share. Nothing is in it.
func makeHome() (string, error) {
	home := filepath.Join(os.TempDir(), "sallyport-tests-home-"+strconv.Itoa(os.Getuid()))
	if err := os.MkdirAll(home, 0o700); err != nil {
		return "", err
	}
	return home, nil
}
