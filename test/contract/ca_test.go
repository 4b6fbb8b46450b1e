package contract

import (
	"bytes"
	"database/sql"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"sallyport/client/sallyport"
	"sallyport/internal/keys"
	"sallyport/internal/store/sqlite"
	"sallyport/test/stack"
)

// caLines are the lines of GET /ca of the organisation dev, each of which sshd could read.
func caLines(t *testing.T, s *stack.Stack) []string {
	t.Helper()
	a := s.Do(t, "GET", "/ca", s.Token, "")
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
	a := s.Do(t, "POST", "/orgs/dev/ca/rotate", s.AdminToken, body)
	wantAnswer(t, "rotate with "+body, a, 201, "")
	var list sallyport.List[sallyport.CAKey]
	a.Decode(t, &list)
	return list.Items
}

// The CA is there from the first start, and a rotation keeps the old key beside the
// new one; now ends all others. Each leaves a row.
func TestCA(t *testing.T) {
	t.Parallel()
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
	wantAnswer(t, "a fifth key", s.Do(t, "POST", "/orgs/dev/ca/rotate", s.AdminToken, ""), 409, "too_many_ca_keys")
	if after := rotateCA(t, s, `{"now":true}`); len(after) != 1 || len(caLines(t, s)) != 1 {
		t.Errorf("after now there are %s", quote(after))
	}
	rows := rowsAt(t, s, s.AdminToken, "/orgs/dev/activity?type=ca_rotated")
	if len(rows) != 4 {
		t.Fatalf("rows %s", quote(rows))
	}
	if r := rows[3]; r.Status != "ok" || r.Actor != "admin-token" || r.OrgID != s.Ready.OrgID || r.WorkspaceID != "" || !strings.Contains(r.Summary, rotated[0].ID) {
		t.Errorf("row %s", quote(r))
	}
	for _, bad := range []struct{ body, code string }{
		{`{"now":"yes"}`, "invalid_now"}, {`{"now":1}`, "invalid_now"}, {`{"Now":true}`, "unknown_field"}, {`[]`, "invalid_json"}, {`{`, "invalid_json"}, {"x", "invalid_json"},
	} {
		wantAnswer(t, bad.body, s.Do(t, "POST", "/orgs/dev/ca/rotate", s.AdminToken, bad.body), 400, bad.code)
	}
	if len(caLines(t, s)) != 1 {
		t.Error("a request that was refused has rotated")
	}
}

