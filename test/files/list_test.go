package files

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/client/sallyport"
)

// list reads all pages of a listing, and returns the paths.
func (m *machine) list(t testing.TB, query string) (paths []string, entries []sallyport.FileEntry) {
	t.Helper()
	for cursor := ""; ; {
		var page sallyport.List[sallyport.FileEntry]
		a := m.want(t, 200, "", "GET", "?"+query+"&cursor="+cursor, "")
		a.Decode(t, &page)
		if row := m.row(t, a); row.Op != "list" || row.Entries == nil || *row.Entries != int64(len(page.Items)) {
			t.Errorf("row %+v", row)
		}
		for _, e := range page.Items {
			paths = append(paths, *e.Path)
		}
		entries = append(entries, page.Items...)
		if cursor = url.QueryEscape(page.NextCursor); cursor == "" {
			return paths, entries
		}
	}
}

func TestList(t *testing.T) {
	each(t, func(t *testing.T, m *machine) {
		for _, path := range []string{"B", "a/x.go", "a/b/y.go", "a-", "c/z.txt", ".hidden"} {
			m.put(t, path, "one\nthe TODO é\n"+path+"\n")
		}
		m.put(t, "bin", "TODO\x00")
		m.link(t, "a", "link")
		m.mkdir(t, ".sallyport-x")
		for query, want := range map[string]string{
			"":                       ".hidden B a a- bin c link",
			"limit=1":                ".hidden B a a- bin c link",
			"depth=64&limit=2":       ".hidden B a a/b a/b/y.go a/x.go a- bin c c/z.txt link",
			"depth=2&path=a":         "a/b a/b/y.go a/x.go",
			"path=link":              "link/b link/x.go",
			"depth=9&glob=*.go":      "a/b/y.go a/x.go",
			"depth=9&glob=a/**":      "a a/b a/b/y.go a/x.go",
			"depth=9&glob=*/?.go":    "a/x.go",
			"glob=[A-B]":             "B",
			"depth=9&text=TODO":      ".hidden B a/b/y.go a/x.go a- c/z.txt",
			"depth=9&text=c/z":       "c/z.txt",
			"depth=9&text=TOD[O]":    "",
			"text=TODO&limit=1":      ".hidden B a-",
			"path=a&depth=9&limit=1": "a/b a/b/y.go a/x.go",
		} {
			got, _ := m.list(t, query)
			if strings.Join(got, " ") != want {
				t.Errorf("%q: %q, want %q", query, got, want)
			}
		}
		_, found := m.list(t, "text=TODO&glob=B")
		if len(found) != 1 || len(found[0].Matches) != 1 || found[0].Matches[0].Line != 2 || *found[0].Matches[0].Text != "the TODO é" {
			t.Errorf("matches %+v", found)
		}
		if row := m.rows(t)[0]; strings.Contains(fmt.Sprint(row), "TODO") {
			t.Errorf("what was searched for is on record: %+v", row)
		}
		for query, code := range map[string]string{
			"depth=0": "invalid_depth", "depth=65": "invalid_depth", "depth=x": "invalid_depth", "glob=[": "invalid_glob", "text=": "invalid_text",
			"text=a%0Ab": "invalid_text", "text=" + strings.Repeat("x", 1025): "invalid_text", "limit=0": "invalid_limit", "cursor=x": "invalid_cursor", "x=1": "unknown_field",
		} {
			m.want(t, 400, code, "GET", "?"+query, "")
		}
		m.want(t, 404, "file_not_found", "GET", "?path=none", "")
	})
}

