// Package pg runs a real PostgreSQL server for tests: on loopback, on a port of its
// own, with a directory of its own that goes when it does. It never touches the
// system's. It needs Debian's postgresql (scripts/setup installs it); a test is
// skipped without it, but not in CI.
package pg

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	_ "sallyport/test/apart"
	"sallyport/test/loopback"
	"sallyport/test/scratch"
)

const (
	// superuser owns the server, and only this package and tests of permissions use it.
	superuser = "postgres"
	// login is whom the tests' URLs name. It may make roles and owns its databases,
	// and is no superuser: to those row-level security doesn't apply.
	login = "tester"
	// Password is that of both, and stands in the URLs. It looks like nothing else, so
	// that a test can look for it where it must not be.
	Password = "pw-Zk3v9Qx7Lm" //nolint:gosec // of a server that lives as long as a test

	// startTime bounds the start of a server, recovery from a crash included.
	startTime = 30 * time.Second
	// stopTime bounds its stop.
	stopTime = 20 * time.Second
	// adminTime bounds a statement of the superuser's.
	adminTime = 20 * time.Second
)

// Server is a PostgreSQL server. Its methods are for one goroutine at a time,
// Database for many.
type Server struct {
	// Addr is where it listens, 127.0.0.1:PORT.
	Addr string

	dir      string
	bin      string
	settings []string
	// databases counts those that were made, so that each has a name of its own.
	databases atomic.Int64

	mu sync.Mutex // guards the fields below
	// template is the database of which Copy makes others.
	template string

	// alive keeps the server up; when it is closed, as it is at the latest when this
	// process ends in whatever way, the server is killed.
	alive io.Closer
	ended chan struct{}
	log   *os.File
}

// shared is the server that the tests of this process have in common.
var shared struct {
	mu     sync.Mutex
	server *Server
}

// Main wraps a test binary's tests: the server that Start made ends after them. Its
// Run is to be called by TestMain, or by goleak.VerifyTestMain there.
func Main(m interface{ Run() int }) interface{ Run() int } { return mainRun{m} }

type mainRun struct{ tests interface{ Run() int } }

// Run runs the tests and returns the exit code.
func (m mainRun) Run() int {
	code := m.tests.Run()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.server == nil {
		return code
	}
	if err := shared.server.end(); err != nil {
		fmt.Fprintf(os.Stderr, "end PostgreSQL: %v\n", err)
		return max(code, 1)
	}
	shared.server = nil
	return code
}

// Start returns the server that the tests of this process have in common, and starts
// it for the first of them. Main ends it.
func Start(t testing.TB) *Server {
	t.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.server == nil {
		shared.server = start(t)
	}
	return shared.server
}

// StartOwn starts a server for this test alone, which ends with it: for tests that
// break it, and for those that look at what all databases of a server share. Settings,
// NAME=VALUE, are more of its configuration.
func StartOwn(t testing.TB, settings ...string) *Server {
	t.Helper()
	s := start(t, settings...)
	t.Cleanup(func() {
		if err := s.end(); err != nil {
			t.Errorf("end PostgreSQL: %v", err)
		}
	})
	return s
}

func start(t testing.TB, settings ...string) *Server {
	t.Helper()
	bin, err := programs()
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	dir, err := os.MkdirTemp(scratch.Dir(), "pg-") // not t.TempDir, which another account can't enter
	if err != nil {
		t.Fatal(err)
	}
	if _, isBench := t.(*testing.B); !isBench {
		// What a process has written outlives it, however that ends; only the machine's own
		// crash would lose it, which no test makes.
		settings = append([]string{"fsync=off", "full_page_writes=off"}, settings...)
	}
	s := &Server{dir: dir, bin: bin, settings: settings}
	if err := s.create(); err != nil {
		t.Fatal(errors.Join(err, os.RemoveAll(dir)))
	}
	if err := s.run(); err != nil {
		t.Fatal(errors.Join(err, s.end()))
	}
	secret, err := scramSecret()
	if err == nil {
		err = s.admin("postgres", `ALTER ROLE `+superuser+` PASSWORD '`+secret+`'`, `CREATE ROLE `+login+` LOGIN CREATEROLE PASSWORD '`+secret+`'`)
	}
	if err != nil {
		t.Fatal(errors.Join(err, s.end()))
	}
	return s
}

