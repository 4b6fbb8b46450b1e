package spelling_test

import (
	"strings"
	"testing"

	"sallyport/internal/spelling"
)

func TestNearest(t *testing.T) {
	t.Parallel()
	known := []string{"exec", "activity", "workspaces", "listen", "tls", "tls.cert_file", "tls.key_file", "log.level", "drain_timeout"}
	for word, want := range map[string]string{
		"exce":                        "exec",
		"Activty":                     "activity",
		"work":                        "workspaces",
		"tls.cert":                    "tls.cert_file",
		"cert_file":                   "tls.cert_file",
		"tls_key_file":                "tls.key_file",
		"LISTEN":                      "listen",
		"drain-timeout":               "drain_timeout",
		"level":                       "log.level",
		"x":                           "",
		"":                            "",
		"cp":                          "",
		"ls":                          "tls",
		"something else":              "",
		"passwords":                   "",
		strings.Repeat("exec", 1<<20): "",
	} {
		if got := spelling.Nearest(word, known); got != want {
			t.Errorf("%.40q: %q, want %q", word, got, want)
		}
	}
}

func TestNearestCommand(t *testing.T) {
	t.Parallel()
	known := []string{"activity", "exec", "login", "orgs", "tokens", "workspaces"}
	for word, want := range map[string]string{
		"worspaces": "workspaces", "wo": "workspaces", "Tokens": "tokens", "activty": "activity",
		"kubectl": "", "org": "orgs", "ls": "", "lo": "login", "logout": "",
	} {
		if got := spelling.Nearest(word, known); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}