func TestTar(t *testing.T) {
	each(t, func(t *testing.T, m *machine) {
		m.put(t, "d/sub/f", "content")
		m.put(t, "d/sub/g", "beside it")
		m.put(t, "d/"+strings.Repeat("n", 200), "long")
		m.link(t, "sub/f", "d/l")
		fifo(t, m, "d/fifo")
		a := m.want(t, 200, "", "GET", "/d?archive=tar", "")
		if row := m.row(t, a); row.Op != "archive" || *row.Entries != 5 || *row.Bytes != int64(len(a.Body)) || a.Header.Get("Content-Type") != "application/x-tar" {
			t.Errorf("row %+v", row)
		}
		if got := namesOf(t, a.Body); got != strings.Repeat("n", 200)+" l sub/ sub/f sub/g" && got != "l "+strings.Repeat("n", 200)+" sub/ sub/f sub/g" {
			t.Errorf("names %s", got)
		}
		up := m.want(t, 200, "", "PUT", "/new/e?archive=tar", a.Body)
		if row := m.row(t, up); !strings.Contains(up.Body, `"entries":5`) || row.Op != "extract" || m.read(t, "new/e/sub/f")+m.read(t, "new/e/sub/g") != "contentbeside it" || m.entry(t, "new/e/l").Type != "link" {
			t.Errorf("%s, row %+v", up.Body, row)
		}
		if m.entry(t, "new/e/sub/f").Mtime.Unix() != m.entry(t, "d/sub/f").Mtime.Unix() {
			t.Error("the time isn't kept")
		}
		for _, cut := range []int{0, 100, 512, len(a.Body) - 1024} {
			if a := m.want(t, 400, "invalid_archive", "PUT", "/cut?archive=tar", a.Body[:cut]); !strings.Contains(a.Body, `"entries":`) {
				t.Errorf("cut: %s", a.Body)
			}
		}
		m.want(t, 400, "invalid_archive", "PUT", "/x?archive=zip", "")
		m.want(t, 409, "not_a_directory", "GET", "/d/sub/f?archive=tar", "")
		m.want(t, 404, "file_not_found", "GET", "/none?archive=tar", "")
	})
}

func namesOf(t testing.TB, archive string) string {
	t.Helper()
	var names []string
	for r := tar.NewReader(strings.NewReader(archive)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return strings.Join(names, " ")
		}
		must(t, err)
		names = append(names, h.Name)
	}
}

// curl and tar, as they are.
func TestForeignClients(t *testing.T) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("curl is not installed: scripts/setup does it")
	}
	each(t, func(t *testing.T, m *machine) {
		dir := t.TempDir()
		content := bytes.Repeat([]byte("0123456789"), 30_000)
		must(t, os.WriteFile(dir+"/up", content, 0o644))
		run := func(args ...string) string {
			t.Helper()
			cmd := exec.Command(curl, append([]string{"-sS", "-f", "-H", "Authorization: Bearer " + m.Token}, args...)...)
			cmd.Dir = dir
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Errorf("curl %q: %v: %s", args, err, out)
			}
			return string(out)
		}
		at := m.URL + "/workspaces/" + m.name + "/files/"
		run("-T", "up", at)
		if m.read(t, "up") != string(content) {
			t.Error("curl -T")
		}
		must(t, os.WriteFile(dir+"/down", content[:12_345], 0o644))
		run("-C", "-", "-o", "down", at+"up")
		got, err := os.ReadFile(dir + "/down")
		must(t, err)
		if !bytes.Equal(got, content) {
			t.Error("curl -C -")
		}
		if status := run("-z", "down", "-o", "again", "-w", "%{http_code}", at+"up"); status != "304" {
			t.Errorf("curl -z: %s", status)
		}
		m.put(t, "d/x", "x")
		run("-o", "d.tar", at+"d?archive=tar")
		if out, err := exec.Command("tar", "-C", dir, "-xf", filepath.Join(dir, "d.tar")).CombinedOutput(); err != nil {
			t.Errorf("tar: %v: %s", err, out)
		}
		if got, err := os.ReadFile(dir + "/x"); err != nil || string(got) != "x" {
			t.Errorf("tar: %q, %v", got, err)
		}
	})
}
