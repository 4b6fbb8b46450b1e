package redact_test

import (
	"strings"
	"testing"

	"sallyport/internal/redact"
)

// knownTokens has a secret of each known shape; what is secret of each is its end.
var knownTokens = []string{
	"sp_org_Zk3vQ1xR8bTn4LwYc7Gd2HsJm9PfUa5EoXi0KzWqCtBvNyS6", "sp_ws_8bTn4LwYc7Gd2HsJm9PfUa5EoXi0KzWqCtBvNyS6Zk3vQ1xR", "sp_adm_4LwYc7Gd2HsJm9PfUa5EoXi0KzWqCtBvNyS6Zk3vQ1xR8bTn",
	"ghp_7Gd2HsJm9PfUa5EoXi0KzWqCtBvNyS6Zk3vQ", "ghs_2HsJm9PfUa5EoXi0KzWqCtBvNyS6Zk3vQ1xR", "github_pat_11ABCDEFG0Yc7Gd2HsJm9P_fUa5EoXi0KzWqCtBvNyS6Zk3vQ1xR8bTn4LwYc7Gd2HsJm9PfUa5EoXi0KzWqC",
	"xoxb-1234567890-9PfUa5EoXi0KzWqCtBvN", "xoxp-1234567890-CtBvNyS6Zk3vQ1xR8bTn", "AKIA5EOXI0KZWQCTBVNY", "ASIA9PFUA5EOXI0KZWQC",
	"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
	"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtz\nc2gtZWQyNTUxOQAAACBvNyS6Zk3vQ1xR8bTn4LwYc7Gd2HsJm9PfUa5EoXi0Kz\n-----END OPENSSH PRIVATE KEY-----",
}

// secretOf is the part of a token by which it would be known again.
func secretOf(token string) string {
	if begin, rest, ok := strings.Cut(token, "-----\n"); ok && strings.HasPrefix(begin, "-----BEGIN") {
		return rest[:40]
	}
	return token[len(token)-12:]
}

// FuzzKnownShapes: wherever in an argv a token of a known shape begins as a word of
// its own, nothing that would do for it is left, in any of the forms that are kept.
func FuzzKnownShapes(f *testing.F) {
	for i := range knownTokens {
		for _, s := range []string{"", "curl\x00-H\x00Authorization: Bearer ", "git clone https://x:", "'", "\"", "$(echo ", "A=", "--token=", "\\", "%3D", "é", "\xff", "{\"k\":\"", "-----BEGIN CERTIFICATE-----\n", "Bearer ", "ghp_", "a;", "\\n", "<<EOF\n", "# "} {
			f.Add(byte(i), s, " x")
			f.Add(byte(i), "sh\x00-c\x00"+s, "'\x00y")
		}
	}
	f.Fuzz(func(t *testing.T, which byte, before, after string) {
		token := knownTokens[int(which)%len(knownTokens)]
		if before != "" && !strings.ContainsAny(before[len(before)-1:], " \t\n\x00:=,;'\"()[]{}<>|&?#@/$\\") {
			before += " "
		}
		joined := before + token + after
		argv := redact.Argv(strings.Split(joined, "\x00"))
		shown := append(argv, redact.Summary(argv))
		if !strings.Contains(joined, "\x00") {
			shown = append(shown, redact.Text(joined), redact.Line(joined))
		}
		for _, text := range shown {
			if strings.Contains(text, secretOf(token)) {
				t.Errorf("%q left in %q, of %q", secretOf(token), text, joined)
			}
		}
	})
}