// The CA and its seal outlive the server; the seal is its owner's alone.
func TestCARestart(t *testing.T) {
	t.Parallel()
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
	t.Parallel()
	dir := t.TempDir()
	s := stack.Start(t, stack.Options{DataDir: dir, Env: map[string]string{"SALLYPORT_LOG_LEVEL": "debug"}})
	rotateCA(t, s, "")
	answers := s.Do(t, "GET", "/ca", s.Token, "").Body + s.Do(t, "GET", "/activity", s.AdminToken, "").Body
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
	org, err := db.Org(t.Context(), "dev")
	if err != nil {
		t.Fatal(err)
	}
	stored, err := db.CAKeys(t.Context(), org.ID)
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := keys.ReadSeal(seal)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range stored {
		seed, err := sealer.Open("ca/"+k.OrgID+"/"+k.ID+"/"+k.PublicKey, k.Sealed)
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

// Each organisation has its own CA, made with it: nobody sees another's, and a rotation
// of one changes no other.
func TestCAOfEachOrganisation(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	a, b := newHome(t, s, "a"), newHome(t, s, "b")
	get := func(path, token string) string {
		t.Helper()
		got := s.Do(t, "GET", path, token, "")
		wantAnswer(t, path, got, 200, "")
		return got.Body
	}
	ofA, ofB := get("/ca", a.token), get("/ca", b.token)
	if ofA == ofB || ofA == get("/ca", s.Token) {
		t.Fatal("two organisations have the same CA")
	}
	inWorkspace := newToken(t, s, "/workspaces/"+a.ws.ID, "exec").Secret
	for _, c := range []struct{ path, token, want string }{
		{"/ca", inWorkspace, ofA}, {"/ca?org=a", inWorkspace, ofA}, {"/orgs/a/ca", inWorkspace, ofA}, {"/orgs/" + a.ID + "/ca", a.token, ofA},
		{"/ca?org=a", s.AdminToken, ofA}, {"/ca?org=" + b.ID, s.AdminToken, ofB}, {"/orgs/b/ca", s.AdminToken, ofB},
	} {
		if got := get(c.path, c.token); got != c.want {
			t.Errorf("%s: %q, want %q", c.path, got, c.want)
		}
	}
	for _, c := range []struct {
		path, token string
		status      int
		code        string
	}{
		{"/ca", "", 401, "unauthenticated"}, {"/orgs/a/ca", "", 401, "unauthenticated"}, {"/ca", s.AdminToken, 404, "not_found"},
		{"/ca?org=a", b.token, 404, "not_found"}, {"/ca?org=nobody", b.token, 404, "not_found"}, {"/orgs/a/ca", b.token, 404, "not_found"},
	} {
		wantAnswer(t, c.path, s.Do(t, "GET", c.path, c.token, ""), c.status, c.code)
	}
	if foreign, absent := s.Do(t, "GET", "/ca?org=a", b.token, "").Body, s.Do(t, "GET", "/ca?org=nobody", b.token, "").Body; foreign != absent {
		t.Errorf("another's is told apart: %q, %q", foreign, absent)
	}

	rotated := s.Do(t, "POST", "/orgs/a/ca/rotate", a.token, `{"now":true}`)
	wantAnswer(t, "a rotates its own", rotated, 201, "")
	wantAnswer(t, "b rotates a's", s.Do(t, "POST", "/orgs/a/ca/rotate", b.token, ""), 404, "not_found")
	if get("/ca", a.token) == ofA || get("/ca", b.token) != ofB {
		t.Error("the rotation of one is none, or is another's")
	}
	for org, want := range map[string]int{"a": 1, "b": 0} {
		if rows := rowsAt(t, s, s.AdminToken, "/orgs/"+org+"/activity?type=ca_rotated"); len(rows) != want {
			t.Errorf("%s has %d rows", org, len(rows))
		}
	}
}

// Who prefers JSON gets it.
func TestCAAccept(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	for accept, isJSON := range map[string]bool{
		"application/json": true, "text/html, application/json;q=0.9": true, "application/json, text/plain;q=0.5": true,
		"": false, "*/*": false, "text/plain": false, "application/json, */*": false, "application/json;q=0.1, text/plain": false, "application/json;q=x": false,
	} {
		req := s.Request(t, "GET", "/ca", s.Token, "")
		req.Header.Set("Accept", accept)
		a := s.Send(t, req)
		if got := a.Header.Get("Content-Type") == "application/json"; a.Status != 200 || got != isJSON {
			t.Errorf("%q: %d %s", accept, a.Status, a.Header.Get("Content-Type"))
		}
		if !isJSON {
			continue
		}
		var list sallyport.List[sallyport.CAKey]
		a.Decode(t, &list)
		if len(list.Items) != 1 || list.Items[0].CreatedAt.IsZero() || list.Items[0].EndsAt != nil || list.Items[0].Line() != caLines(t, s)[0] {
			t.Errorf("%q: %s", accept, a.Body)
		}
	}
}

// A store of a version in which all organisations shared one CA: the log names the
// machines that must learn their organisation's, and doctor does until each has.
func TestSharedCAOfBefore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := stack.Start(t, stack.Options{DataDir: dir})
	h := newHome(t, s, "acme")
	for name, connector := range map[string]string{
		"far":  `{"type":"ssh","host":"192.0.2.5","user":"u","trust_on_first_use":true}`,
		"here": `{"type":"local"}`,
	} {
		wantAnswer(t, name, s.Do(t, "POST", "/workspaces", s.AdminToken, `{"org_id":"`+h.ID+`","name":"`+name+`","tier":3,"connector":`+connector+`}`), 201, "")
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	retire(t, filepath.Join(dir, "sallyport.db"))

	s = stack.Start(t, stack.Options{DataDir: dir})
	if log := s.Log.String(); !strings.Contains(log, "workspaces=acme/far") || !strings.Contains(log, "machines=1") {
		t.Errorf("the log doesn't name the machine:\n%s", log)
	}
	if log := s.Log.String(); strings.Contains(log, "acme/here") {
		t.Errorf("the log names another:\n%s", log)
	}
	wantAnswer(t, "delete", s.Do(t, "DELETE", "/workspaces/far?org=acme", s.AdminToken, ""), 204, "")
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the first forgets, the second has nothing to say
		s = stack.Start(t, stack.Options{DataDir: dir})
		if log := s.Log.String(); strings.Contains(log, "SSH CA of its own") {
			t.Errorf("it still warns:\n%s", log)
		}
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
	}
}

// retire makes a store look as one in which the shared CA was given up just now.
func retire(t *testing.T, path string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), `INSERT INTO retired_ca_keys VALUES ('ssh-ed25519 AAAA', ?)`, time.Now().UnixMicro()); err != nil {
		t.Fatal(err)
	}
}
