package redact_test

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"sallyport/internal/redact"
)

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"":                                     "",
		"plain words, nothing else":            "plain words, nothing else",
		"dial postgres://u:pw@db/x: timed out": "dial postgres://u:[redacted]@db/x: timed out",
		"PASSWORD=hunter2 was refused":         "PASSWORD=[redacted] was refused",
		"bad ghp_0123456789abcdefghij":         "bad [redacted]",
		`{"token":"abc","n":1}`:                `{"token":"[redacted]","n":1}`,
		"run mysql -phunter2 failed":           "run mysql -phunter2 failed",
		"mysql -phunter2: exit 1":              "mysql -p[redacted] exit 1",
		"it's --password hunter2 here":         "it's --password [redacted] here",
		"Authorization: Bearer abc":            "Authorization: Bearer [redacted]",
	} {
		if got := redact.Text(in); got != want {
			t.Errorf("Text(%q)\n got %q\nwant %q", in, got, want)
		}
	}
}

func TestArgvOfNothing(t *testing.T) {
	if got := redact.Argv(nil); len(got) != 0 {
		t.Errorf("Argv(nil) = %q", got)
	}
}

// secretText draws secrets of every character that an argument may hold.
var secretText = rapid.Custom(func(t *rapid.T) string {
	alphabet := []rune("abcXYZ0189 \t\n!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~éß→日🙂\u202e")
	// A first letter keeps secrets apart from flags and paths, which stay.
	return "q" + rapid.StringOfN(rapid.SampledFrom(alphabet), 8, 40, -1).Draw(t, "secret")
})

// quoted returns s as one word of a shell's script.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// doubleQuoted does so with double quotes.
func doubleQuoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`, "`", "\\`").Replace(s) + `"`
}

// carriers hand over a secret that may be any text.
var carriers = map[string]func(secret string) []string{
	"flag":               func(s string) []string { return []string{"app", "--password=" + s, "x"} },
	"flag and word":      func(s string) []string { return []string{"app", "--api-key", s, "x"} },
	"variable":           func(s string) []string { return []string{"env", "API_TOKEN=" + s, "app"} },
	"option of option":   func(s string) []string { return []string{"docker", "run", "--env=DB_PASSWORD=" + s, "img"} },
	"mysql":              func(s string) []string { return []string{"mysql", "-p" + s, "db"} },
	"mysql behind sudo":  func(s string) []string { return []string{"sudo", "-n", "/usr/bin/mysql", "-p" + s} },
	"sshpass":            func(s string) []string { return []string{"sshpass", "-p", s, "ssh", "-p", "22", "host"} },
	"curl":               func(s string) []string { return []string{"curl", "-u", "bob:" + s, "https://h/"} },
	"samba":              func(s string) []string { return []string{"smbclient", "-U", "bob%" + s, "//h/s"} },
	"script":             func(s string) []string { return []string{"sh", "-c", "app --password " + quoted(s) + " x"} },
	"script, assigned":   func(s string) []string { return []string{"sh", "-c", "app --password=" + quoted(s) + "; x"} },
	"script, double":     func(s string) []string { return []string{"sh", "-c", "app --token " + doubleQuoted(s) + " x"} },
	"script, variable":   func(s string) []string { return []string{"bash", "-lc", "export TOKEN=" + quoted(s) + "; x"} },
	"script, mysql":      func(s string) []string { return []string{"bash", "-lc", "mysql -p" + quoted(s) + " db"} },
	"script, all quoted": func(s string) []string { return []string{"bash", "-lc", "mysql " + doubleQuoted("-p"+s)} },
	"script in script": func(s string) []string {
		return []string{"bash", "-lc", "ssh host " + quoted("mysql -p"+quoted(s))}
	},
	"script in doubles": func(s string) []string {
		return []string{"bash", "-lc", "ssh host " + doubleQuoted("TOKEN="+doubleQuoted(s)+" run")}
	},
}

