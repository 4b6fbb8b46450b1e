package files

import (
	"bufio"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/client/sallyport"
	"sallyport/test/stack"
)

func TestWrite(t *testing.T) {
	each(t, func(t *testing.T, m *machine) {
		a := m.want(t, 201, "", "PUT", "/a/b/f", "one")
		var e sallyport.FileEntry
		a.Decode(t, &e)
		if e.Mode != "0644" || e.Size == nil || *e.Size != 3 || *e.Path != "a/b/f" || *e.Name != "f" || e.ETag == "" || a.Header.Get("ETag") != e.ETag || m.entry(t, "a").Mode != "0755" {
			t.Errorf("entry %+v", e)
		}
		sum := sha256.Sum256([]byte("one"))
		if row := m.row(t, a); row.Op != "write" || *row.Bytes != 3 || row.SHA256 != hex.EncodeToString(sum[:]) || row.Summary != "write a/b/f" {
			t.Errorf("row %+v", row)
		}
		m.want(t, 200, "", "PUT", "/a/b/f?mode=751&mtime=2026-01-02T03:04:05.678Z", "two")
		if e := m.entry(t, "a/b/f"); e.Mode != "0751" || !e.Mtime.Truncate(time.Second).Equal(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)) {
			t.Errorf("entry %+v", e)
		}
		chmod(t, m, "a/b/f", 0o600|os.ModeSetuid)
		m.want(t, 200, "", "PUT", "/a/b/f", "three")
		if e := m.entry(t, "a/b/f"); e.Mode != "0600" {
			t.Errorf("mode %s", e.Mode)
		}
		for _, query := range []string{"mode=8", "mode=1777", "mode=00644", "mode=", "mode=rw"} {
			m.want(t, 400, "invalid_mode", "PUT", "/a/b/f?"+query, "x")
		}
		m.want(t, 400, "invalid_mtime", "PUT", "/a/b/f?mtime=today", "x")
		m.want(t, 415, "unsupported_media_type", "PUT", "/a/b/f", "x", "Content-Encoding: gzip")
		m.want(t, 400, "invalid_content_range", "PUT", "/a/b/f", "x", "Content-Range: bytes 0-0/1")
		m.want(t, 409, "is_a_directory", "PUT", "/a/b", "x")
		m.want(t, 409, "not_a_directory", "PUT", "/a/b/f/g", "x")
		fifo(t, m, "fifo")
		m.want(t, 409, "not_a_file", "PUT", "/fifo", "x")
		digests(t, m)
		writeConditions(t, m)
		m.want(t, 201, "", "PUT", "/empty", "")
		if m.user {
			m.mkdir(t, "ro")
			chmod(t, m, "ro", 0o555)
			m.want(t, 403, "permission_denied", "PUT", "/ro/x", "x")
		}
		if got := m.names(t, "a/b") + "|" + m.names(t, ""); strings.Contains(got, ".sallyport") {
			t.Errorf("left: %s", got)
		}
	})
}

func digests(t *testing.T, m *machine) {
	digest := func(s string) string {
		sum := sha256.Sum256([]byte(s))
		return "Content-Digest: sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
	}
	m.want(t, 201, "", "PUT", "/digest", "x", digest("x"))
	m.want(t, 400, "digest_mismatch", "PUT", "/digest", "y", digest("x"))
	m.want(t, 400, "digest_mismatch", "PUT", "/none/digest", "y", digest("x"))
	m.want(t, 404, "file_not_found", "GET", "/none?stat=true", "")
	if m.read(t, "digest") != "x" {
		t.Error("a wrong digest changed the file")
	}
	m.want(t, 400, "digest_mismatch", "PUT", "/digest", "y", digest("x"), "Upload-Id: wrong")
	if got := m.want(t, 204, "", "HEAD", "/digest", "", "Upload-Id: wrong").Header.Get("Upload-Offset"); got != "0" {
		t.Errorf("%s bytes are kept of what isn't what its digest says", got)
	}
}

