package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"sallyport/internal/identity"
	"sallyport/internal/keys"
	"sallyport/internal/principal"
	_ "sallyport/test/apart"
)

// TestLoadErrors holds the whole sentence of every refusal; FILE is the path of
// the configuration file.
func TestLoadErrors(t *testing.T) {
	for _, c := range []struct {
		name  string
		given given
		want  string
	}{
		{"bool", given{env: variables{"SALLYPORT_INSECURE": "yes"}},
			`insecure is "yes" (environment SALLYPORT_INSECURE): it takes true or false`},
		{"duration", given{flags: map[string]string{"drain_timeout": "soon"}},
			`drain_timeout is "soon" (flag --drain-timeout): it takes a duration, such as 30s, 5m or 250ms`},
		{"duration without unit", given{flags: map[string]string{"drain_timeout": "30"}},
			`drain_timeout is "30" (flag --drain-timeout): a duration needs a unit, such as 30s, 5m or 250ms`},
		{"zero without unit", given{flags: map[string]string{"drain_timeout": "0"}},
			`drain_timeout is "0" (flag --drain-timeout): a duration needs a unit, such as 30s, 5m or 250ms`},
		{"empty duration", given{flags: map[string]string{"drain_timeout": ""}},
			`drain_timeout is "" (flag --drain-timeout): it takes a duration, such as 30s, 5m or 250ms`},
		{"duration without unit in the file", given{file: "\ndrain_timeout: 30\n"},
			`drain_timeout is "30" (file FILE, line 2): a duration needs a unit, such as 30s, 5m or 250ms`},
		{"negative duration", given{flags: map[string]string{"drain_timeout": "-1s"}},
			`drain_timeout is "-1s" (flag --drain-timeout): it takes 0s to 24h0m0s`},
		{"no execs", given{env: variables{"SALLYPORT_LIMITS_RUNNING_EXECS": "0"}},
			`limits.running_execs is "0" (environment SALLYPORT_LIMITS_RUNNING_EXECS): it takes an integer from 1 to 1000000`},
		{"a number in words", given{file: "limits: {running_execs_per_workspace: many}"},
			`limits.running_execs_per_workspace takes a number, not a string (file FILE, line 1)`},
		{"no time to connect", given{env: variables{"SALLYPORT_LIMITS_CONNECT_TIMEOUT": "0s"}},
			`limits.connect_timeout is "0s" (environment SALLYPORT_LIMITS_CONNECT_TIMEOUT): it takes 1ms to 10m0s`},
		{"endless grace", given{file: "limits:\n  output_grace: 2h\n"},
			`limits.output_grace is "2h" (file FILE, line 2): it takes 1ms to 1m0s`},
		{"listen without port", given{flags: map[string]string{"listen": "8080"}},
			`listen is "8080" (flag --listen): it takes HOST:PORT, such as 127.0.0.1:8080`},
		{"listen on nothing", given{flags: map[string]string{"listen": ""}},
			`listen is "" (flag --listen): it takes HOST:PORT, such as 127.0.0.1:8080`},
		{"bare IPv6", given{flags: map[string]string{"listen": "::1:8080"}},
			`listen is "::1:8080" (flag --listen): it takes HOST:PORT, such as 127.0.0.1:8080`},
		{"port by name", given{flags: map[string]string{"listen": "127.0.0.1:http"}},
			`listen is "127.0.0.1:http" (flag --listen): the port is a number from 0 to 65535`},
		{"port too large", given{flags: map[string]string{"listen": "127.0.0.1:65536"}},
			`listen is "127.0.0.1:65536" (flag --listen): the port is a number from 0 to 65535`},
		{"proxy", given{env: variables{"SALLYPORT_PROXIES_TRUSTED": "10.0.0.1,proxy"}},
			`proxies.trusted is "10.0.0.1,proxy" (environment SALLYPORT_PROXIES_TRUSTED): "proxy" is no address and no network; they look like 192.0.2.5 and 192.0.2.128/25`},
		{"proxy left empty", given{env: variables{"SALLYPORT_PROXIES_TRUSTED": "10.0.0.1,"}},
			`proxies.trusted is "10.0.0.1," (environment SALLYPORT_PROXIES_TRUSTED): "" is no address and no network; they look like 192.0.2.5 and 192.0.2.128/25`},
		{"proxy with a zone", given{file: "proxies.trusted: ['fe80::1%eth0']"},
			`proxies.trusted is "fe80::1%eth0" (file FILE, line 1): "fe80::1%eth0" is no address and no network; they look like 192.0.2.5 and 192.0.2.128/25`},
		{"address for a network", given{file: "proxies.trusted: [10.1.2.3/8]"},
			`proxies.trusted is "10.1.2.3/8" (file FILE, line 1): "10.1.2.3/8" is an address within a network: write 10.1.2.3 or 10.0.0.0/8`},
		{"log level", given{env: variables{"SALLYPORT_LOG_LEVEL": "loud"}},
			`log.level is "loud" (environment SALLYPORT_LOG_LEVEL): it takes debug, info, warn or error`},
		{"log format", given{file: "log.format: xml"},
			`log.format is "xml" (file FILE, line 1): it takes text or json`},
		{"store", given{env: variables{"SALLYPORT_STORE_URL": "mysql://u:" + canary + "@h/d"}},
			`store.url (environment SALLYPORT_STORE_URL): it takes a postgres:// URL, or nothing for SQLite in data_dir`},
		{"no data directory", given{flags: map[string]string{"data_dir": ""}},
			`data_dir is "" (flag --data-dir): it takes a directory`},
		{"dev without a home", given{mode: ModeDev},
			`data_dir has no default, since neither XDG_DATA_HOME nor HOME is set: choose a directory with --data-dir`},
		{"dev beyond loopback", given{mode: ModeDev, env: home(), flags: map[string]string{"listen": "0.0.0.0:80"}},
			`listen is "0.0.0.0:80" (flag --listen): dev serves this machine alone: it takes a loopback address, such as 127.0.0.1:8080`},
		{"dev with a file", given{mode: ModeDev, env: home(), file: "listen: 127.0.0.1:1"},
			`dev takes no configuration file: use flags or the environment`},
		{"certificate alone", given{env: variables{"SALLYPORT_TLS_CERT_FILE": "/c"}},
			`tls.cert_file is "/c" (environment SALLYPORT_TLS_CERT_FILE): it goes with tls.key_file, which is not set`},
		{"key alone", given{file: "tls: {key_file: /k}"},
			`tls.key_file is "/k" (file FILE, line 1): it goes with tls.cert_file, which is not set`},
		{"certificate missing", given{file: "tls: {cert_file: /nowhere/c, key_file: /nowhere/k}"},
			`tls.cert_file is "/nowhere/c" (file FILE, line 1): the file can't be read: no such file or directory`},
		{"certificate a directory", given{file: "tls: {cert_file: /, key_file: /nowhere/k}"},
			`tls.cert_file is "/" (file FILE, line 1): the file can't be read: not a regular file`},
		{"admin token short", given{env: variables{"SALLYPORT_ADMIN_TOKEN": "tiny"}},
			`admin_token (environment SALLYPORT_ADMIN_TOKEN): 4 characters are too few, it takes at least 32`},
		{"admin token with a blank", given{file: "admin_token: " + canary + " x"},
			`admin_token (file FILE, line 1): only visible ASCII characters are allowed`},
		{"admin token mistyped", given{env: variables{"SALLYPORT_ADMIN_TOKEN": "sp_adm_" + canary}},
			`admin_token (environment SALLYPORT_ADMIN_TOKEN): it begins with sp_, but its checksum is wrong: a character was lost or mistyped`},
		{"admin token twice", given{file: "admin_token: " + canary, env: variables{"SALLYPORT_ADMIN_TOKEN_FILE": "/t"}},
			`admin_token (file FILE, line 1) and admin_token_file (environment SALLYPORT_ADMIN_TOKEN_FILE) are both set: keep one`},
		{"overlap too short", given{env: variables{"SALLYPORT_KEYS_CA_OVERLAP": "1s"}},
			`keys.ca_overlap is "1s" (environment SALLYPORT_KEYS_CA_OVERLAP): it takes 1m0s to 8760h0m0s`},
		{"seal missing", given{file: "keys.seal_file: /nowhere/seal"},
			`keys.seal_file is "/nowhere/seal" (file FILE, line 1): the file can't be read: no such file or directory`},
		{"seal a directory", given{mode: ModeDev, env: variables{"HOME": "/", "SALLYPORT_KEYS_SEAL_FILE": "/"}},
			`keys.seal_file is "/" (environment SALLYPORT_KEYS_SEAL_FILE): the file can't be read: not a regular file`},
		{"overridden, but wrong", given{file: "log.level: loud", flags: map[string]string{"log.level": "info"}},
			`log.level is "loud" (file FILE, line 1): it takes debug, info, warn or error`},
		{"flag of nobody", given{flags: map[string]string{"admin_token": canary}},
			`admin_token is no flag of server`},
		{"flag of no key", given{flags: map[string]string{"bogus": "1"}},
			`bogus is no flag of server`},
		{"flag of the server", given{mode: ModeDev, env: home(), flags: map[string]string{"insecure": "true"}},
			`insecure is no flag of dev`},
		{"replica.listen alone", given{env: variables{"SALLYPORT_REPLICA_LISTEN": "192.0.2.5:7443"}},
			`replica.listen is "192.0.2.5:7443" (environment SALLYPORT_REPLICA_LISTEN): it goes with replica.url, which is not set`},
		{"replica.url alone", given{env: variables{"SALLYPORT_REPLICA_URL": "https://192.0.2.5:7443"}},
			`replica.url is "https://192.0.2.5:7443" (environment SALLYPORT_REPLICA_URL): it goes with replica.listen, which is not set`},
		{"replica.listen without a port", given{env: variables{"SALLYPORT_REPLICA_LISTEN": "192.0.2.5"}},
			`replica.listen is "192.0.2.5" (environment SALLYPORT_REPLICA_LISTEN): it takes HOST:PORT, such as 192.0.2.5:7443`},
		{"replica.url in the clear", given{env: variables{"SALLYPORT_REPLICA_URL": "http://192.0.2.5:7443"}},
			`replica.url is "http://192.0.2.5:7443" (environment SALLYPORT_REPLICA_URL): it takes https://, a host and a port, such as https://192.0.2.5:7443`},
		{"replica.url with a path", given{env: variables{"SALLYPORT_REPLICA_URL": "https://192.0.2.5:7443/"}},
			`replica.url is "https://192.0.2.5:7443/" (environment SALLYPORT_REPLICA_URL): it takes https://, a host and a port, such as https://192.0.2.5:7443`},
		{"replica.listen of dev beyond this machine", given{mode: ModeDev, env: variables{
			"HOME": "/home/me", "SALLYPORT_REPLICA_LISTEN": "0.0.0.0:7443", "SALLYPORT_REPLICA_URL": "https://192.0.2.5:7443",
		}}, `replica.listen is "0.0.0.0:7443" (environment SALLYPORT_REPLICA_LISTEN): dev serves this machine alone: it takes a loopback address, such as 127.0.0.1:8080`},
		{"blanks and controls in a value", given{env: variables{"SALLYPORT_LOG_LEVEL": "lo\x1b[31mud"}},
			`log.level is "lo"… (environment SALLYPORT_LOG_LEVEL): it takes debug, info, warn or error`},
		{"a long value", given{env: variables{"SALLYPORT_LOG_LEVEL": strings.Repeat("é", 99)}},
			`log.level is "` + strings.Repeat("é", 50) + `"… (environment SALLYPORT_LOG_LEVEL): it takes debug, info, warn or error`},
	} {
		t.Run(c.name, func(t *testing.T) { checkError(t, c.given, c.want) })
	}
}

