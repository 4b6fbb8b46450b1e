package config

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestFileForms(t *testing.T) {
	want := "{listen 127.0.0.1:1 file PATH} {store.migrate false file PATH} {log.level warn file PATH}"
	for name, text := range map[string]string{
		"nested":                 "listen: 127.0.0.1:1\nstore:\n  migrate: false\nlog:\n  level: warn\n",
		"dotted":                 "listen: 127.0.0.1:1\nstore.migrate: false\nlog.level: warn\n",
		"both":                   "listen: 127.0.0.1:1\nstore.migrate: false\nlog: {level: warn}\n",
		"one section both ways":  "listen: 127.0.0.1:1\nstore: {url: ''}\nstore.migrate: false\nlog.level: warn\n",
		"JSON":                   `{"listen":"127.0.0.1:1","store":{"migrate":false},"log":{"level":"warn"}}`,
		"a document's start":     "---\nlisten: 127.0.0.1:1\nstore.migrate: FALSE\nlog.level: !!str warn\n",
		"a BOM and CRLF":         "\ufefflisten: 127.0.0.1:1\r\nstore.migrate: False\r\nlog.level: warn\r\n",
		"an anchor without use":  "listen: &a 127.0.0.1:1\nstore.migrate: false\nlog.level: warn\n",
		"sections all commented": "listen: 127.0.0.1:1\nstore.migrate: false\nlog.level: warn\ntls:\n  # cert_file: /c\nconnectors:\n",
	} {
		loaded, path, err := given{file: text}.load(t)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got []string
		for _, s := range loaded.Settings() {
			if s.Source != "default" && s.Value != "" {
				got = append(got, strings.Replace(fmt.Sprint(s), path, "PATH", 1))
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestFileEmpty(t *testing.T) {
	for _, text := range []string{"", "\n", "# nothing yet\n", "---\n", "--- ~\n", "null", "{}"} {
		if values, err := parseFile("file x", []byte(text), allKeys()); err != nil || len(values) != 0 {
			t.Errorf("%q: %v, %v", text, values, err)
		}
	}
}

func TestFileErrors(t *testing.T) {
	notYAML := "file x is not valid YAML: "
	for _, c := range []struct{ name, text, want string }{
		{"unknown", "listen: 127.0.0.1:1\nlisten_on: x", "unknown key listen_on: did you mean listen? (file x, line 2)"},
		{"unknown, nearly known", "datadir: /x", "unknown key datadir: did you mean data_dir? (file x, line 1)"},
		{"unknown, underscores", "tls_cert_file: /x", "unknown key tls_cert_file: did you mean tls.cert_file? (file x, line 1)"},
		{"unknown, begun", "tls: {cert: /x}", "unknown key tls.cert: did you mean tls.cert_file? (file x, line 1)"},
		{"unknown, without its section", "cert_file: /x", "unknown key cert_file: did you mean tls.cert_file? (file x, line 1)"},
		{"unknown, dashes", "drain-timeout: 1s", "unknown key drain-timeout: did you mean drain_timeout? (file x, line 1)"},
		{"unknown, capitals", "Listen: x", "unknown key Listen: did you mean listen? (file x, line 1)"},
		{"unknown section", "tsl:\n  cert_file: x", "unknown key tsl: did you mean tls? (file x, line 1)"},
		{"unknown in a section", "log:\n  levl: x", "unknown key log.levl: did you mean log.level? (file x, line 2)"},
		{"unknown limit", "limits: {something: 3}", "unknown key limits.something (file x, line 1)"},
		{"a number for a key", "1: x", "unknown key 1 (file x, line 1)"},
		{"no key", "~: x", "unknown key … (file x, line 1)"},
		{"a list for a key", "? [a]\n: x", "a key is a word, not a list (file x, line 1)"},
		{"twice", "listen: a\nlisten: b", "listen is set already in line 1 (file x, line 2)"},
		{"twice in a section", "log:\n  level: info\n  level: warn", "log.level is set already in line 2 (file x, line 3)"},
		{"twice, both ways", "log.level: info\nlog:\n  level: info", "log.level is set already in line 1 (file x, line 3)"},
		{"section twice", "log: {level: info}\nlog: {format: text}", "log is set already in line 1 (file x, line 2)"},
		{"a number for a string", "data_dir: 5", "data_dir takes a string, not a number: put the value in quotes (file x, line 1)"},
		{"a bool for a string", "log.level: true", "log.level takes a string, not a bool: put the value in quotes (file x, line 1)"},
		{"nothing for a string", "\nlisten:\n", "listen takes a string, not nothing: put the value in quotes (file x, line 2)"},
		{"a date for a string", "data_dir: 2020-01-01", "data_dir takes a string, not a date: put the value in quotes (file x, line 1)"},
		{"a list for a string", "listen: [a]", "listen takes a string, not a list (file x, line 1)"},
		{"a map for a string", "listen: {a: b}", "listen takes a string, not a map (file x, line 1)"},
		{"a string for a bool", "insecure: yes", "insecure takes a bool, not a string (file x, line 1)"},
		{"a quoted bool", "insecure: 'true'", "insecure takes a bool, not a string (file x, line 1)"},
		{"a bool for a duration", "drain_timeout: true", "drain_timeout takes a duration, not a bool (file x, line 1)"},
		{"a string for a list", "proxies.trusted: 10.0.0.1", "proxies.trusted takes a list, not a string (file x, line 1)"},
		{"nothing for a list", "proxies.trusted:", "proxies.trusted takes a list, not nothing (file x, line 1)"},
		{"a number in a list", "proxies.trusted:\n- 10", "an item of proxies.trusted takes a string, not a number: put the value in quotes (file x, line 2)"},
		{"a value for a section", "tls: /cert", "tls is a section of keys and takes none but a map, not a string (file x, line 1)"},
		{"a tag", "listen: !!binary eA==", "listen takes a string, not a value with a tag: put the value in quotes (file x, line 1)"},
		{"a word", "listen", "the file must hold keys and values, such as listen: 127.0.0.1:8080, not a string (file x, line 1)"},
		{"a list", "- listen", "the file must hold keys and values, such as listen: 127.0.0.1:8080, not a list (file x, line 1)"},
		{"merge", "<<: {listen: a}", "unknown key … (file x, line 1)"},
		{"alias", "listen: &a x\ndata_dir: *a", "data_dir takes a string, not an alias (file x, line 2)"},
		{"alias for a section", "x-a: &a {level: info}\nlog: *a", "unknown key x-a (file x, line 1)"},
		{"a section within itself", "log: &a {level: info, format: *a}", "log.format takes a string, not an alias (file x, line 1)"},
		{"two documents", "listen: a\n---\nlisten: b", notYAML + "it must be one document: leave out what follows the line ---"},
		{"tabs", "log:\n\tlevel: info", notYAML + "line 2: found character that cannot start any token (lines are indented with blanks, never with tabs)"},
		{"half a list", "proxies.trusted: [a", notYAML + "line 1: did not find expected ',' or ']'"},
		{"not UTF-8", "listen: \xff", notYAML + "invalid leading UTF-8 octet"},
		{"zeros", "\x00\x00", notYAML + "control characters are not allowed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := parseFile("file x", []byte(c.text), allKeys())
			if err == nil || err.Error() != c.want {
				t.Errorf("\n got %v\nwant %s", err, c.want)
			}
		})
	}
}

// TestFileShowsNoToken: a token that YAML misreads shows up in no error, nor
// does one on a line that lacks its colon or has one too few blanks.
func TestFileShowsNoToken(t *testing.T) {
	for _, text := range []string{
		"admin_token: *" + canary,
		"admin_token: &" + canary,
		"admin_token: !" + canary,
		"admin_token: |" + canary,
		"admin_token: >" + canary,
		"admin_token: @" + canary,
		"admin_token: `" + canary,
		"admin_token: %" + canary,
		"admin_token: \"" + canary,
		"admin_token: '" + canary,
		"admin_token: [" + canary + "]",
		"admin_token: {" + canary + ": 1}",
		"admin_token: {" + canary,
		"admin_token: [*" + canary + "]",
		"admin_token: " + canary + ":",
		"admin_token: " + canary + " " + canary,
		"admin_token:\n  " + canary + ": x",
		"admin_token:\n- " + canary,
		"admin_token:" + canary,
		"admin_token:" + canary + ": x",
		"admin_token=" + canary + ": x",
		"admin_token " + canary,
		"admin_token/" + canary + ": x",
		"listen: 127.0.0.1:1\nadmin_token " + canary,
		"listen: 127.0.0.1:1\n  admin_token " + canary,
		"log.level: loud\n  admin_token=" + canary,
		"proxies.trusted: [x admin_token=" + canary + "]",
		"? admin_token " + canary + "\n: x",
		"sp_adm_" + canary + ": x",
		"log: {sp_adm_" + canary + ": x}",
		"\t" + canary,
		"%TAG !" + canary + " x",
		"%" + canary + "\n---\nlisten: x",
		"listen: !" + canary + "!x y",
		"store.url: [" + canary + "]",
		"store.url: mysql://" + canary,
		"bus.url: http://" + canary,
		"admin_token: " + canary + "\nlisten: 8080",
	} {
		loaded, _, err := given{file: text}.load(t)
		if err == nil {
			t.Errorf("%q: loaded %+v", text, loaded.Settings())
		} else if strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestFileBounded feeds the largest files that are worst for a parser.
func TestFileBounded(t *testing.T) {
	const timeLimit = 20 * time.Second // what is not bounded takes for ever; a busy machine takes long
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c <= 'z'; c++ {
		bomb += fmt.Sprintf("%c: &%c [%s]\n", c, c, strings.TrimSuffix(strings.Repeat("*"+string(c-1)+",", 9), ","))
	}
	for name, text := range map[string]string{
		"anchor bomb":             bomb,
		"anchor bomb in a list":   "proxies.trusted: [" + strings.ReplaceAll(strings.TrimSpace(bomb), "\n", ",") + "]",
		"nested lists":            "proxies.trusted: " + fill("["),
		"nested maps":             fill("{a: "),
		"nested block lists":      "proxies.trusted:\n" + fill("- "),
		"keys in keys":            fill("? "),
		"a deep indentation":      deepMap(),
		"one long key":            fill("a"),
		"one long, dotted key":    fill("tls."),
		"one key many times":      fill("listen: a\n"),
		"many unknown keys":       fill("l: a\n"),
		"comments":                "listen:\n" + fill("  # a\n"),
		"comments and items":      "proxies.trusted:\n" + fill("# a\n- a\n"),
		"quotes":                  fill("\""),
		"escapes":                 "listen: \"" + fill(`\U0001F600`),
		"anchors":                 "proxies.trusted: [" + fill("&a a,"),
		"documents":               fill("---\n"),
		"directives":              fill("%TAG !a! b\n"),
		"blanks":                  fill(" "),
		"line ends":               fill("\n"),
		"a number without an end": "drain_timeout: " + fill("9"),
	} {
		begun := time.Now()
		if _, err := parseFile("file x", []byte(text), allKeys()); err != nil && len(err.Error()) > 500 {
			t.Errorf("%s: an error of %d bytes", name, len(err.Error()))
		}
		if took := time.Since(begun); took > timeLimit {
			t.Errorf("%s: took %v", name, took)
		}
	}
}

// fill repeats s up to the size that a file may have.
func fill(s string) string { return strings.Repeat(s, (fileBytesMax-100)/len(s)) }

func deepMap() string {
	var b strings.Builder
	for i := 0; b.Len() < fileBytesMax-1000; i++ {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}

// FuzzConfigFile: no file makes the loader panic, and whatever it says is one
// short line; what it accepts is of known keys and of their kinds.
func FuzzConfigFile(f *testing.F) {
	for _, seed := range []string{
		"listen: 127.0.0.1:1\nlog: {level: info}\n", "proxies.trusted:\n- 10.0.0.1\n- 10.0.0.0/8\n",
		"a: &a [*a]", "<<: *a", "? [a]\n: b", "--- !!map\n...\n---", "%YAML 1.1\n---\n", "drain_timeout: 30",
		"listen: |\n  a\n\n #c\n", "tls:\n  # c\n\n# d\ninsecure: .inf", "admin_token: *x", "{a: {b: [c, {d: e}]}}",
	} {
		f.Add([]byte(seed))
	}
	table := map[string]key{}
	for _, k := range allKeys() {
		table[k.name] = k
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) > fileBytesMax {
			return
		}
		values, err := parseFile("file x", body, allKeys())
		if err != nil {
			if text := err.Error(); len(text) > 500 || strings.ContainsAny(text, "\n\r\t\x1b") {
				t.Errorf("error %q", text)
			}
			return
		}
		for name, v := range values {
			if k, ok := table[name]; !ok || (k.kind == kindList) != (v.items != nil) || v.line == 0 {
				t.Errorf("%s: %+v", name, v)
			}
		}
		l := newLoading(LoadOptions{})
		defaults, err := l.readDefaults()
		if err == nil {
			err = l.apply(defaults)
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := l.apply(values); err != nil && (len(err.Error()) > 500 || strings.ContainsAny(err.Error(), "\n\r\t\x1b")) {
			t.Errorf("error %q", err)
		}
	})
}