func writeConditions(t *testing.T, m *machine) {
	const old = "Mon, 02 Jan 2006 15:04:05 GMT"
	m.want(t, 412, "precondition_failed", "PUT", "/c", "x", `If-Match: *`)
	tag := m.want(t, 201, "", "PUT", "/c", "x", "If-None-Match: *").Header.Get("ETag")
	m.want(t, 412, "precondition_failed", "PUT", "/c", "y", "If-None-Match: *")
	m.want(t, 412, "precondition_failed", "PUT", "/c", "y", `If-Match: "other"`)
	m.want(t, 412, "precondition_failed", "PUT", "/c", "y", "If-Match: W/"+tag)
	for _, do := range [][3]string{{"PATCH", "/c", `{"mode":"600"}`}, {"POST", "/c", `{"action":"move","to":"new/c2"}`}, {"POST", "/c", `{"action":"replace","old":"x","new":"y"}`}, {"DELETE", "/c", ""}} {
		m.want(t, 412, "precondition_failed", do[0], do[1], do[2], `If-Match: "other"`)
		m.want(t, 412, "precondition_failed", do[0], do[1], do[2], "If-Unmodified-Since: "+old)
	}
	m.want(t, 404, "file_not_found", "GET", "/new?stat=true", "")
	m.want(t, 200, "", "PUT", "/c", "y", `If-Match: "other", `+tag)
	m.want(t, 412, "precondition_failed", "PUT", "/c", "z", "If-Match: "+tag)
	if m.read(t, "c") != "y" {
		t.Errorf("it holds %q", m.read(t, "c"))
	}
}

// Of many at once exactly one is the first, and at most one is the next.
func TestWriteRaces(t *testing.T) {
	each(t, func(t *testing.T, m *machine) {
		tag := ""
		for _, header := range []string{"If-None-Match: *", ""} {
			if header == "" {
				header = "If-Match: " + tag
			}
			var mu sync.Mutex
			won := 0
			var all sync.WaitGroup
			for i := range 8 {
				all.Go(func() {
					a := m.do(t, "PUT", "/f", fmt.Sprint("content ", i), header)
					mu.Lock()
					defer mu.Unlock()
					switch a.Status {
					case 200, 201:
						won++
						tag = a.Header.Get("ETag")
					case 412:
					default:
						t.Errorf("%d %s", a.Status, a.Body)
					}
				})
			}
			all.Wait()
			if won != 1 {
				t.Errorf("%s: %d have won", header, won)
			}
		}
	})
}

// What breaks off changes nothing, unless it has an Upload-Id: then it can be resumed.
func TestBrokenUploads(t *testing.T) {
	each(t, func(t *testing.T, m *machine) {
		m.put(t, "f", "old")
		m.broken(t, "f", 1000, "the beginning")
		m.broken(t, "new/dir/f", 1000, "the beginning")
		if m.read(t, "f") != "old" {
			t.Error("half a body has changed the file")
		}
		for what := range strings.SplitSeq("f,new", ",") {
			if got := m.names(t, ""); what == "new" && got != "f" {
				t.Errorf("left: %s", got)
			}
		}
		m.broken(t, "f", 1000, "the beginning", "Upload-Id: u-1")
		a := m.want(t, 204, "", "HEAD", "/f", "", "Upload-Id: u-1")
		if a.Header.Get("Upload-Offset") != "13" || m.row(t, a).Op != "upload_offset" {
			t.Errorf("kept: %v", a.Header)
		}
		if got := m.want(t, 204, "", "HEAD", "/f", "", "Upload-Id: other").Header.Get("Upload-Offset"); got != "0" {
			t.Errorf("of another: %s", got)
		}
		for _, offset := range []string{"0", "12", "14"} {
			if a := m.want(t, 409, "upload_offset_mismatch", "PUT", "/f", "x", "Upload-Id: u-1", "Upload-Offset: "+offset); !strings.Contains(a.Body, `"upload_offset":13`) {
				t.Errorf("offset %s: %s", offset, a.Body)
			}
		}
		m.want(t, 409, "upload_offset_mismatch", "PUT", "/f", "x", "Upload-Id: none", "Upload-Offset: 5")
		a = m.want(t, 200, "", "PUT", "/f?mode=600", " and the end", "Upload-Id: u-1", "Upload-Offset: 13")
		if row := m.row(t, a); m.read(t, "f") != "the beginning and the end" || *row.Offset != 13 || *row.Bytes != 12 || m.entry(t, "f").Mode != "0600" {
			t.Errorf("resumed: %q, row %+v", m.read(t, "f"), row)
		}
		m.want(t, 201, "", "PUT", "/g", "whole", "Upload-Id: u-2", "Upload-Offset: 0")
		m.broken(t, "g", 100, "half", "Upload-Id: u-2")
		m.want(t, 200, "", "PUT", "/g", "anew", "Upload-Id: u-2")
		if got := m.names(t, ""); got != "f g" || m.read(t, "g") != "anew" {
			t.Errorf("left: %s", got)
		}
		m.broken(t, "f", 1000, "the beginning", "Upload-Id: u-3")
		m.expire(t)
		if got := m.want(t, 204, "", "HEAD", "/f", "", "Upload-Id: u-3").Header.Get("Upload-Offset"); got != "0" {
			t.Errorf("after a day: %s", got)
		}
		m.want(t, 409, "upload_offset_mismatch", "PUT", "/f", "x", "Upload-Id: u-3", "Upload-Offset: 13")
		for _, id := range []string{"", "a b", strings.Repeat("a", 65), "ä"} {
			m.want(t, 400, "invalid_upload_id", "PUT", "/f", "x", "Upload-Id: "+id)
		}
		m.want(t, 400, "invalid_upload_id", "PUT", "/f", "x", "Upload-Offset: 1")
		m.want(t, 400, "invalid_upload_offset", "PUT", "/f", "x", "Upload-Id: a", "Upload-Offset: -1")
	})
}