func checkError(t *testing.T, g given, want string) {
	t.Helper()
	loaded, path, err := g.load(t)
	if err == nil {
		t.Fatalf("loaded %+v", loaded)
	}
	if got := strings.ReplaceAll(err.Error(), "file "+path, "file FILE"); path != "" && got != want || path == "" && err.Error() != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	if strings.Contains(err.Error(), canary) {
		t.Error("the error shows a secret")
	}
}

// TestLoadURLs: a URL that may hold a password is never shown, whatever is wrong with it.
func TestLoadURLs(t *testing.T) {
	const bus = "bus.url (environment SALLYPORT_BUS_URL): it takes nats:// or tls:// URLs, comma-separated, or nothing for a NATS server within this one"
	const stored = "store.url (environment SALLYPORT_STORE_URL): it takes a postgres:// URL, or nothing for SQLite in data_dir"
	for _, url := range []string{canary, "http://" + canary + "@h", "nats://u:" + canary + "@h,http://h", "nats://" + canary + "@h:x", "nats://", ","} {
		checkError(t, given{env: variables{"SALLYPORT_BUS_URL": url}}, bus)
	}
	for _, url := range []string{canary, "mysql://" + canary + "@h", "postgres:" + canary} {
		checkError(t, given{env: variables{"SALLYPORT_STORE_URL": url}}, stored)
	}
	for _, v := range []variables{
		{"SALLYPORT_BUS_URL": "nats://u:p@a:4222,tls://b"}, {"SALLYPORT_BUS_URL": ""},
		{"SALLYPORT_REPLICA_LISTEN": ":7443", "SALLYPORT_REPLICA_URL": "https://[2001:db8::5]:7443"},
		{"SALLYPORT_STORE_URL": "postgres://u:p@h/d"}, {"SALLYPORT_STORE_URL": "PostgreSQL://h/d"},
	} {
		if _, _, err := (given{env: v}).load(t); err != nil {
			t.Errorf("%v: %v", v, err)
		}
	}
}

