package connector_test

import (
	"testing"

	"sallyport/internal/connector"
)

// keyLine is a host key's type and base64.
const keyLine = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"

// A host key is taken in every form in which OpenSSH's tools print one, and stored in one.
func TestParseHostKey(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		keyLine,
		keyLine + "\n",
		keyLine + " root@build",
		"192.0.2.5 " + keyLine,
		"build.example " + keyLine + "\r\n",
		"build.example,192.0.2.5 " + keyLine,
		"[192.0.2.5]:2222 " + keyLine,
		"[2001:db8::5]:2222 " + keyLine + " a comment",
		"2001:db8::5\t" + keyLine,
		"|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg= " + keyLine,
		"# 192.0.2.5:22 SSH-2.0-OpenSSH_9.2\n192.0.2.5 " + keyLine + "\n",
	} {
		key, err := connector.ParseHostKey(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got := connector.HostKeyLine(key); got != keyLine {
			t.Errorf("%q: got %q", text, got)
		}
	}
}

// What names no single key is refused: the machine would be known by something else than
// its owner meant.
func TestParseHostKeyRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"",
		"ssh-ed25519",
		"192.0.2.5 ssh-ed25519",
		keyLine + "\n" + keyLine,
		"192.0.2.5 " + keyLine + "\n192.0.2.6 " + keyLine + "\n",
		"192.0.2.5 ssh-rsa " + keyLine[len("ssh-ed25519 "):],
		"@cert-authority *.example " + keyLine,
		"@revoked build.example " + keyLine,
		"192.0.2.5 " + keyLine[:len(keyLine)-8],
	} {
		if key, err := connector.ParseHostKey(text); err == nil {
			t.Errorf("%q: taken as %s", text, connector.HostKeyLine(key))
		}
	}
}
