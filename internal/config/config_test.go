package config

import (
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/identity"
	"sallyport/internal/keys"
	"sallyport/internal/limits"
	"sallyport/internal/principal"
)

// canary is an admin token that no error and no setting may show.
const canary = "canary-0123456789-abcdefghijklmnopqrstuvwxyz"

// variables is an environment.
type variables map[string]string

func (v variables) lookup(name string) (string, bool) {
	value, ok := v[name]
	return value, ok
}

// given is a configuration as a test writes it down.
type given struct {
	mode  Mode
	file  string // what is in it; no file when empty
	env   variables
	flags map[string]string
}

// load loads what is given. %s in what it returns stands for the file's path.
func (g given) load(t *testing.T) (*Loaded, string, error) {
	t.Helper()
	o := LoadOptions{Mode: g.mode, Env: g.env.lookup, Flags: g.flags}
	if g.file != "" {
		o.File = writeConfig(t, g.file)
	}
	loaded, err := Load(o)
	return loaded, o.File, err
}

func writeConfig(t *testing.T, text string) string {
	t.Helper()
	return writeFile(t, "config.yaml", text, 0o600)
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

// home is the least that dev needs.
func home() variables { return variables{"HOME": "/home/ann"} }

func TestLoadDefaults(t *testing.T) {
	want := Config{
		Listen:       "127.0.0.1:8080",
		DataDir:      "/var/lib/sallyport",
		Store:        StoreConfig{Migrate: true},
		Keys:         KeysConfig{CAOverlap: limits.CAOverlap},
		EIC:          EICConfig{TunnelDuration: limits.TunnelDuration},
		DrainTimeout: limits.DrainTime,
		Limits: LimitsConfig{ConnectTimeout: limits.ConnectTime, OutputGrace: limits.OutputGrace, Orgs: sallyport.OrgLimits{
			RunningExecs: limits.RunningExecs, RunningExecsPerWorkspace: limits.RunningExecsPerWorkspace, RequestsPerS: limits.RequestsPerS, RequestBurst: limits.RequestBurst,
			OrgRequestsPerS: limits.OrgRequestsPerS, OrgRequestBurst: limits.OrgRequestBurst, Tokens: limits.Tokens, Workspaces: limits.Workspaces,
			AttachmentBytes: limits.AttachmentBytes, AttachmentsBytes: limits.AttachmentsBytes,
			RunningForwards: limits.RunningForwards, RunningForwardsPerWorkspace: limits.RunningForwardsPerWorkspace,
			RunningTerminals: limits.RunningTerminals, RunningTerminalsPerWorkspace: limits.RunningTerminalsPerWorkspace,
		}, RunningFiles: limits.RunningFiles, RunningFilesPerWorkspace: limits.RunningFilesPerWorkspace, EventStreamsPerToken: limits.EventStreamsPerToken, EventStreams: limits.EventStreams, BufferedOutputBytes: limits.BufferedOutputBytes},
		Terminals:  TerminalsConfig{Resume: limits.TerminalResume},
		Recordings: RecordingsConfig{Retention: limits.RecordingRetention, BytesMax: limits.RecordingBytesMax},
		Log:        LogConfig{Level: slog.LevelInfo, Format: "json"},
	}
	checkConfig(t, given{}, want)

	want.Limits.Orgs.RequestsPerS, want.Limits.Orgs.OrgRequestsPerS = 0, 0
	want.Mode, want.DataDir, want.LocalEnabled, want.Log.Format = ModeDev, "/home/ann/.local/share/sallyport/dev", true, "text"
	checkConfig(t, given{mode: ModeDev, env: home()}, want)

	if _, err := Load(LoadOptions{}); err != nil {
		t.Errorf("with no environment at all: %v", err)
	}
}

func checkConfig(t *testing.T, g given, want Config) {
	t.Helper()
	loaded, _, err := g.load(t)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%+v", loaded.Config); got != fmt.Sprintf("%+v", want) {
		t.Errorf("%s:\n got %s\nwant %+v", g.mode, got, want)
	}
}

