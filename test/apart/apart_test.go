package apart_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	_ "sallyport/test/apart"
)

// hostile is the environment of a person whose every tool is set up in another way, or
// half.
func hostile(t *testing.T) []string {
	t.Helper()
	home := t.TempDir()
	for file, text := range map[string]string{
		".aws/credentials": "[default]\naws_access_key_id = half\n", ".aws/config": "[default]\nregion\n[profile x\n",
		".ssh/config": "nonsense\n", ".ssh/known_hosts": "nonsense\n", ".gitconfig": "[nonsense\n", ".npmrc": "proxy=http://127.0.0.1:1\n",
		".config/sallyport/profiles.json": "{", ".profile": "echo hostile\n", ".bashrc": "echo hostile\n", ".zshenv": "echo hostile\n",
		".pgpass": "nonsense\n", ".config/git/config": "[nonsense\n",
	} {
		path := home + "/" + file
		if err := os.MkdirAll(path[:strings.LastIndexByte(path, '/')], 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	env := []string{
		"HOME=" + home, "XDG_CONFIG_HOME=" + home + "/.config", "XDG_DATA_HOME=/dev/null/data", "XDG_STATE_HOME=/dev/null",
		"AWS_PROFILE=nobody", "AWS_REGION=mars-1", "AWS_ENDPOINT_URL=http://127.0.0.1:1", "AWS_ACCESS_KEY_ID=half", "AWS_CA_BUNDLE=/nowhere",
		"SALLYPORT_URL=http://127.0.0.1:1", "SALLYPORT_TOKEN=nobody", "SALLYPORT_PROFILE=nobody", "SALLYPORT_LISTEN=nonsense",
		"PGHOST=127.0.0.1", "PGPORT=1", "PGUSER=nobody", "PGSSLMODE=nonsense", "PGSERVICE=nobody",
		"SSH_AUTH_SOCK=/nowhere", "GIT_DIR=/nowhere", "npm_config_proxy=http://127.0.0.1:1", "ENV=" + home + "/.profile",
		"BASH_ENV=" + home + "/.profile", "ZDOTDIR=" + home, "LC_ALL=xx_XX", "CDPATH=/", "NO_COLOR=1", "TERM=nonsense",
		"OTEL_EXPORTER_OTLP_ENDPOINT=ftp://nowhere", "OTEL_TRACES_EXPORTER=nonsense", "SOURCE_DATE_EPOCH=nonsense",
	}
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"} {
		env = append(env, name+"=http://127.0.0.1:1", strings.ToLower(name)+"=http://127.0.0.1:1")
	}
	// Go finds its caches, which the tests of the tests need.
	for _, name := range []string{"PATH", "TMPDIR", "GOCACHE", "GOPATH", "GOMODCACHE", "GOENV", "GOFLAGS", "GOPROXY", "GOTOOLCHAIN"} {
		if value, isSet := os.LookupEnv(name); isSet {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// TestEnvironment: of a hostile person's environment nothing reaches a test.
func TestEnvironment(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(os.Args[0], "-test.run=^TestPrintEnvironment$", "-test.v")
	cmd.Env = hostile(t)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		name, value, isVariable := strings.Cut(strings.TrimSpace(line), "=")
		if isVariable && (strings.Contains(value, "127.0.0.1:1") || strings.Contains(value, "nobody") || strings.Contains(value, "nonsense") ||
			strings.Contains(value, t.Name()) || strings.HasPrefix(name, "AWS_") || strings.HasPrefix(name, "PG")) {
			t.Errorf("a test sees %s", line)
		}
	}
	if !strings.Contains(string(out), "HOME=") {
		t.Errorf("nothing was printed: %s", out)
	}
}

// TestPrintEnvironment is what TestEnvironment runs.
func TestPrintEnvironment(t *testing.T) {
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); name != "PATH" {
			t.Log("\n" + variable)
		}
	}
}

// TestQuickPartOfTheSuite runs tests that read the most of an environment under a
// hostile one.
func TestQuickPartOfTheSuite(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it builds tests")
	}
	args := []string{"test", "-short", "-count=1", "-vet=off", "-timeout=5m"}
	if isRace {
		args = append(args, "-race") // what is built already
	}
	cmd := exec.Command("go", append(args, "../../internal/connector/eic", "../../internal/cli", "../../internal/config", "../../internal/doctor", "../../internal/tracing")...)
	cmd.Env = append(hostile(t), "CGO_ENABLED="+map[bool]string{true: "1", false: "0"}[isRace])
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v:\n%s", err, out)
	}
}
