package keys_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"

	"sallyport/client/sallyport"
	"sallyport/internal/id"
	"sallyport/internal/keys"
	"sallyport/internal/store"
	"sallyport/internal/store/sqlite"
	_ "sallyport/test/apart"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// authority is the CA of an organisation on a real store.
type authority struct {
	*keys.CA
	db  *sqlite.DB
	dir string
	org string
	now time.Time
}

// noon is when tests take place that need no real machine.
func noon() time.Time { return time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC) }

func newAuthority(t *testing.T, now time.Time) *authority {
	t.Helper()
	dir := t.TempDir()
	db, err := sqlite.Open(t.Context(), filepath.Join(dir, "test.db"), sqlite.Options{Migrate: true})
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	a := &authority{db: db, dir: dir, now: now, org: addOrg(t, db, "acme")}
	a.CA = &keys.CA{Store: db, Seal: newSealer(t, keys.NewSeal()), Now: func() time.Time { return a.now }}
	return a
}

func addOrg(t *testing.T, db *sqlite.DB, name string) string {
	t.Helper()
	org := store.Org{ID: id.New(), Name: name, CreatedAt: noon()}
	row := &store.Activity{Activity: sallyport.Activity{ID: id.New(), OrgID: org.ID, Type: sallyport.ActivityOrgCreated, CreatedAt: noon()}}
	must(t, db.CreateOrg(t.Context(), org, store.ActivityChange{Row: row}))
	return org.ID
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// rotate makes a new key; the others end after overlap.
func (a *authority) rotate(t *testing.T, overlap time.Duration) {
	t.Helper()
	next, err := a.NewKey(a.org)
	must(t, err)
	must(t, a.db.RotateCA(t.Context(), a.org, func([]keys.CAKey) (keys.CARotation, store.ActivityChange, error) {
		row := &store.Activity{Activity: sallyport.Activity{ID: id.New(), OrgID: a.org, Type: sallyport.ActivityCARotated, CreatedAt: a.now}}
		return keys.CARotation{Next: next, OthersEndAt: a.now.Add(overlap)}, store.ActivityChange{Row: row}, nil
	}))
}

// public returns the public keys in force, newest first.
func (a *authority) public(t *testing.T) []ssh.PublicKey {
	t.Helper()
	found, err := a.Keys(t.Context(), a.org)
	must(t, err)
	var all []ssh.PublicKey
	for _, key := range found {
		public, _, _, _, err := ssh.ParseAuthorizedKey([]byte(key.PublicKey))
		must(t, err)
		all = append(all, public)
	}
	return all
}

func (a *authority) certify(t *testing.T, g keys.Grant) []ssh.Signer {
	t.Helper()
	signers, err := a.Certify(t.Context(), g)
	must(t, err)
	return signers
}

// grant is for a workspace and an exec of the organisation.
func (a *authority) grant(user string) keys.Grant {
	return keys.Grant{
		OrgID: a.org, WorkspaceID: "01980000-0000-7000-8000-000000000001", ExecID: "01980000-0000-7000-8000-000000000002", Principal: user,
	}
}

// checker is a server that trusts one key, at a time of its own.
func checker(trusted ssh.PublicKey, at time.Time) *ssh.CertChecker {
	return &ssh.CertChecker{
		IsUserAuthority: func(key ssh.PublicKey) bool { return bytes.Equal(key.Marshal(), trusted.Marshal()) },
		Clock:           func() time.Time { return at },
	}
}

// login is a connection of somebody who wants to log in as a user.
type login struct {
	ssh.ConnMetadata
	user string
}

func (l login) User() string { return l.user }

// A certificate has what an exec needs and nothing more, and holds for one user and
// five minutes.
func TestCertificate(t *testing.T) {
	a := newAuthority(t, noon())
	signers := a.certify(t, a.grant("deploy"))
	if len(signers) != 1 {
		t.Fatalf("%d certificates of one key", len(signers))
	}
	cert := signers[0].PublicKey().(*ssh.Certificate)
	if cert.CertType != ssh.UserCert || len(cert.ValidPrincipals) != 1 || cert.ValidPrincipals[0] != "deploy" ||
		cert.KeyId != "sallyport org/"+a.org+" workspace/01980000-0000-7000-8000-000000000001 exec/01980000-0000-7000-8000-000000000002" || cert.Key.Type() != ssh.KeyAlgoED25519 || cert.SignatureKey.Type() != ssh.KeyAlgoED25519 ||
		len(cert.CriticalOptions) != 0 || !maps.Equal(cert.Extensions, map[string]string{"permit-port-forwarding": "", "permit-pty": ""}) {
		t.Errorf("certificate %+v", cert)
	}
	if from, to := time.Unix(int64(cert.ValidAfter), 0), time.Unix(int64(cert.ValidBefore), 0); !from.Equal(noon().Add(-time.Minute)) || !to.Equal(noon().Add(5*time.Minute)) {
		t.Errorf("valid from %s to %s", from, to)
	}
	again := a.certify(t, a.grant("deploy"))[0].PublicKey().(*ssh.Certificate)
	if again.Serial == cert.Serial || bytes.Equal(again.Key.Marshal(), cert.Key.Marshal()) {
		t.Error("the second certificate is the first")
	}

	ca := a.public(t)[0]
	stranger := newAuthority(t, noon()).public(t)[0]
	for _, c := range []struct {
		what    string
		trusted ssh.PublicKey
		user    string
		at      time.Time
		ok      bool
	}{
		{"now", ca, "deploy", noon(), true},
		{"a clock that is behind", ca, "deploy", noon().Add(-59 * time.Second), true},
		{"the last second", ca, "deploy", noon().Add(299 * time.Second), true},
		{"another user", ca, "root", noon(), false},
		{"no user", ca, "", noon(), false},
		{"expired", ca, "deploy", noon().Add(300 * time.Second), false},
		{"not yet valid", ca, "deploy", noon().Add(-61 * time.Second), false},
		{"of another CA", stranger, "deploy", noon(), false},
	} {
		_, err := checker(c.trusted, c.at).Authenticate(login{user: c.user}, cert)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}

func TestCertifyRefuses(t *testing.T) {
	a := newAuthority(t, noon())
	for _, change := range []func(*keys.Grant){
		func(g *keys.Grant) { *g = keys.Grant{} },
		func(g *keys.Grant) { g.OrgID = "" }, func(g *keys.Grant) { g.OrgID = "acme" }, func(g *keys.Grant) { g.OrgID = id.New() },
		func(g *keys.Grant) { g.WorkspaceID = "" }, func(g *keys.Grant) { g.WorkspaceID += " " }, func(g *keys.Grant) { g.ExecID = "x\n" },
		func(g *keys.Grant) { g.Principal = "" }, func(g *keys.Grant) { g.Principal = "a b" }, func(g *keys.Grant) { g.Principal = "a\n" },
		func(g *keys.Grant) { g.Principal = "a\x00" }, func(g *keys.Grant) { g.Principal = "\xff" },
		func(g *keys.Grant) { g.Principal = strings.Repeat("a", 256) },
	} {
		g := a.grant("root")
		change(&g)
		if signers, err := a.Certify(t.Context(), g); err == nil {
			t.Errorf("%+v: %v", g, signers)
		}
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.Certify(canceled, a.grant("root")); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	g := a.grant("root")
	g.ExecID = ""
	if cert := a.certify(t, g)[0].PublicKey().(*ssh.Certificate); cert.KeyId != "sallyport org/"+a.org+" workspace/"+g.WorkspaceID {
		t.Errorf("for no exec the key id is %q", cert.KeyId)
	}
}

// After a rotation a certificate of each key in force is offered, newest first,
// until the old one's end.
func TestRotation(t *testing.T) {
	a := newAuthority(t, noon())
	old := a.public(t)[0]
	a.rotate(t, time.Hour)
	next := a.public(t)[0]
	authorities := func() []ssh.PublicKey {
		var all []ssh.PublicKey
		for _, s := range a.certify(t, a.grant("deploy")) {
			all = append(all, s.PublicKey().(*ssh.Certificate).SignatureKey)
		}
		return all
	}
	wantKeys(t, "within the overlap", authorities(), next, old)
	a.now = noon().Add(time.Hour - 1)
	wantKeys(t, "at its last moment", authorities(), next, old)
	a.now = noon().Add(time.Hour)
	wantKeys(t, "after it", authorities(), next)

	for range 5 {
		a.rotate(t, time.Hour)
	}
	if found := a.public(t); len(found) != 4 || len(authorities()) != 4 {
		t.Errorf("%d keys are in force: sshd hangs up at the sixth that it refuses", len(found))
	}
	a.rotate(t, 0)
	newest := a.public(t)
	wantKeys(t, "without an overlap", authorities(), newest...)
	if len(newest) != 1 {
		t.Errorf("%d keys are in force", len(newest))
	}
}

func wantKeys(t *testing.T, what string, got []ssh.PublicKey, want ...ssh.PublicKey) {
	t.Helper()
	same := len(got) == len(want)
	for i := range got {
		same = same && bytes.Equal(got[i].Marshal(), want[i].Marshal())
	}
	if !same {
		t.Errorf("%s: %d keys, or others", what, len(got))
	}
}

// Servers that make an organisation's key together have one key. A key that another has
// rotated is in use at once.
func TestOneKeyForAll(t *testing.T) {
	first := newAuthority(t, noon())
	all := make([]*authority, 6)
	var group sync.WaitGroup
	for i := range all {
		all[i] = &authority{CA: &keys.CA{Store: first.db, Seal: first.Seal, Now: noon}, db: first.db, now: noon(), org: first.org}
		group.Go(func() {
			if _, err := all[i].Keys(context.WithoutCancel(t.Context()), first.org); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	made := first.public(t)
	for _, a := range all {
		wantKeys(t, "another server", a.public(t), made...)
	}
	all[1].rotate(t, 0)
	rotated := all[1].public(t)
	wantKeys(t, "rotated by another", first.public(t), rotated...)
	signed := first.certify(t, first.grant("root"))
	if len(signed) != 1 || !bytes.Equal(signed[0].PublicKey().(*ssh.Certificate).SignatureKey.Marshal(), rotated[0].Marshal()) {
		t.Errorf("%d certificates, or one of the key that was given up", len(signed))
	}
}

// Each organisation has a CA of its own: a certificate that is made for one is none of
// another's, and a rotation of one leaves the other as it was.
func TestOrgsHaveTheirOwn(t *testing.T) {
	a := newAuthority(t, noon())
	b := &authority{CA: a.CA, db: a.db, now: a.now, org: addOrg(t, a.db, "other")}
	ofA, ofB := a.public(t), b.public(t)
	if bytes.Equal(ofA[0].Marshal(), ofB[0].Marshal()) {
		t.Fatal("both have the same key")
	}
	cert := b.certify(t, b.grant("root"))[0].PublicKey().(*ssh.Certificate)
	if _, err := checker(ofA[0], noon()).Authenticate(login{user: "root"}, cert); err == nil {
		t.Error("a machine of the first lets the second in")
	}
	if _, err := checker(ofB[0], noon()).Authenticate(login{user: "root"}, cert); err != nil {
		t.Error(err)
	}
	b.rotate(t, 0)
	wantKeys(t, "the one that wasn't rotated", a.public(t), ofA...)

	// The row of one, put into the other's place, opens nothing.
	stored, err := a.db.CAKeys(t.Context(), a.org)
	must(t, err)
	moved := stored[0]
	moved.OrgID = b.org
	if err := moved.Check(a.Seal); !errors.Is(err, keys.ErrSealBroken) {
		t.Errorf("moved to another organisation it opens: %v", err)
	}
}

// A CA opens with its own seal alone; what an older key has sealed is sealed anew
// when it opens, so that the older one can be given up.
func TestOpenWithAnotherSeal(t *testing.T) {
	a := newAuthority(t, noon())
	a.public(t)
	before, after := keys.NewSeal(), keys.NewSeal()
	a.Seal = newSealer(t, before)
	if err := a.reseal(t); !errors.Is(err, keys.ErrSealKey) {
		t.Errorf("opened with another seal: %v", err)
	}
	if _, err := a.Keys(t.Context(), a.org); !errors.Is(err, keys.ErrSealKey) {
		t.Errorf("showed a key that can't be opened: %v", err)
	}

	b := newAuthority(t, noon())
	b.Seal = newSealer(t, before)
	b.rotate(t, 0)
	public := b.public(t)
	for _, text := range [][]byte{bytes.Join([][]byte{after, before}, nil), after} {
		b.Seal = newSealer(t, text)
		must(t, b.reseal(t))
		wantKeys(t, "opened anew", b.public(t), public...)
	}
}

// reseal seals all keys anew, as a start does.
func (a *authority) reseal(t *testing.T) error {
	t.Helper()
	stored, err := a.db.AllCAKeys(t.Context(), store.Page{Limit: 500})
	must(t, err)
	for _, key := range stored {
		if err := a.Reseal(t.Context(), key.Record); err != nil {
			return err
		}
	}
	return nil
}

// A public key that somebody puts into the database, or another key's private half,
// is told to no machine and signs nothing.
func TestKeysAreBoundTogether(t *testing.T) {
	a := newAuthority(t, noon())
	a.public(t)
	a.rotate(t, time.Hour)
	found, err := a.db.CAKeys(t.Context(), a.org)
	must(t, err)
	must(t, a.db.ResealCAKey(t.Context(), found[0].ID, found[1].Sealed))
	if told, err := a.Keys(t.Context(), a.org); !errors.Is(err, keys.ErrSealBroken) {
		t.Errorf("told %v, %v", told, err)
	}
	if signers, err := a.Certify(t.Context(), a.grant("root")); !errors.Is(err, keys.ErrSealBroken) {
		t.Errorf("signed %v, %v", signers, err)
	}
}

// No private key stands in a file of the store, in any form.
func TestPrivateKeysStayOutOfFiles(t *testing.T) {
	a := newAuthority(t, noon())
	a.public(t)
	a.rotate(t, time.Hour)
	stored, err := a.db.CAKeys(t.Context(), a.org)
	must(t, err)
	var secrets []string
	for _, key := range stored {
		seed, err := a.Seal.Open("ca/"+key.OrgID+"/"+key.ID+"/"+key.PublicKey, key.Sealed)
		must(t, err)
		secrets = append(secrets, string(seed), base64.StdEncoding.EncodeToString(seed)[:40])
		if !strings.Contains(readAll(t, a.dir), string(key.Sealed)) {
			t.Error("what is sealed isn't found either: the search finds nothing")
		}
	}
	for _, secret := range secrets {
		if strings.Contains(readAll(t, a.dir), secret) {
			t.Error("a private key stands in a file")
		}
	}
}

// readAll returns what stands in all files of a folder.
func readAll(t *testing.T, dir string) string {
	t.Helper()
	var all []byte
	must(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		all = append(all, content...)
		return err
	}))
	return string(all)
}
