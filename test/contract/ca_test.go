package contract

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"sallyport"
	"sallyport/internal/keys"
	"sallyport/internal/store/sqlite"
	"sallyport/test/stack"
)

// caLines are the lines of GET /ca, each of which sshd could read.
func caLines(t *testing.T, s *stack.Stack) []string {
	t.Helper()
	a := s.Do(t, "GET", "/ca", "", "")
	wantMarks(t, "GET /ca", a)
	if a.Status != 200 || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/plain") || !strings.HasSuffix(a.Body, "\n") {
		t.Fatalf("GET /ca: %d %v %q", a.Status, a.Header, a.Body)
	}
	lines := strings.Split(strings.TrimSuffix(a.Body, "\n"), "\n")
	for _, line := range lines {
		key, comment, options, rest, err := ssh.ParseAuthorizedKey([]byte(line))
		if err != nil || key.Type() != ssh.KeyAlgoED25519 || comment == "" || len(options) > 0 || len(rest) > 0 {
			t.Errorf("line %q: %v", line, err)
		}
	}
	return lines
}

func rotateCA(t *testing.T, s *stack.Stack, body string) []sallyport.CAKey {
	t.Helper()
	a := s.Do(t, "POST", "/ca/rotate", s.AdminToken, body)
	wantAnswer(t, "rotate with "+body, a, 201, "")
	var list sallyport.List[sallyport.CAKey]
	a.Decode(t, &list)
	return list.Items
}

// The CA is there from the first start, and a rotation keeps the old key beside the
// new one; now ends all others. Each leaves a row.
func TestCA(t *testing.T) {
	s := stack.Start(t, stack.Options{Env: map[string]string{"SALLYPORT_KEYS_CA_OVERLAP": "48h"}})
	first := caLines(t, s)
	if len(first) != 1 || strings.Contains(first[0], "until") {
		t.Fatalf("keys at the start %q", first)
	}
	before := time.Now()
	rotated := rotateCA(t, s, "")
	lines := caLines(t, s)
	if len(rotated) != 2 || len(lines) != 2 || rotated[0].Line() != lines[0] || rotated[1].Line() != lines[1] || rotated[0].EndsAt != nil {
		t.Fatalf("rotated to %s, and there are %q", quote(rotated), lines)
	}
	if !strings.HasPrefix(lines[1], first[0]+" until ") || strings.HasPrefix(lines[0], first[0]) {
		t.Errorf("the first key is %q, then %q", first[0], lines[1])
	}
	if end := rotated[1].EndsAt; end == nil || end.Before(before.Add(48*time.Hour-time.Second)) || end.After(time.Now().Add(48*time.Hour)) {
		t.Errorf("the old key ends at %v", end)
	}
	public, _, _, _, _ := ssh.ParseAuthorizedKey([]byte(lines[0]))
	if got := ssh.FingerprintSHA256(public); got != rotated[0].Fingerprint {
		t.Errorf("fingerprint %s, ssh has %s", rotated[0].Fingerprint, got)
	}
	rotateCA(t, s, "{}")
	rotateCA(t, s, ` {"now":false} `)
	wantAnswer(t, "a fifth key", s.Do(t, "POST", "/ca/rotate", s.AdminToken, ""), 409, "too_many_ca_keys")
	if after := rotateCA(t, s, `{"now":true}`); len(after) != 1 || len(caLines(t, s)) != 1 {
		t.Errorf("after now there are %s", quote(after))
	}
	rows := rowsAt(t, s, s.AdminToken, "/activity?type=ca_rotated")
	if len(rows) != 4 {
		t.Fatalf("rows %s", quote(rows))
	}
	if r := rows[3]; r.Status != "ok" || r.Actor != "admin-token" || r.OrgID != "" || r.WorkspaceID != "" || !strings.Contains(r.Summary, rotated[0].ID) {
		t.Errorf("row %s", quote(r))
	}
	for _, bad := range []struct{ body, code string }{
		{`{"now":"yes"}`, "invalid_now"}, {`{"now":1}`, "invalid_now"}, {`{"Now":true}`, "unknown_field"}, {`[]`, "invalid_json"}, {`{`, "invalid_json"}, {"x", "invalid_json"},
	} {
		wantAnswer(t, bad.body, s.Do(t, "POST", "/ca/rotate", s.AdminToken, bad.body), 400, bad.code)
	}
	if len(caLines(t, s)) != 1 {
		t.Error("a request that was refused has rotated")
	}
}