// scramSecret is what PostgreSQL keeps of Password (RFC 5803), of one iteration in place of
// 4,096: tests log in by the thousands, and nobody steals theirs.
func scramSecret() (string, error) {
	const iterations = 1
	salt := []byte("a salt of tests.")
	salted, err := pbkdf2.Key(sha256.New, Password, salt, iterations, sha256.Size)
	if err != nil {
		return "", err
	}
	keyOf := func(text string) []byte {
		mac := hmac.New(sha256.New, salted)
		mac.Write([]byte(text))
		return mac.Sum(nil)
	}
	stored := sha256.Sum256(keyOf("Client Key"))
	encode := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", iterations, encode(salt), encode(stored[:]), encode(keyOf("Server Key"))), nil
}

// programs finds the newest PostgreSQL of this machine, 15 at least.
func programs() (string, error) {
	const oldest = 15
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil {
		return "", err
	}
	newest, dir := 0, ""
	for _, path := range found {
		version, err := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
		if err == nil && version >= oldest && version > newest {
			newest, dir = version, filepath.Dir(path)
		}
	}
	if newest == 0 {
		return "", fmt.Errorf("PostgreSQL %d or newer is not installed: scripts/setup does it", oldest)
	}
	return dir, nil
}

// create makes the server's files.
func (s *Server) create() error {
	addr, err := loopback.FreeAddr()
	if err != nil {
		return err
	}
	s.Addr = addr
	account, err := unprivileged()
	if err != nil {
		return err
	}
	password := filepath.Join(s.dir, "password")
	if err := os.WriteFile(password, []byte(Password), 0o600); err != nil {
		return err
	}
	for _, path := range []string{s.dir, password} {
		if err := account.own(path); err != nil {
			return err
		}
	}
	cmd := exec.Command(filepath.Join(s.bin, "initdb"), "--pgdata", s.data(), "--username", superuser, "--pwfile", password,
		"--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync")
	cmd.Dir, cmd.SysProcAttr = s.dir, account.attributes()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return nil
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// URL is the address of a database for the tests' login role.
func (s *Server) URL(database string) string { return s.url(login, database) }

// SuperuserURL is the address of a database for the superuser.
func (s *Server) SuperuserURL(database string) string { return s.url(superuser, database) }

func (s *Server) url(user, database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(user, Password), Host: s.Addr, Path: "/" + database, RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Database makes a database for a test, which is dropped when it ends, and returns its
// URL for a login role that owns it and may make roles.
func (s *Server) Database(t testing.TB) string { return s.database(t, "") }

// Copy is Database for one that is as fill leaves it, which is called once for a server,
// with the URL of an empty one, and must leave no connection to it.
func (s *Server) Copy(t testing.TB, fill func(url string) error) string {
	t.Helper()
	return s.database(t, ` TEMPLATE `+s.filled(t, fill))
}

func (s *Server) filled(t testing.TB, fill func(url string) error) string {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.template == "" {
		const name = "test_template"
		if err := s.admin("postgres", `CREATE DATABASE `+name+` OWNER `+login); err != nil {
			t.Fatal(err)
		}
		if err := fill(s.URL(name)); err != nil {
			t.Fatal(err)
		}
		s.template = name
	}
	return s.template
}

func (s *Server) database(t testing.TB, like string) string {
	t.Helper()
	name := fmt.Sprintf("test_%d", s.databases.Add(1))
	if err := s.admin("postgres", `CREATE DATABASE `+name+` OWNER `+login+` STRATEGY file_copy`+like); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !s.isUp() {
			return // it goes with the server
		}
		if err := s.admin("postgres", `DROP DATABASE `+name+` WITH (FORCE)`); err != nil {
			t.Errorf("drop database: %v", err)
		}
	})
	return s.URL(name)
}

// Admin runs statements as the superuser in the database that a URL names.
func (s *Server) Admin(t testing.TB, databaseURL string, statements ...string) {
	t.Helper()
	u, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal("the URL can't be parsed")
	}
	if err := s.admin(strings.TrimPrefix(u.Path, "/"), statements...); err != nil {
		t.Fatal(err)
	}
}

func (s *Server) admin(database string, statements ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), adminTime)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.SuperuserURL(database))
	if err != nil {
		return err
	}
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return errors.Join(fmt.Errorf("%s: %w", statement, err), conn.Close(ctx))
		}
	}
	return conn.Close(ctx)
}
