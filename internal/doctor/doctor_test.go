package doctor

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"database/sql"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/config"
	"sallyport/internal/datadir"
	"sallyport/internal/id"
	"sallyport/internal/keys"
	"sallyport/internal/server"
	"sallyport/internal/store"
	"sallyport/internal/store/sqlite"
	_ "sallyport/test/apart"
)

// canary is an admin token that no finding may show.
const canary = "canary-0123456789-abcdefghijklmnopqrstuvwxyz"

// variables is an environment.
type variables map[string]string

// given is a server's configuration.
type given struct {
	env   variables
	flags map[string]string
}

func (g given) load(t *testing.T) *config.Loaded {
	t.Helper()
	loaded, err := config.Load(config.LoadOptions{
		Env: func(name string) (string, bool) { value, ok := g.env[name]; return value, ok }, Flags: g.flags,
	})
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

func writeFile(t *testing.T, name, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask is
		t.Fatal(err)
	}
	return path
}

// sick is a server's machine that something is wrong with.
type sick struct {
	dir   string // its data directory, which has a store
	given given
}

// TestDoctor: each thing that is wrong is found, and told as it should be.
func TestDoctor(t *testing.T) {
	for _, c := range []struct {
		name   string
		harm   func(t *testing.T, s *sick)
		status Status
		check  string
		words  string
	}{
		{"directory open to others", func(t *testing.T, s *sick) { chmod(t, s.dir, 0o755) },
			StatusWarn, "data directory", "can be read by others"},
		{"directory open to all", func(t *testing.T, s *sick) { chmod(t, s.dir, 0o777) },
			StatusFail, "data directory", "can be written by everyone"},
		{"directory a file", func(t *testing.T, s *sick) { s.given.flags["data_dir"] = filepath.Join(s.dir, "sallyport.db") },
			StatusFail, "data directory", "is not a directory"},
		{"directory below a file", func(t *testing.T, s *sick) { s.given.flags["data_dir"] = filepath.Join(s.dir, "sallyport.db", "x") },
			StatusFail, "data directory", "not a directory"},
		{"database open to others", func(t *testing.T, s *sick) { chmod(t, datadir.DatabaseFile(s.dir), 0o644) },
			StatusWarn, "database", "others than its owner"},
		{"database cut short", func(t *testing.T, s *sick) { truncate(t, datadir.DatabaseFile(s.dir), 8192) },
			StatusFail, "database", "it is corrupt"},
		{"rows from the future", func(t *testing.T, s *sick) { addRow(t, s.dir, time.Now().Add(time.Hour)) },
			StatusFail, "clock", "from the future"},
		{"rows a little ahead", func(t *testing.T, s *sick) { addRow(t, s.dir, time.Now().Add(20*time.Second)) },
			StatusWarn, "clock", "ahead of it"},
		{"open rows", func(t *testing.T, s *sick) { addRow(t, s.dir, time.Now()) },
			StatusWarn, "database", "1 execs were running"},
		{"address taken", func(t *testing.T, s *sick) { s.given.flags["listen"] = takeAddress(t) },
			StatusFail, "address", "taken by another program"},
		{"address of another machine", func(t *testing.T, s *sick) {
			s.given.flags["listen"], s.given.env["SALLYPORT_INSECURE"] = "192.0.2.1:80", "true"
		},
			StatusFail, "address", "192.0.2.1:80"},
		{"held, and nobody answers", func(t *testing.T, s *sick) { hold(t, s.dir); s.given.flags["listen"] = "127.0.0.1:1" },
			StatusWarn, "address", "none answers"},
		{"plain HTTP", func(t *testing.T, s *sick) {
			s.given.flags["listen"], s.given.env["SALLYPORT_INSECURE"] = "0.0.0.0:0", "true"
		},
			StatusWarn, "configuration", "plain HTTP beyond loopback"},
		{"every proxy trusted", func(t *testing.T, s *sick) { s.given.env["SALLYPORT_PROXIES_TRUSTED"] = "0.0.0.0/0" },
			StatusWarn, "configuration", "every caller's X-Forwarded-For"},
		{"token file open to all", func(t *testing.T, s *sick) {
			s.given.env["SALLYPORT_ADMIN_TOKEN_FILE"] = writeFile(t, "token", canary, 0o644)
		}, StatusWarn, "configuration", "can be read by everyone"},
		{"machines of the shared CA", func(t *testing.T, s *sick) { shareCA(t, s.dir) }, StatusWarn, "ssh ca", "alone: acme/far"},
		{"seal not there yet", func(t *testing.T, s *sick) {}, StatusOK, "seal", "the next start makes it"},
		{"seal good", func(t *testing.T, s *sick) { s.seal(t) }, StatusOK, "seal", "opens the private keys"},
		{"seal lost", func(t *testing.T, s *sick) { s.seal(t); removeFile(t, datadir.SealFile(s.dir)) },
			StatusFail, "seal", "is missing, and the database holds private keys"},
		{"seal empty", func(t *testing.T, s *sick) { s.seal(t); truncate(t, datadir.SealFile(s.dir), 0) },
			StatusFail, "seal", "there is no key in it"},
		{"another seal", func(t *testing.T, s *sick) {
			s.seal(t)
			s.given.env["SALLYPORT_KEYS_SEAL_FILE"] = writeFile(t, "seal", string(keys.NewSeal()), 0o600)
		}, StatusFail, "seal", "doesn't open the private keys"},
		{"seal open to all", func(t *testing.T, s *sick) { s.seal(t); chmod(t, datadir.SealFile(s.dir), 0o604) },
			StatusFail, "seal", "everyone on this machine may read the file"},
		{"an address for nobody", func(t *testing.T, s *sick) { s.peers("127.0.0.1:0", "https://192.0.2.5:7443") },
			StatusWarn, "replica", "there are no other servers"},
		{"no address for other servers", func(t *testing.T, s *sick) { s.shareNothing() },
			StatusWarn, "replica", "can't ask this one for what it holds"},
		{"an address that others don't reach", func(t *testing.T, s *sick) { s.shareNothing(); s.peers("127.0.0.1:0", "https://127.0.0.1:0") },
			StatusWarn, "replica", "no other machine reaches that"},
		{"the address for other servers is taken", func(t *testing.T, s *sick) {
			s.shareNothing()
			s.peers(takeAddress(t), "https://192.0.2.5:7443")
		}, StatusFail, "replica", "taken by another program"},
		{"certificate expired", func(t *testing.T, s *sick) { s.certify(t, -time.Hour) }, StatusFail, "tls", "has expired"},
		{"certificate expires soon", func(t *testing.T, s *sick) { s.certify(t, 48*time.Hour) }, StatusWarn, "tls", "in 1 days"},
		{"certificate good", func(t *testing.T, s *sick) { s.certify(t, 1000*time.Hour) }, StatusOK, "tls", "for sallyport.example"},
		{"key of another certificate", func(t *testing.T, s *sick) {
			s.certify(t, 1000*time.Hour)
			key := s.given.env["SALLYPORT_TLS_KEY_FILE"]
			s.certify(t, 1000*time.Hour)
			s.given.env["SALLYPORT_TLS_KEY_FILE"] = key
		}, StatusFail, "tls", "does not match"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &sick{dir: newStore(t), given: given{env: variables{}, flags: map[string]string{"listen": "127.0.0.1:0"}}}
			s.given.flags["data_dir"] = s.dir
			c.harm(t, s)
			found := s.examine(t)
			for _, f := range found {
				if f.Check == c.check && f.Status == c.status && strings.Contains(f.Message, c.words) {
					return
				}
			}
			t.Errorf("want %s %s with %q, found:\n%s", c.status, c.check, c.words, texts(found))
		})
	}
}