func TestLoadEICWithoutEffect(t *testing.T) {
	env := variables{"HOME": "/", "SALLYPORT_EIC_TUNNEL_ENDPOINT": "ws://127.0.0.1:9", "SALLYPORT_EIC_REGION": "us-east-2"}
	for _, mode := range []Mode{ModeServer, ModeDev} {
		loaded, _, err := given{mode: mode, env: env}.load(t)
		if err != nil {
			t.Fatal(err)
		}
		shown := fmt.Sprint(loaded.Settings())
		for _, want := range []string{
			"{eic.tunnel_endpoint ws://127.0.0.1:9 environment SALLYPORT_EIC_TUNNEL_ENDPOINT}",
			"{eic.region us-east-2 environment SALLYPORT_EIC_REGION}",
		} {
			if !strings.Contains(shown, want) {
				t.Errorf("%s shows no %s", mode, want)
			}
		}
	}
}

// TestLoadSealFileErrors: what opens every private key in the store is its owner's and
// its group's, as ssh has it of a private key.
func TestLoadSealFileErrors(t *testing.T) {
	for mode, want := range map[os.FileMode]string{
		0o604: "everyone on this machine may read the file (mode 0604): take that away with chmod o-r FILE",
		0o602: "everyone on this machine may write the file (mode 0602): take that away with chmod o-w FILE",
	} {
		path := writeFile(t, "seal", string(keys.NewSeal()), mode)
		checkError(t, given{env: variables{"SALLYPORT_KEYS_SEAL_FILE": path}},
			fmt.Sprintf("keys.seal_file is %q (environment SALLYPORT_KEYS_SEAL_FILE): %s", path, want))
	}
}

