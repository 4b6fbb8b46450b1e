package keys_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"

	"sallyport"
	"sallyport/internal/id"
	"sallyport/internal/keys"
	"sallyport/internal/store"
	"sallyport/internal/store/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// authority is a CA on a real store.
type authority struct {
	*keys.CA
	db  *sqlite.DB
	dir string
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
	a := &authority{db: db, dir: dir, now: now}
	a.CA = &keys.CA{Store: db, Seal: newSealer(t, keys.NewSeal()), Now: func() time.Time { return a.now }}
	must(t, a.Open(t.Context()))
	return a
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
	next, err := a.NewKey()
	must(t, err)
	must(t, a.db.RotateCA(t.Context(), func([]keys.CAKey) (keys.CARotation, store.ActivityChange, error) {
		row := &store.Activity{Activity: sallyport.Activity{ID: id.New(), Type: sallyport.ActivityCARotated, CreatedAt: a.now}}
		return keys.CARotation{Next: next, OthersEndAt: a.now.Add(overlap)}, store.ActivityChange{Row: row}, nil
	}))
	a.Forget()
}

// public returns the public keys in force, newest first.
func (a *authority) public(t *testing.T) []ssh.PublicKey {
	t.Helper()
	found, err := a.Keys(t.Context())
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

func grant(user string) keys.Grant { return keys.Grant{Principal: user, For: "workspace/0198"} }

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
	signers := a.certify(t, grant("deploy"))
	if len(signers) != 1 {
		t.Fatalf("%d certificates of one key", len(signers))
	}
	cert := signers[0].PublicKey().(*ssh.Certificate)
	if cert.CertType != ssh.UserCert || len(cert.ValidPrincipals) != 1 || cert.ValidPrincipals[0] != "deploy" ||
		cert.KeyId != "sallyport workspace/0198" || cert.Key.Type() != ssh.KeyAlgoED25519 || cert.SignatureKey.Type() != ssh.KeyAlgoED25519 ||
		len(cert.CriticalOptions) != 0 || len(cert.Extensions) != 0 {
		t.Errorf("certificate %+v", cert)
	}
	if from, to := time.Unix(int64(cert.ValidAfter), 0), time.Unix(int64(cert.ValidBefore), 0); !from.Equal(noon().Add(-time.Minute)) || !to.Equal(noon().Add(5*time.Minute)) {
		t.Errorf("valid from %s to %s", from, to)
	}
	again := a.certify(t, grant("deploy"))[0].PublicKey().(*ssh.Certificate)
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
	for _, g := range []keys.Grant{
		{}, {Principal: "", For: "x"}, {Principal: "root", For: ""}, {Principal: "a b", For: "x"}, {Principal: "a\n", For: "x"},
		{Principal: "a\x00", For: "x"}, {Principal: "\xff", For: "x"}, {Principal: strings.Repeat("a", 256), For: "x"},
		{Principal: "a", For: "x\n"}, {Principal: "a", For: "x y"}, {Principal: "a", For: "é"}, {Principal: "a", For: strings.Repeat("a", 201)},
	} {
		if signers, err := a.Certify(t.Context(), g); err == nil {
			t.Errorf("%+v: %v", g, signers)
		}
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	a.Forget()
	if _, err := a.Certify(canceled, grant("root")); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
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
		for _, s := range a.certify(t, grant("deploy")) {
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

// Servers that start together on one store have one key. A key that another makes
// is known once what was cached is forgotten.
func TestOneKeyForAll(t *testing.T) {
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "test.db"), sqlite.Options{Migrate: true})
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	seal := newSealer(t, keys.NewSeal())
	all := make([]*authority, 6)
	var group sync.WaitGroup
	for i := range all {
		all[i] = &authority{CA: &keys.CA{Store: db, Seal: seal, Now: noon}, db: db, now: noon()}
		group.Go(func() {
			if err := all[i].Open(context.WithoutCancel(t.Context())); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	first := all[0].public(t)
	for _, a := range all {
		wantKeys(t, "another server", a.public(t), first...)
	}
	all[1].rotate(t, time.Hour)
	all[0].Forget()
	wantKeys(t, "forgotten", all[0].public(t), all[1].public(t)...)
}

// counted is a store that knows how often it was asked for the keys.
type counted struct {
	*sqlite.DB
	reads int
}

func (c *counted) CAKeys(ctx context.Context) ([]keys.CAKey, error) {
	c.reads++
	return c.DB.CAKeys(ctx)
}

// Whoever asks for the public keys, and needs no token for it, is no load on the store.
func TestKeysAreCached(t *testing.T) {
	a := newAuthority(t, noon())
	store := &counted{DB: a.db}
	a.Store = store
	for range 1000 {
		a.public(t)
	}
	if store.reads == 0 || store.reads > 100 {
		t.Errorf("1000 questions, and the store was asked %d times", store.reads)
	}
}

// A CA opens with its own seal alone; what an older key has sealed is sealed anew
// when it opens, so that the older one can be given up.
func TestOpenWithAnotherSeal(t *testing.T) {
	a := newAuthority(t, noon())
	before, after := keys.NewSeal(), keys.NewSeal()
	a.Seal = newSealer(t, before)
	a.Forget()
	if err := a.Open(t.Context()); !errors.Is(err, keys.ErrSealKey) {
		t.Errorf("opened with another seal: %v", err)
	}
	if _, err := a.Keys(t.Context()); !errors.Is(err, keys.ErrSealKey) {
		t.Errorf("told a key that can't be opened: %v", err)
	}

	b := newAuthority(t, noon())
	b.Seal = newSealer(t, before)
	b.rotate(t, 0)
	public := b.public(t)
	for _, text := range [][]byte{bytes.Join([][]byte{after, before}, nil), after} {
		b.Seal = newSealer(t, text)
		b.Forget()
		must(t, b.Open(t.Context()))
		wantKeys(t, "opened anew", b.public(t), public...)
	}
}

// A public key that somebody puts into the database, or another key's private half,
// is told to no machine and signs nothing.
func TestKeysAreBoundTogether(t *testing.T) {
	a := newAuthority(t, noon())
	a.rotate(t, time.Hour)
	found, err := a.db.CAKeys(t.Context())
	must(t, err)
	must(t, a.db.ResealCAKey(t.Context(), found[0].ID, found[1].Sealed))
	a.Forget()
	if told, err := a.Keys(t.Context()); !errors.Is(err, keys.ErrSealBroken) {
		t.Errorf("told %v, %v", told, err)
	}
	if signers, err := a.Certify(t.Context(), grant("root")); !errors.Is(err, keys.ErrSealBroken) {
		t.Errorf("signed %v, %v", signers, err)
	}
}

// No private key stands in a file of the store, in any form.
func TestPrivateKeysStayOutOfFiles(t *testing.T) {
	a := newAuthority(t, noon())
	a.rotate(t, time.Hour)
	stored, err := a.db.CAKeys(t.Context())
	must(t, err)
	var secrets []string
	for _, key := range stored {
		seed, err := a.Seal.Open("ca/"+key.ID+"/"+key.PublicKey, key.Sealed)
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
