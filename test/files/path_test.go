package files

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"

	"sallyport/client/sallyport"
	"sallyport/test/stack"
)

// Names of every byte, in URLs and in JSON.
func TestPaths(t *testing.T) {
	each(t, func(t *testing.T, m *machine) {
		for _, name := range []string{"plain", " ", "-rf", "a b\n", "\n", "q\"'$(x)`\\", "é", "\xff\x80", "~", "*", "%41", "a\tb\\n", strings.Repeat("n", 255)} {
			coded := "/d/" + strings.ReplaceAll(url.PathEscape(name), "+", "%2B")
			m.want(t, 201, "", "PUT", coded, "of "+name)
			if a := m.want(t, 200, "", "GET", coded, ""); a.Body != "of "+name {
				t.Errorf("%q holds %q", name, a.Body)
			}
			var e sallyport.FileEntry
			m.want(t, 200, "", "GET", coded+"?stat=true", "").Decode(t, &e)
			if raw, err := e.RawName(); err != nil || raw != name || e.Name != nil && e.NameBase64 != nil {
				t.Errorf("%q is shown as %+v", name, e)
			}
			to := base64.StdEncoding.EncodeToString([]byte("moved/" + name))
			m.want(t, 200, "", "POST", coded, `{"action":"move","to_base64":"`+to+`"}`)
			row := m.rows(t)[0]
			if name == "\xff\x80" && (row.ToBase64 != to || row.To != "" || row.PathBase64 == "") {
				t.Errorf("row %+v", row)
			}
			if m.read(t, "moved/"+name) != "of "+name {
				t.Errorf("%q was not moved", name)
			}
		}
		m.want(t, 200, "", "GET", "/moved%2Fplain", "")
		m.want(t, 200, "", "GET", "/moved/plain/", "")
		badPaths(t, m)
	})
}

func badPaths(t *testing.T, m *machine) {
	for _, path := range []string{"a%00b", strings.Repeat("n", 256), strings.Repeat("a/", 2048) + "a", ".sallyport", ".sallyport-x/y", "a/.sallyportx"} {
		for _, method := range []string{"GET", "PUT", "DELETE"} {
			m.want(t, 400, "invalid_path", method, "/"+path, "")
		}
		m.want(t, 400, "invalid_path", "GET", "?path="+path, "")
	}
	for _, path := range []string{".", "..", "a//b", "/a", "a/../b", "a/./b", "//"} {
		m.want(t, 400, "invalid_path", "GET", "?path="+url.QueryEscape(path), "")
		to, err := json.Marshal(path)
		must(t, err)
		m.want(t, 400, "invalid_path", "POST", "/moved/plain", `{"action":"move","to":`+string(to)+`}`)
	}
	for _, path := range []string{"a//b", "a/./b", "a/../b", "a/%2e%2e/b", "a/%2E/b", "a%2F%2Fb"} {
		if a := m.Do(t, "GET", "/workspaces/"+m.name+"/files/"+path, m.Token, ""); a.Status != 404 || a.Code() != "not_found" {
			t.Errorf("%s: %d %s", path, a.Status, a.Body)
		}
	}
	m.want(t, 400, "invalid_to", "POST", "/moved/plain", `{"action":"move","to":"x","to_base64":"eA=="}`)
	m.want(t, 400, "invalid_to", "POST", "/moved/plain", `{"action":"move","to_base64":"!"}`)
	m.want(t, 400, "invalid_path", "POST", "/moved/plain", `{"action":"move","to":".sallyport/x"}`)
	m.want(t, 400, "unknown_field", "GET", "/moved/plain?x=1", "")
	m.want(t, 400, "unknown_field", "PUT", "/moved?type=dir&mtime=2026-01-02T03:04:05Z", "")
	m.want(t, 400, "unknown_field", "PUT", "/moved?archive=tar&mode=0644", "")
	m.want(t, 400, "unknown_field", "PATCH", "/moved/plain", `{"x":1}`)
	m.want(t, 200, "", "GET", "/moved/plain?org=dev", "")
	for _, query := range []string{"stat=1", "stat=", "download=yes", "recursive=x"} {
		name, _, _ := strings.Cut(query, "=")
		method := map[string]string{"recursive": "DELETE"}[name]
		if method == "" {
			method = "GET"
		}
		m.want(t, 400, "invalid_"+name, method, "/moved/plain?"+query, "")
	}
}