// TestLoadStoreURL: of a URL that can't be read nothing is shown.
func TestLoadStoreURL(t *testing.T) {
	for _, url := range []string{
		"postgres://sallyport:" + canary + "/x@localhost/db", "postgres://sallyport:x@" + canary + "/y@localhost/db",
		"postgresql://sallyport:x@" + canary + "?y@localhost/db", "postgres://sallyport:x@" + canary + "#y@localhost/db",
	} {
		checkError(t, given{env: variables{"SALLYPORT_STORE_URL": url}},
			"store.url (environment SALLYPORT_STORE_URL): the database's URL can't be read: behind its host is an @. "+
				"In a password write @ as %40, / as %2F, ? as %3F, # as %23 and % as %25 (the URL isn't shown here, since it may hold a password)")
	}
}

func TestLoadAdminTokenFileErrors(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, path, want string }{
		{"missing", "/nowhere", "the file can't be read: no such file or directory"},
		{"a directory", t.TempDir(), "the file can't be read: not a regular file"},
		{"a pipe that nobody writes", pipe, "the file can't be read: not a regular file"},
		{"writable by everyone", writeFile(t, "t", canary, 0o602),
			"everyone on this machine may write the file (mode 0602): take that away with chmod o-w FILE"},
		{"empty", writeFile(t, "t", "\n", 0o600), "the token in it: 0 characters are too few, it takes at least 32"},
		{"two lines", writeFile(t, "t", canary+"\n"+canary+"\n", 0o600), "the token in it: only visible ASCII characters are allowed"},
		{"mistyped", writeFile(t, "t", identity.Mint(principal.Admin).Secret+"x", 0o600),
			"the token in it: it begins with sp_, but its checksum is wrong: a character was lost or mistyped"},
		{"large", writeFile(t, "t", strings.Repeat("x", 5000), 0o600), "the file is larger than 4096 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			checkError(t, given{env: variables{"SALLYPORT_ADMIN_TOKEN_FILE": c.path}},
				fmt.Sprintf("admin_token_file is %q (environment SALLYPORT_ADMIN_TOKEN_FILE): %s", c.path, c.want))
		})
	}
}

func TestLoadFileErrors(t *testing.T) {
	large := writeFile(t, "large", strings.Repeat("# comment\n", fileBytesMax/10+1), 0o600)
	for path, want := range map[string]string{
		"/nowhere":  "configuration file /nowhere can't be read: no such file or directory",
		"/":         "configuration file / can't be read: is a directory",
		large:       "configuration file " + large + " can't be read: it is larger than 64 KiB",
		"/dev/zero": "configuration file /dev/zero can't be read: it is larger than 64 KiB",
	} {
		if _, err := Load(LoadOptions{File: path}); err == nil || err.Error() != want {
			t.Errorf("%s: %v", path, err)
		}
	}
	if os.Getuid() == 0 {
		return // root reads whatever the mode is
	}
	secret := writeFile(t, "secret", "", 0)
	want := "configuration file " + secret + " can't be read: permission denied"
	if _, err := Load(LoadOptions{File: secret}); err == nil || err.Error() != want {
		t.Errorf("%v", err)
	}
}