// The CA and its seal outlive the server; the seal is its owner's alone.
func TestCARestart(t *testing.T) {
	dir := t.TempDir()
	s := stack.Start(t, stack.Options{DataDir: dir})
	before := caLines(t, s)
	path := filepath.Join(dir, "seal.key")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("the seal's mode is %v, %v", info.Mode(), err)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	// Elsewhere, and below a new key: the old key can go after one start.
	elsewhere := filepath.Join(t.TempDir(), "seal")
	next := keys.NewSeal()
	for _, content := range [][]byte{append(bytes.Clone(next), text...), next} {
		if err := os.WriteFile(elsewhere, content, 0o640); err != nil {
			t.Fatal(err)
		}
		s = stack.Start(t, stack.Options{DataDir: dir, Env: map[string]string{"SALLYPORT_KEYS_SEAL_FILE": elsewhere}})
		if after := caLines(t, s); fmt.Sprint(after) != fmt.Sprint(before) {
			t.Errorf("the keys are %q, and were %q", after, before)
		}
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
	}
}

// No private key of the CA, and no key of the seal, is in a log or in a file but
// the seal's own.
func TestCASecrets(t *testing.T) {
	dir := t.TempDir()
	s := stack.Start(t, stack.Options{DataDir: dir, Env: map[string]string{"SALLYPORT_LOG_LEVEL": "debug"}})
	rotateCA(t, s, "")
	answers := s.Do(t, "GET", "/ca", "", "").Body + s.Do(t, "GET", "/activity", s.AdminToken, "").Body
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "seal.key"))
	if err != nil {
		t.Fatal(err)
	}
	secrets := [][]byte{bytes.Fields(text[bytes.LastIndexByte(text[:len(text)-1], '\n'):])[0]}
	sealed := privateSeeds(t, dir, text, &secrets)
	if len(secrets) != 3 {
		t.Fatalf("%d secrets", len(secrets))
	}
	found := false
	for name, content := range filesIn(t, dir) {
		found = found || bytes.Contains(content, sealed)
		wantNone(t, name, content, secrets, name == "seal.key")
	}
	if !found {
		t.Error("what is sealed isn't found either: the search finds nothing")
	}
	wantNone(t, "the log", []byte(s.Log.String()), secrets, false)
	wantNone(t, "an answer", []byte(answers), secrets, false)
}

// privateSeeds adds the CA's private keys, and returns one as it is stored.
func privateSeeds(t *testing.T, dir string, seal []byte, secrets *[][]byte) []byte {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(dir, "sallyport.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	stored, err := db.CAKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := keys.ReadSeal(seal)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range stored {
		seed, err := sealer.Open("ca/"+k.ID+"/"+k.PublicKey, k.Sealed)
		if err != nil {
			t.Fatal(err)
		}
		*secrets = append(*secrets, seed)
	}
	return stored[0].Sealed
}

func filesIn(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			all[path], err = os.ReadFile(filepath.Join(dir, path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// wantNone looks for secrets as they are and in hexadecimal. The first is
// text that its own file holds.
func wantNone(t *testing.T, name string, content []byte, secrets [][]byte, isSeal bool) {
	t.Helper()
	for i, secret := range secrets {
		for _, form := range []string{string(secret), fmt.Sprintf("%x", secret)} {
			if has := bytes.Contains(content, []byte(form)); has != (isSeal && i == 0 && form == string(secret)) {
				t.Errorf("%s: secret %d is in it: %v", name, i, has)
			}
		}
	}
}