// expire makes what is kept of uploads two days old.
func (m *machine) expire(t testing.TB) {
	t.Helper()
	kept, err := filepath.Glob(filepath.Join(m.dir, ".sallyport-upload-*"))
	must(t, err)
	for _, path := range kept {
		must(t, os.Chtimes(path, time.Now(), time.Now().Add(-48*time.Hour)))
	}
	if len(kept) != 1 {
		t.Errorf("%d uploads are kept", len(kept))
	}
}

// broken sends the beginning of a body, and breaks off when it is on the machine.
func (m *machine) broken(t testing.TB, path string, length int, begin string, headers ...string) {
	t.Helper()
	addr := strings.TrimPrefix(m.URL, "http://")
	conn, err := net.Dial("tcp", addr)
	must(t, err)
	defer conn.Close()
	fmt.Fprintf(conn, "PUT /workspaces/%s/files/%s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\nExpect: 100-continue\r\n", m.name, path, addr, m.Token, length)
	for _, h := range headers {
		fmt.Fprintf(conn, "%s\r\n", h)
	}
	fmt.Fprint(conn, "\r\n")
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil || !strings.Contains(line, "100 Continue") {
		t.Fatalf("%q, %v", line, err)
	}
	if row := m.rows(t)[0]; row.Status != sallyport.StatusRunning || row.Op != "write" {
		t.Errorf("a body is asked for before its row: %+v", row)
	}
	_, err = io.WriteString(conn, begin)
	must(t, err)
	conn.Close()
	m.await(t, func() bool { return m.rows(t)[0].Status == sallyport.StatusCanceled })
	if row := m.rows(t)[0]; row.Bytes == nil || *row.Bytes != int64(len(begin)) {
		t.Errorf("row %+v", row)
	}
}

// await looks until done is true.
func (m *machine) await(t testing.TB, done func() bool) {
	t.Helper()
	end := time.After(time.Minute)
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for !done() {
		select {
		case <-look.C:
		case <-end:
			t.Fatal("it doesn't come")
		}
	}
}

func TestChange(t *testing.T) {
	each(t, func(t *testing.T, m *machine) {
		a := m.want(t, 201, "", "PUT", "/d/sub?type=dir&mode=700", "")
		if row := m.row(t, a); row.Op != "mkdir" || m.entry(t, "d/sub").Mode != "0700" || m.entry(t, "d").Mode != "0755" {
			t.Errorf("row %+v", row)
		}
		m.want(t, 200, "", "PUT", "/d/sub?type=dir&mode=755", "")
		m.put(t, "f", "x")
		m.want(t, 409, "exists", "PUT", "/f?type=dir", "")
		m.want(t, 409, "not_a_directory", "PUT", "/f/d?type=dir", "")
		m.want(t, 400, "invalid_type", "PUT", "/d?type=file", "")
		m.want(t, 400, "invalid_body", "PUT", "/d?type=dir", "x")
		a = m.want(t, 200, "", "PATCH", "/f", `{"mode":"4711","mtime":"2026-01-02T03:04:05.5Z"}`)
		var e sallyport.FileEntry
		a.Decode(t, &e)
		if e.Mode != "4711" || e.Mtime.Unix() != 1767323045 || m.row(t, a).Op != "change" {
			t.Errorf("entry %+v", e)
		}
		m.want(t, 200, "", "PATCH", "/d", `{"mode":"750"}`)
		m.want(t, 200, "", "PATCH", "/d", `{}`)
		for body, code := range map[string]string{`{"mode":"8"}`: "invalid_mode", `{"mode":644}`: "invalid_mode", `{"mtime":"x"}`: "invalid_mtime", `{"uid":-1}`: "invalid_uid", `{"gid":"x"}`: "invalid_gid", `{`: "invalid_json"} {
			m.want(t, 400, code, "PATCH", "/f", body)
		}
		m.want(t, 404, "file_not_found", "PATCH", "/none", `{"mode":"600"}`)
		m.put(t, "d/sub/x/y", "y")
		m.want(t, 409, "not_empty", "DELETE", "/d", "")
		a = m.want(t, 204, "", "DELETE", "/d?recursive=true", "")
		if row := m.row(t, a); row.Op != "delete" || row.Entries == nil || *row.Entries != 4 || row.Path != "d" {
			t.Errorf("row %+v", row)
		}
		m.want(t, 204, "", "DELETE", "/f", "")
		m.want(t, 404, "file_not_found", "DELETE", "/f", "")
		if got := m.names(t, ""); got != "" {
			t.Errorf("left: %s", got)
		}
	})
}

