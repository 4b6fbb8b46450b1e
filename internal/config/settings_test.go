package config

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

const referenceFile = "../../docs/configuration.md"

var updateReference = flag.Bool("update", false, "write what is derived anew")

func TestReference(t *testing.T) {
	got := Reference()
	if *updateReference {
		if err := os.WriteFile(referenceFile, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(referenceFile)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is not what the table of keys says; run: go test ./internal/server -run Reference -update", referenceFile)
	}
	for line := range strings.Lines(got) {
		if strings.HasPrefix(line, "|") && strings.Count(line, "|") != 7 {
			t.Errorf("not six cells: %s", line)
		}
	}
}

// TestKeys holds the table to its own rules.
func TestKeys(t *testing.T) {
	clients := []string{"SALLYPORT_URL", "SALLYPORT_TOKEN", "SALLYPORT_PROFILE", "SALLYPORT_ORG", "SALLYPORT_OUTPUT", "SALLYPORT_EXEC_ID"}
	seen := map[string]bool{}
	for _, k := range allKeys() {
		if want := "SALLYPORT_" + strings.ToUpper(strings.ReplaceAll(k.name, ".", "_")); k.env != want {
			t.Errorf("%s is %s in the environment, want %s", k.name, k.env, want)
		}
		if slices.Contains(clients, k.env) {
			t.Errorf("%s: %s is a client's", k.name, k.env)
		}
		for _, name := range []string{k.name, k.env, "--" + k.flag} {
			if name != "--" && seen[name] {
				t.Errorf("%s is there twice", name)
			}
			seen[name] = true
		}
		if k.secret && k.flag != "" {
			t.Errorf("%s: a flag shows its value to everyone on the machine", k.name)
		}
		if k.set == nil || k.meaning == "" || k.kind == "" {
			t.Errorf("%s: the row is not complete", k.name)
		}
	}
}

// TestSettingsShowNoSecret sets every secret that this version takes.
func TestSettingsShowNoSecret(t *testing.T) {
	for name, g := range map[string]given{
		"file":        {file: "admin_token: " + canary},
		"environment": {env: variables{"SALLYPORT_ADMIN_TOKEN": canary}},
		"token file":  {env: variables{"SALLYPORT_ADMIN_TOKEN_FILE": writeFile(t, "t", canary+"\n", 0o600)}},
		"dev":         {mode: ModeDev, env: variables{"HOME": "/", "SALLYPORT_ADMIN_TOKEN": canary}},
	} {
		loaded, _, err := g.load(t)
		if err != nil {
			t.Fatal(err)
		}
		if shown := fmt.Sprintf("%+v %#v", loaded, loaded.Settings()); strings.Contains(shown, canary) {
			t.Errorf("%s: %s", name, shown)
		}
		if shown := fmt.Sprint(loaded.Settings()); name != "token file" && !strings.Contains(shown, "{admin_token [hidden] ") {
			t.Errorf("%s: %s: a token is set, and not told", name, shown)
		}
	}
}

func TestSettings(t *testing.T) {
	loaded, err := Load(LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	settings := loaded.Settings()
	for i, k := range allKeys() {
		if want := (Setting{k.name, k.server, "default"}); settings[i] != want {
			t.Errorf("setting %v, want %v", settings[i], want)
		}
	}
	settings[0].Value = "changed"
	if loaded.Settings()[0].Value == "changed" {
		t.Error("a caller can change what the next one sees")
	}
}

func TestFlags(t *testing.T) {
	names := func(mode Mode) string {
		var all []string
		for _, f := range Flags(mode) {
			if strings.Contains(f.Meaning, "`") || f.IsBool != (f.Name == "insecure" || f.Name == "new-store") {
				t.Errorf("flag %+v", f)
			}
			all = append(all, f.Name)
		}
		return strings.Join(all, " ")
	}
	if got, want := names(ModeDev), "listen data-dir new-store drain-timeout log-level log-format"; got != want {
		t.Errorf("dev: %s, want %s", got, want)
	}
	want := "listen tls-cert-file tls-key-file insecure data-dir new-store admin-token-file drain-timeout log-level log-format"
	if got := names(ModeServer); got != want {
		t.Errorf("server: %s, want %s", got, want)
	}
}

func TestMode(t *testing.T) {
	if ModeServer.String() != "server" || ModeDev.String() != "dev" {
		t.Error(ModeServer, ModeDev)
	}
}