// leftover returns a part of the secret that is left in text, if one is.
func leftover(text, secret string) string {
	const partRunes = 6
	// The markers of a key are none.
	if _, key, ok := strings.Cut(secret, "KEY-----\n"); ok {
		secret, _, _ = strings.Cut(key, "-----END")
		text = strings.NewReplacer("PRIVATE KEY", "").Replace(text)
	}
	runes := []rune(secret)
	for i := 0; i+partRunes <= len(runes); i++ {
		if part := string(runes[i : i+partRunes]); strings.Contains(text, part) {
			return part
		}
	}
	return ""
}

func TestNoPartOfASecretIsLeft(t *testing.T) {
	for name, carrier := range carriers {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				s := secretText.Draw(t, "text")
				// What goes before shifts the cut of the summary into the secret.
				before := strings.Repeat("x", rapid.IntRange(0, 250).Draw(t, "before"))
				argv := append([]string{"sudo", "A=" + before}, carrier(s)...)
				got := redact.Argv(argv)
				for i, shown := range append(got, redact.Summary(got)) {
					if part := leftover(shown, s); part != "" {
						t.Fatalf("%q left of %q in element %d of %q", part, s, i, got)
					}
				}
				if !slices.Contains(got, "A="+before) {
					t.Fatalf("too much masked: %q", got)
				}
				checkArgv(t, argv, got)
			})
		})
	}
}

// tokens have the shapes that are found anywhere.
var tokens = []string{
	`ghp_[0-9A-Za-z]{36}`, `gh[ours]_[0-9A-Za-z]{36}`, `github_pat_[0-9A-Za-z]{22}_[0-9A-Za-z]{59}`,
	`glpat-[0-9A-Za-z_-]{19}[0-9]`, `xox[abeoprs]-[0-9]{10}-[0-9A-Za-z]{20}`, `(AKIA|ASIA)[0-9A-Z]{16}`,
	`eyJ[0-9A-Za-z]{20}\.eyJ[0-9A-Za-z]{20}\.[0-9A-Za-z_-]{30}`, `sk-[0-9A-Za-z]{32}`,
	`npm_[0-9A-Za-z]{36}`, `hf_[A-Za-z]{34}`, `AIza[0-9A-Za-z_-]{34}[0-9]`,
	`sp_(org|ws|adm)_[0-9A-Za-z]{40,60}`,
	`-----BEGIN (RSA |EC |OPENSSH |)PRIVATE KEY-----\n([0-9A-Za-z+/]{64}\n){1,4}-----END PRIVATE KEY-----`,
}

func TestTokensAreFoundAnywhere(t *testing.T) {
	for _, shape := range tokens {
		rapid.Check(t, func(t *rapid.T) {
			token := rapid.StringMatching(shape).Draw(t, "token")
			around := rapid.StringOf(rapid.SampledFrom([]rune(" \n\t/:=,;'\"()[]{}<>|&?#@é日%$\\")))
			argv := []string{"echo", around.Draw(t, "before") + token + around.Draw(t, "after")}
			got := redact.Argv(argv)
			if part := leftover(got[1], token); part != "" {
				t.Fatalf("%q left in %q", part, got)
			}
			if text := redact.Text(argv[1]); leftover(text, token) != "" {
				t.Fatalf("%q left in %q", token, text)
			}
			checkArgv(t, argv, got)
		})
	}
}

// checkArgv checks what holds of every argv.
func checkArgv(t interface{ Fatalf(string, ...any) }, argv, got []string) {
	if len(got) != len(argv) {
		t.Fatalf("%d elements of %d", len(got), len(argv))
	}
	if again := redact.Argv(got); !slices.Equal(again, got) {
		t.Fatalf("not idempotent: %q\nthen %q\nthen %q", argv, got, again)
	}
	for i := range argv {
		if utf8.ValidString(argv[i]) && !utf8.ValidString(got[i]) {
			t.Fatalf("invalid UTF-8: %q of %q", got[i], argv[i])
		}
	}
}