func TestMove(t *testing.T) {
	each(t, func(t *testing.T, m *machine) {
		post := func(status int, code, path, body string) stack.Answer {
			t.Helper()
			return m.want(t, status, code, "POST", path, body)
		}
		m.put(t, "f", "f")
		m.put(t, "g", "g")
		m.put(t, "d/x", "x")
		m.link(t, "f", "l")
		a := post(200, "", "/f", `{"action":"move","to":"new/f2"}`)
		if row := m.row(t, a); row.Op != "move" || row.To != "new/f2" || row.Summary != "move f -> new/f2" || m.read(t, "new/f2") != "f" {
			t.Errorf("row %+v", row)
		}
		post(409, "exists", "/new/f2", `{"action":"move","to":"g"}`)
		post(409, "exists", "/new/f2", `{"action":"move","to":"d","overwrite":true}`)
		post(200, "", "/new/f2", `{"action":"move","to":"g","overwrite":true}`)
		post(404, "file_not_found", "/none", `{"action":"move","to":"other/x"}`)
		post(400, "invalid_to", "/d", `{"action":"move","to":"d/e/d"}`)
		post(400, "invalid_to", "/d", `{"action":"copy","to":"d/e","recursive":true}`)
		post(409, "exists", "/g", `{"action":"move","to":"g"}`)
		post(400, "invalid_to", "/g", `{"action":"copy","to":"g","overwrite":true}`)
		post(400, "invalid_to", "/d", `{"action":"move","to":"d"}`)
		post(409, "not_a_directory", "/l", `{"action":"move","to":"g/x"}`)
		post(409, "is_a_directory", "/d", `{"action":"copy","to":"d2"}`)
		a = post(200, "", "/d", `{"action":"copy","to":"d2","recursive":true}`)
		if m.row(t, a).Op != "copy" || m.read(t, "d2/x") != "x" || m.entry(t, "d2/x").Mtime != m.entry(t, "d/x").Mtime {
			t.Errorf("copied: %+v, %+v", m.entry(t, "d2/x"), m.entry(t, "d/x"))
		}
		post(200, "", "/l", `{"action":"copy","to":"l2"}`)
		if e := m.entry(t, "l2"); e.Type != "link" || *e.Target != "f" {
			t.Errorf("%+v", e)
		}
		post(200, "", "/d2", `{"action":"move","to":"d3"}`)
		for body, code := range map[string]string{
			`{}`: "invalid_action", `{"action":"x"}`: "invalid_action", `{"action":"move"}`: "invalid_to", `{"action":"move","to":""}`: "invalid_path",
			`{"action":"move","to":"x","old":"y"}`: "invalid_action", `{"action":"move","to":"x","overwrite":1}`: "invalid_overwrite", `{"action":"move","to":1}`: "invalid_to",
			`{"action":"replace","old":""}`: "invalid_old", `{"action":"replace","old":"x","expect":0}`: "invalid_expect", `{"action":"move","to":"x","y":1}`: "unknown_field",
		} {
			post(400, code, "/g", body)
		}
		if got := m.names(t, ""); got != "d d3 g l l2 new" {
			t.Errorf("names %s", got)
		}
	})
}

func TestReplace(t *testing.T) {
	each(t, func(t *testing.T, m *machine) {
		m.put(t, "f", "a b a")
		a := m.want(t, 200, "", "POST", "/f", `{"action":"replace","old":"a","new":"cc","expect":2}`)
		var r sallyport.FileReplaced
		a.Decode(t, &r)
		if row := m.row(t, a); m.read(t, "f") != "cc b cc" || r.Replaced != 2 || *r.Size != 7 || row.Op != "replace" || len(row.SHA256) != 64 {
			t.Errorf("%+v, row %+v", r, row)
		}
		for _, body := range []string{`{"action":"replace","old":"x","new":"y"}`, `{"action":"replace","old":"c","new":"y","expect":1}`} {
			a := m.want(t, 409, "no_match", "POST", "/f", body)
			if !strings.Contains(a.Body, `"found":`) || m.read(t, "f") != "cc b cc" {
				t.Errorf("%s", a.Body)
			}
		}
		m.put(t, "large", strings.Repeat("x", 16<<20+1))
		m.want(t, 413, "file_too_large", "POST", "/large", `{"action":"replace","old":"x","new":"y"}`)
		m.want(t, 200, "", "POST", "/f", `{"action":"replace","old":"b"}`)
	})
}
