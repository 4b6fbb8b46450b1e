package cli

import (
	"encoding/pem"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

// TestLoginKeepsItsCA: a server of a CA of one's own is trusted by the profile, by what env
// prints of it, and by doctor; others are not.
func TestLoginKeepsItsCA(t *testing.T) {
	t.Parallel()
	plain := newFake()
	defer plain.Close()
	fake, stranger := httptest.NewTLSServer(plain.Config.Handler), httptest.NewTLSServer(plain.Config.Handler)
	defer fake.Close()
	defer stranger.Close()
	home := t.TempDir()
	file := home + "/ca.pem"
	text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: fake.Certificate().Raw}))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	in := func(args ...string) ran {
		return run(t, Program{Env: environ("XDG_CONFIG_HOME", home), Stdin: strings.NewReader(fakeOrgToken + "\r\n")}, args...)
	}
	const unknown = "this machine doesn't trust the server's certificate for this name; for a CA of your own: sallyport login --ca-cert FILE"
	if got := in("login", "--url", fake.URL, "--token-stdin"); got.code != 1 || !strings.Contains(got.stderr, unknown) {
		t.Errorf("without the CA: %+v", got)
	}
	if got := in("login", "--url", fake.URL, "--token-stdin", "--ca-cert", file); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	if err := os.Remove(file); err != nil { // the profile holds it
		t.Fatal(err)
	}
	for _, args := range [][]string{{"whoami"}, {"exec", "w", "both"}, {"doctor", "--url", fake.URL}, {"login", "--url", fake.URL, "--token-stdin"}, {"whoami"}} {
		if got := in(args...); got.code != 0 {
			t.Errorf("%q: %+v", args, got)
		}
	}
	if got := in("env"); !strings.Contains(got.stdout, "export SALLYPORT_CA_CERT='-----BEGIN CERTIFICATE-----\n") {
		t.Errorf("env: %s", got.stdout)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, ca := range []string{text, file} {
		p := Program{Env: environ("SALLYPORT_URL", fake.URL, "SALLYPORT_TOKEN", fakeOrgToken, "SALLYPORT_CA_CERT", ca)}
		if got := run(t, p, "whoami"); got.code != 0 {
			t.Errorf("%+v", got)
		}
	}
	if err := os.WriteFile(file, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := in("login", "--url", fake.URL, "--token-stdin", "--ca-cert", file); got.code != 2 || !strings.Contains(got.stderr, "holds no certificate in PEM") {
		t.Errorf("%+v", got)
	}
	if got := in("login", "--url", fake.URL, "--token-stdin", "--ca-cert", home+"/none"); got.code != 1 {
		t.Errorf("%+v", got)
	}
}