// Links are followed as long as they stay below the root.
func TestLinks(t *testing.T) {
	each(t, func(t *testing.T, m *machine) {
		outside := t.TempDir()
		must(t, os.Chmod(outside, 0o777))
		must(t, os.WriteFile(outside+"/f", []byte("SECRET"), 0o666))
		m.put(t, "a/f", "inside")
		for name, target := range map[string]string{"in": "a/f", "dir": "a", "out": outside + "/f", "outdir": outside, "up": "../..", "gone": "nothing", "loop": "loop"} {
			m.link(t, target, name)
		}
		if a := m.want(t, 200, "", "GET", "/in", ""); a.Body != "inside" {
			t.Errorf("by a link: %q", a.Body)
		}
		m.want(t, 200, "", "GET", "/dir/f", "")
		m.want(t, 200, "", "GET", "?path=dir", "")
		for _, method := range []string{"GET", "PUT", "PATCH"} {
			m.want(t, 400, "invalid_path", method, "/out", "{}")
		}
		for _, path := range []string{"/outdir/f", "/outdir/none", "/up/x"} {
			for _, method := range []string{"GET", "PUT", "PATCH", "DELETE"} {
				m.want(t, 400, "invalid_path", method, path, "{}")
			}
			m.want(t, 400, "invalid_path", "GET", path+"?stat=true", "")
		}
		m.want(t, 400, "invalid_path", "GET", "?path=outdir", "")
		m.want(t, 400, "invalid_path", "GET", "/outdir?archive=tar", "")
		m.want(t, 400, "invalid_path", "PUT", "/outdir/d?type=dir", "")
		m.want(t, 404, "file_not_found", "GET", "/gone", "")
		if e := m.entry(t, "out"); e.Type != "link" || *e.Target != outside+"/f" || e.Size != nil || e.ETag != "" {
			t.Errorf("a link: %+v", e)
		}
		m.want(t, 200, "", "PUT", "/in", "anew")
		if m.read(t, "a/f") != "anew" || m.entry(t, "in").Type != "link" {
			t.Error("a write follows no link")
		}
		m.want(t, 200, "", "POST", "/out", `{"action":"move","to":"out2"}`)
		m.want(t, 200, "", "POST", "/out2", `{"action":"copy","to":"out3"}`)
		m.want(t, 204, "", "DELETE", "/out2", "")
		m.want(t, 204, "", "DELETE", "/outdir?recursive=true", "")
		if content, err := os.ReadFile(outside + "/f"); err != nil || string(content) != "SECRET" {
			t.Errorf("outside: %q, %v", content, err)
		}
	})
}

// A root is one of every type of connector.
func TestRoot(t *testing.T) {
	each(t, func(t *testing.T, m *machine) {
		set := func(root string) stack.Answer {
			body, err := json.Marshal(map[string]any{"connector": map[string]any{"root": root}})
			must(t, err)
			return m.Do(t, "PATCH", "/workspaces/"+m.name, m.Token, string(body))
		}
		for _, root := range []string{"..", "a/../b", "/..", "a\x00", strings.Repeat("a", 4097)} {
			if a := set(root); a.Status != 400 || a.Code() != "invalid_connector" {
				t.Errorf("root %.20q: %d %s", root, a.Status, a.Body)
			}
		}
		m.put(t, "file", "x")
		for _, root := range []string{m.dir + "/none", m.dir + "/file"} {
			if a := set(root); a.Status != 200 || !strings.Contains(a.Body, fmt.Sprintf(`"root":%q`, root)) {
				t.Errorf("root %q: %d %s", root, a.Status, a.Body)
			}
			m.want(t, 422, "invalid_root", "GET", "", "")
			m.want(t, 422, "invalid_root", "PUT", "/x", "x")
		}
		m.mkdir(t, "sub")
		m.link(t, m.dir+"/sub", "to-sub")
		set(m.dir + "/to-sub")
		m.want(t, 201, "", "PUT", "/x", "x")
		if m.read(t, "sub/x") != "x" {
			t.Error("a link that is the root isn't followed")
		}
		m.want(t, 200, "", "GET", "/?stat=true", "")
		for _, do := range [][3]string{{"DELETE", "/", ""}, {"PUT", "/", "x"}, {"POST", "/", `{"action":"move","to":"y"}`}} {
			m.want(t, 400, "invalid_path", do[0], do[1], do[2])
		}
		m.want(t, 400, "invalid_to", "POST", "/", `{"action":"copy","to":"y","recursive":true}`)
		m.want(t, 200, "", "PUT", "/?type=dir", "")
	})
}