func TestLoadEveryKey(t *testing.T) {
	file := writeFile(t, "cert.pem", "x", 0o644)
	seal := writeFile(t, "seal.key", string(keys.NewSeal()), 0o600)
	text := strings.ReplaceAll(`
listen: 0.0.0.0:443
tls: {cert_file: FILE, key_file: FILE}
insecure: true
proxies:
  trusted: [10.0.0.5, 10.1.0.0/16, "2001:db8::/32", "::ffff:10.2.0.0/112"]
data_dir: /srv/sallyport
store.url: ""
store.migrate: false
keys: {seal_file: SEAL, ca_overlap: 24h}
admin_token: `+canary+`
connectors.local: {enabled: true}
eic: {tunnel_endpoint: "ws://127.0.0.1:9", region: us-east-2, tunnel_duration: 10m}
limits.connect_timeout: 3s
limits.output_grace: 1s
limits: {running_execs: 7, running_execs_per_workspace: 6, requests_per_s: 5, request_burst: 4, org_requests_per_s: 9, org_request_burst: 8, tokens: 11, workspaces: 12, attachment_bytes: 15, attachments_bytes: 16, running_forwards: 17, running_forwards_per_workspace: 18, running_terminals: 19, running_terminals_per_workspace: 20, running_files: 14, running_files_per_workspace: 13, event_streams_per_token: 3, event_streams: 2, buffered_output_bytes: 100000000}
drain_timeout: 1m
terminals.resume: 90s
recordings: {dir: /srv/recordings, retention: 48h, bytes_max: 65536}
log: {level: debug, format: text}
`, "FILE", file)
	text = strings.ReplaceAll(text, "SEAL", seal)
	hash := sha256.Sum256([]byte(canary))
	loaded, _, err := given{file: text}.load(t)
	if err != nil {
		t.Fatal(err)
	}
	got := loaded.Config
	if got.AdminTokenHash == nil || *got.AdminTokenHash != hash {
		t.Error("the hash of the admin token is wrong")
	}
	got.AdminTokenHash = nil
	want := Config{
		Listen:         "0.0.0.0:443",
		TLS:            TLSFiles{file, file},
		Insecure:       true,
		ProxiesTrusted: networks("10.0.0.5/32", "10.1.0.0/16", "2001:db8::/32", "10.2.0.0/16"),
		DataDir:        "/srv/sallyport",
		Keys:           KeysConfig{seal, 24 * time.Hour},
		LocalEnabled:   true,
		EIC:            EICConfig{got.EIC.TunnelEndpoint, "us-east-2", 10 * time.Minute},
		DrainTimeout:   time.Minute,
		Limits:         LimitsConfig{3 * time.Second, time.Second, sallyport.OrgLimits{RunningExecs: 7, RunningExecsPerWorkspace: 6, RequestsPerS: 5, RequestBurst: 4, OrgRequestsPerS: 9, OrgRequestBurst: 8, Tokens: 11, Workspaces: 12, AttachmentBytes: 15, AttachmentsBytes: 16, RunningForwards: 17, RunningForwardsPerWorkspace: 18, RunningTerminals: 19, RunningTerminalsPerWorkspace: 20}, 14, 13, 3, 2, 100_000_000},
		Terminals:      TerminalsConfig{90 * time.Second},
		Recordings:     RecordingsConfig{"/srv/recordings", 48 * time.Hour, 65536},
		Log:            LogConfig{slog.LevelDebug, "text"},
	}
	if got.EIC.TunnelEndpoint.String() != "ws://127.0.0.1:9" {
		t.Errorf("tunnel endpoint %v", got.EIC.TunnelEndpoint)
	}
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("\n got %+v\nwant %+v", got, want)
	}
}