// seal makes an organisation, its SSH CA and the seal, as a start does.
func (s *sick) seal(t *testing.T) {
	t.Helper()
	addRow(t, s.dir, time.Now())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	loaded, err := config.Load(config.LoadOptions{Flags: map[string]string{"listen": "127.0.0.1:0", "data_dir": s.dir}})
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Run(ctx, loaded.Config, server.RunOptions{Ready: func(server.Ready) { cancel() }}); err != nil {
		t.Fatal(err)
	}
}

// shareCA makes a store of which the shared CA was given up just now, with a machine.
func shareCA(t *testing.T, dir string) {
	t.Helper()
	addRow(t, dir, time.Now())
	db, err := sql.Open("sqlite", datadir.DatabaseFile(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, statement := range []string{
		`INSERT INTO retired_ca_keys VALUES ('ssh-ed25519 AAAA', 2)`,
		`INSERT INTO workspaces (id, org_id, name, tier, labels, connector, created_at, updated_at) SELECT 'w', id, 'far', 3, '{}', '{"type":"ssh"}', 1, 1 FROM orgs`,
	} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
}

func removeFile(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// TestDoctorSecretInFile: a configuration with a token in it is a secret, too.
func TestDoctorSecretInFile(t *testing.T) {
	file := writeFile(t, "config.yaml", "data_dir: "+newStore(t)+"\nlisten: 127.0.0.1:0\nadmin_token: "+canary+"\n", 0o644)
	loaded, err := config.Load(config.LoadOptions{File: file})
	if err != nil {
		t.Fatal(err)
	}
	found := texts(Examine(t.Context(), loaded, Options{}))
	if !strings.Contains(found, "warn configuration: the configuration, which holds admin_token, "+file) || strings.Contains(found, canary) {
		t.Errorf("found:\n%s", found)
	}
}

// TestDoctorChangesNothing: nothing is there afterwards that was not before, and
// nothing else than it was.
func TestDoctorChangesNothing(t *testing.T) {
	s := &sick{dir: newStore(t)}
	s.given = given{flags: map[string]string{"listen": "127.0.0.1:0", "data_dir": s.dir}}
	before := listing(t, s.dir)
	for _, f := range s.examine(t) {
		if f.Status == StatusFail {
			t.Errorf("%+v", f)
		}
	}
	if after := listing(t, s.dir); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// TestDoctorLooksOnly: a start doesn't fail because a doctor looks at its lock.
func TestDoctorLooksOnly(t *testing.T) {
	dir := newStore(t)
	looking := make(chan struct{})
	looked := make(chan struct{})
	go func() {
		defer close(looked)
		for {
			select {
			case <-looking:
				return
			default:
				if _, _, err := datadir.Holder(dir); err != nil {
					t.Error(err)
				}
			}
		}
	}()
	for range 20 {
		held, err := datadir.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if is, pid, err := datadir.Holder(dir); !is || pid != os.Getpid() || err != nil {
			t.Fatalf("held %v by %d, %v", is, pid, err)
		}
		if err := held.Close(); err != nil {
			t.Fatal(err)
		}
	}
	close(looking)
	<-looked
}

// peers sets where other servers reach this one.
func (s *sick) peers(listen, url string) {
	s.given.env["SALLYPORT_REPLICA_LISTEN"], s.given.env["SALLYPORT_REPLICA_URL"] = listen, url
}

// shareNothing has the records in a PostgreSQL that isn't there.
func (s *sick) shareNothing() { s.given.env["SALLYPORT_STORE_URL"] = "postgres://127.0.0.1:1/none" }

func (s *sick) examine(t *testing.T) []Finding {
	t.Helper()
	found := Examine(t.Context(), s.given.load(t), Options{Version: "v1.2.3"})
	if text := texts(found); strings.Contains(text, canary) {
		t.Errorf("a secret is told:\n%s", text)
	}
	return found
}

// certify gives the server a certificate of its own making.
func (s *sick) certify(t *testing.T, left time.Duration) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"sallyport.example"},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(left),
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"SALLYPORT_TLS_CERT_FILE": {Type: "CERTIFICATE", Bytes: cert}, "SALLYPORT_TLS_KEY_FILE": {Type: "PRIVATE KEY", Bytes: private},
	} {
		s.given.env[name] = writeFile(t, "pem", string(pem.EncodeToMemory(block)), 0o600)
	}
}

// newStore makes a data directory with a store without records.
func newStore(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	if _, _, err := server.Migrate(t.Context(), config.Config{DataDir: dir}); err != nil {
		t.Fatal(err)
	}
	return dir
}

// addRow adds an organisation and a row of an exec that runs, begun at a time.
func addRow(t *testing.T, dir string, at time.Time) {
	t.Helper()
	db, err := sqlite.Open(t.Context(), datadir.DatabaseFile(dir), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	org := store.Org{ID: id.New(), Name: "acme", CreatedAt: at}
	row := &store.Activity{Activity: sallyport.Activity{
		ID: id.New(), OrgID: org.ID, Type: sallyport.ActivityExec, Status: sallyport.StatusRunning, CreatedAt: at,
	}}
	if err := db.CreateOrg(t.Context(), org, store.ActivityChange{Row: row}); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func hold(t *testing.T, dir string) {
	t.Helper()
	held, err := datadir.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { held.Close() })
}

func takeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return listener.Addr().String()
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func truncate(t *testing.T, path string, size int64) {
	t.Helper()
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
}

func texts(found []Finding) string {
	var b strings.Builder
	for _, f := range found {
		b.WriteString(string(f.Status) + " " + f.Check + ": " + f.Message + " (" + f.Hint + ")\n")
	}
	return b.String()
}

// listing tells all that a directory holds, and when it was last changed.
func listing(t *testing.T, dir string) string {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString(info.Name() + " " + info.Mode().String() + " " + info.ModTime().String() + "\n")
	}
	return b.String()
}