func networks(texts ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

// TestLoadPrecedence sets a key of each kind in more and more sources.
func TestLoadPrecedence(t *testing.T) {
	file := "drain_timeout: 1s\ndata_dir: /file\nconnectors.local.enabled: true\nproxies.trusted: [10.0.0.1]\n"
	env := variables{
		"SALLYPORT_DRAIN_TIMEOUT": "2s", "SALLYPORT_DATA_DIR": "/env",
		"SALLYPORT_CONNECTORS_LOCAL_ENABLED": "0", "SALLYPORT_PROXIES_TRUSTED": "10.0.0.2, 10.0.0.3",
	}
	flags := map[string]string{"drain_timeout": "3s", "data_dir": "/flag"}
	for _, c := range []struct {
		name  string
		given given
		want  []Setting
	}{
		{"defaults", given{}, []Setting{
			{"proxies.trusted", "", "default"}, {"data_dir", "/var/lib/sallyport", "default"},
			{"connectors.local.enabled", "false", "default"}, {"drain_timeout", "30s", "default"},
		}},
		{"file", given{file: file}, []Setting{
			{"proxies.trusted", "10.0.0.1", "file PATH"}, {"data_dir", "/file", "file PATH"},
			{"connectors.local.enabled", "true", "file PATH"}, {"drain_timeout", "1s", "file PATH"},
		}},
		{"environment", given{file: file, env: env}, []Setting{
			{"proxies.trusted", "10.0.0.2,10.0.0.3", "environment SALLYPORT_PROXIES_TRUSTED"},
			{"data_dir", "/env", "environment SALLYPORT_DATA_DIR"},
			{"connectors.local.enabled", "false", "environment SALLYPORT_CONNECTORS_LOCAL_ENABLED"},
			{"drain_timeout", "2s", "environment SALLYPORT_DRAIN_TIMEOUT"},
		}},
		{"flags", given{file: file, env: env, flags: flags}, []Setting{
			{"proxies.trusted", "10.0.0.2,10.0.0.3", "environment SALLYPORT_PROXIES_TRUSTED"},
			{"data_dir", "/flag", "flag --data-dir"},
			{"connectors.local.enabled", "false", "environment SALLYPORT_CONNECTORS_LOCAL_ENABLED"},
			{"drain_timeout", "3s", "flag --drain-timeout"},
		}},
		{"an empty variable is none", given{file: file, env: variables{"SALLYPORT_DRAIN_TIMEOUT": ""}}, []Setting{
			{"drain_timeout", "1s", "file PATH"},
		}},
		{"flags over defaults", given{flags: flags}, []Setting{{"drain_timeout", "3s", "flag --drain-timeout"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			loaded, path, err := c.given.load(t)
			if err != nil {
				t.Fatal(err)
			}
			settings := loaded.Settings()
			for _, want := range c.want {
				want.Source = strings.Replace(want.Source, "PATH", path, 1)
				if !slices.Contains(settings, want) {
					t.Errorf("no setting %v in %v", want, settings)
				}
			}
			checkInForce(t, loaded)
		})
	}
}

// checkInForce wants the configuration to be what the settings tell.
func checkInForce(t *testing.T, loaded *Loaded) {
	t.Helper()
	c := loaded.Config
	var proxies []string
	for _, p := range c.ProxiesTrusted {
		proxies = append(proxies, p.Addr().String())
	}
	for _, s := range loaded.Settings() {
		got, ok := map[string]string{
			"drain_timeout":            c.DrainTimeout.String(),
			"data_dir":                 c.DataDir,
			"connectors.local.enabled": fmt.Sprint(c.LocalEnabled),
			"proxies.trusted":          strings.Join(proxies, ","),
		}[s.Key]
		if ok && got != s.Value {
			t.Errorf("%s is %s in the configuration and %s in the settings", s.Key, got, s.Value)
		}
	}
}

func TestLoadDev(t *testing.T) {
	for _, c := range []struct {
		name string
		env  variables
		dir  string
	}{
		{"home", home(), "/home/ann/.local/share/sallyport/dev"},
		{"XDG", variables{"HOME": "/home/ann", "XDG_DATA_HOME": "/data"}, "/data/sallyport/dev"},
		{"a relative XDG counts as none", variables{"HOME": "/home/ann", "XDG_DATA_HOME": "data"}, "/home/ann/.local/share/sallyport/dev"},
		{"set", variables{"SALLYPORT_DATA_DIR": "/set"}, "/set"},
	} {
		loaded, _, err := given{mode: ModeDev, env: c.env}.load(t)
		if err != nil || loaded.Config.DataDir != c.dir {
			t.Errorf("%s: %v, %v, want %s", c.name, loaded, err, c.dir)
		}
	}
}

// TestLoadDevAdminToken: what is exported for a server doesn't disturb dev, not
// even when it would be wrong.
func TestLoadDevAdminToken(t *testing.T) {
	env := variables{"HOME": "/home/ann", "SALLYPORT_ADMIN_TOKEN": "short", "SALLYPORT_ADMIN_TOKEN_FILE": "/nowhere"}
	loaded, _, err := given{mode: ModeDev, env: env}.load(t)
	if err != nil {
		t.Fatal(err)
	}
	if loaded.Config.AdminTokenHash != nil {
		t.Error("dev took the admin token of the environment")
	}
	for _, want := range []Setting{{"admin_token", "[hidden]", "generated"}, {"admin_token_file", "", "default"}} {
		if !slices.Contains(loaded.Settings(), want) {
			t.Errorf("no setting %v", want)
		}
	}
}

func TestLoadListen(t *testing.T) {
	beyond := []string{"0.0.0.0:8080", ":8080", "[::]:8080", "192.0.2.1:80", "[::ffff:192.0.2.1]:80", "example.com:80", "localhost.example.com:80", "127.1:80", "2130706433:80"}
	loopback := []string{"127.0.0.1:0", "127.9.9.9:65535", "[::1]:8080", "localhost:8080", "[::ffff:127.0.0.1]:80"}
	for _, listen := range loopback {
		for _, mode := range []Mode{ModeServer, ModeDev} {
			loaded, _, err := given{mode: mode, env: home(), flags: map[string]string{"listen": listen}}.load(t)
			if err != nil || loaded.Config.Listen != listen {
				t.Errorf("%s on %s: %v", mode, listen, err)
			}
		}
	}
	cert := writeFile(t, "cert.pem", "x", 0o600)
	for _, listen := range beyond {
		for _, ways := range []variables{
			{"SALLYPORT_INSECURE": "true"},
			{"SALLYPORT_TLS_CERT_FILE": cert, "SALLYPORT_TLS_KEY_FILE": cert},
		} {
			if _, _, err := (given{env: ways, flags: map[string]string{"listen": listen}}).load(t); err != nil {
				t.Errorf("server on %s with %v: %v", listen, ways, err)
			}
		}
		_, _, err := given{flags: map[string]string{"listen": listen}}.load(t)
		wantError(t, err, "listen is ", listen, "flag --listen", "tls.cert_file and tls.key_file", "insecure: true")
		if strings.HasPrefix(listen, ":") {
			continue
		}
		_, _, err = given{mode: ModeDev, env: variables{"HOME": "/", "SALLYPORT_INSECURE": "true"}, flags: map[string]string{"listen": listen}}.load(t)
		wantError(t, err, "listen is ", listen, "loopback")
	}
}

// TestLoadListenDevPort: for dev, no host is this machine.
func TestLoadListenDevPort(t *testing.T) {
	loaded, _, err := given{mode: ModeDev, env: home(), flags: map[string]string{"listen": ":0"}}.load(t)
	if err != nil {
		t.Fatal(err)
	}
	if want := (Setting{"listen", "127.0.0.1:0", "flag --listen"}); loaded.Config.Listen != want.Value || !slices.Contains(loaded.Settings(), want) {
		t.Errorf("listens on %s; settings %v", loaded.Config.Listen, loaded.Settings())
	}
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error, want one with %q", parts)
		return
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q lacks %q", err, part)
		}
	}
	if strings.Contains(err.Error(), canary) || strings.Contains(err.Error(), "\n") {
		t.Errorf("error %q shows a secret or has a second line", err)
	}
}

func TestLoadAdminTokenFile(t *testing.T) {
	minted := identity.Mint(principal.Admin)
	for _, text := range []string{minted.Secret, minted.Secret + "\n", minted.Secret + "\r\n"} {
		for _, mode := range []os.FileMode{0o600, 0o640, 0o400} {
			path := writeFile(t, "token", text, mode)
			loaded, _, err := given{env: variables{"SALLYPORT_ADMIN_TOKEN_FILE": path}}.load(t)
			if err != nil {
				t.Fatal(err)
			}
			if got := loaded.Config.AdminTokenHash; got == nil || *got != minted.Hash {
				t.Errorf("the hash of the token in %q is wrong", text)
			}
			want := Setting{"admin_token_file", path, "environment SALLYPORT_ADMIN_TOKEN_FILE"}
			if !slices.Contains(loaded.Settings(), want) {
				t.Errorf("no setting %v", want)
			}
		}
	}
}
