package files

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/client/sallyport"
	"sallyport/test/stack"
)

// form is a form with fields, "name=value", and files, "name" and content.
func form(t testing.TB, fields []string, files ...string) (body, contentType string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, f := range fields {
		name, value, _ := strings.Cut(f, "=")
		must(t, w.WriteField(name, value))
	}
	for i := 0; i < len(files); i += 2 {
		part, err := w.CreateFormFile("file", files[i])
		must(t, err)
		_, err = io.WriteString(part, files[i+1])
		must(t, err)
	}
	must(t, w.Close())
	return b.String(), w.FormDataContentType()
}

// attachments asks for what is below /attachments; see do.
func (m *machine) attachments(t testing.TB, method, path, body string, headers ...string) stack.Answer {
	t.Helper()
	req := m.Request(t, method, "/workspaces/"+m.name+"/attachments"+path, m.Token, body)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	a := m.Send(t, req)
	if id := a.Header.Get(sallyport.HeaderActivityID); id != "" {
		m.checkRow(t, method+" attachments"+path, a, m.row(t, a))
	}
	return a
}

// attach sends files, and returns what became of them.
func (m *machine) attach(t testing.TB, files ...string) []sallyport.Attachment {
	t.Helper()
	body, contentType := form(t, nil, files...)
	a := m.attachments(t, "POST", "", body, "Content-Type: "+contentType)
	if a.Status != http.StatusCreated {
		t.Fatalf("attach: %d %s", a.Status, a.Body)
	}
	var made sallyport.Attached
	a.Decode(t, &made)
	return made.Items
}

// refused wants a status and a code of a form, and that nothing of it is left.
func (m *machine) refused(t testing.TB, status int, code, body, contentType string) {
	t.Helper()
	before := m.left(t)
	a := m.attachments(t, "POST", "", body, "Content-Type: "+contentType)
	if a.Status != status || a.Code() != code {
		t.Errorf("%.300q: %d %s, want %d %s", body, a.Status, a.Body, status, code)
	}
	if after := m.left(t); after != before {
		t.Errorf("%.300q: left %s", body, after)
	}
}

// left is what there is of attachments: on the machine, and in the list.
func (m *machine) left(t testing.TB) string {
	t.Helper()
	var left []string
	must(t, filepath.WalkDir(m.dir, func(path string, _ os.DirEntry, err error) error {
		if strings.Contains(path, ".sallyport") {
			left = append(left, path)
		}
		return err
	}))
	var page sallyport.List[sallyport.Attachment]
	m.attachments(t, "GET", "", "").Decode(t, &page)
	for _, a := range page.Items {
		left = append(left, a.ID)
	}
	return strings.Join(left, " ")
}

func sum(content string) string {
	s := sha256.Sum256([]byte(content))
	return hex.EncodeToString(s[:])
}

func TestAttachments(t *testing.T) {
	each(t, func(t *testing.T, m *machine) {
		const content = "%PDF-1.7 a report"
		body, contentType := form(t, []string{"expires_in_s=3600"}, `C:\tmp\réport.pdf`, content, "empty", "")
		a := m.attachments(t, "POST", "", body, "Content-Type: "+contentType)
		var made sallyport.Attached
		a.Decode(t, &made)
		if a.Status != 201 || len(made.Items) != 2 || m.row(t, a).Op != "attach" {
			t.Fatalf("%d %s, %v", a.Status, a.Body, a.Header)
		}
		pdf, empty := made.Items[0], made.Items[1]
		life := pdf.ExpiresAt.Sub(pdf.CreatedAt)
		if pdf.Name != "réport.pdf" || pdf.Size != int64(len(content)) || pdf.MediaType != "application/pdf" || pdf.SHA256 != sum(content) ||
			pdf.Path != ".sallyport/attachments/"+pdf.ID+"/réport.pdf" || life != time.Hour || pdf.ID[14] != '7' || empty.Size != 0 || empty.SHA256 != sum("") {
			t.Errorf("made %+v", made.Items)
		}
		if got := m.read(t, pdf.Path); got != content {
			t.Errorf("the machine has %q", got)
		}
		for path, want := range map[string]os.FileMode{pdf.Path: 0o600, filepath.Dir(pdf.Path): 0o700, ".sallyport/attachments": 0o700, ".sallyport": 0o700} {
			if info, err := os.Stat(filepath.Join(m.dir, path)); err != nil || info.Mode().Perm() != want {
				t.Errorf("%s: %v, %v", path, info, err)
			}
		}
		row := m.rows(t)[1]
		if row.Op != "attach" || row.Path != pdf.Path || row.SHA256 != pdf.SHA256 || *row.Bytes != pdf.Size || row.Summary != "attach "+pdf.Path {
			t.Errorf("row %+v", row)
		}
		m.checkContent(t, pdf, content)
		m.checkLists(t, empty, pdf)
		m.checkDelete(t, pdf, empty)
	})
}

func (m *machine) checkContent(t *testing.T, pdf sallyport.Attachment, content string) {
	path := "/" + pdf.ID + "/content"
	for _, method := range []string{"GET", "HEAD"} {
		a := m.attachments(t, method, path, "")
		if a.Status != 200 || method == "GET" && a.Body != content {
			t.Errorf("%s: %d %q", method, a.Status, a.Body)
		}
		for name, want := range map[string]string{
			"Content-Type": "application/pdf", "Content-Length": fmt.Sprint(len(content)), "X-Content-Type-Options": "nosniff",
			"Content-Disposition":     `attachment; filename="r_port.pdf"; filename*=UTF-8''r%C3%A9port.pdf`,
			"Content-Security-Policy": "sandbox; default-src 'none'", "Cross-Origin-Resource-Policy": "same-origin",
			"Etag": `"` + sum(content) + `"`, "Accept-Ranges": "bytes",
		} {
			if got := a.Header.Get(name); got != want {
				t.Errorf("%s: %s %q, want %q", method, name, got, want)
			}
		}
		if row := m.rows(t)[0]; row.Op != "attachment_read" || row.Path != pdf.Path {
			t.Errorf("row %+v", row)
		}
	}
	etag := `"` + sum(content) + `"`
	for _, tt := range []struct {
		header string
		status int
		body   string
	}{
		{"Range: bytes=1-3", 206, content[1:4]}, {"Range: bytes=-3", 206, content[len(content)-3:]}, {"Range: bytes=99-", 416, ""},
		{"If-None-Match: " + etag, 304, ""}, {`If-Match: "other"`, 412, ""}, {"If-Match: " + etag, 200, content},
		{"If-Modified-Since: " + time.Now().Add(time.Minute).UTC().Format(http.TimeFormat), 304, ""},
	} {
		if a := m.attachments(t, "GET", path, "", tt.header); a.Status != tt.status || tt.status < 300 && a.Body != tt.body {
			t.Errorf("%s: %d %q", tt.header, a.Status, a.Body)
		}
	}
}

func (m *machine) checkLists(t *testing.T, newestFirst ...sallyport.Attachment) {
	before := len(m.rows(t))
	var items []sallyport.Attachment
	for path := "?limit=1"; path != ""; {
		var page sallyport.List[sallyport.Attachment]
		m.attachments(t, "GET", path, "").Decode(t, &page)
		items = append(items, page.Items...)
		if path = ""; page.NextCursor != "" {
			path = "?limit=1&cursor=" + page.NextCursor
		}
	}
	if fmt.Sprint(items) != fmt.Sprint(newestFirst) {
		t.Errorf("listed %+v, want %+v", items, newestFirst)
	}
	for _, want := range newestFirst {
		var got sallyport.Attachment
		if m.attachments(t, "GET", "/"+want.ID, "").Decode(t, &got); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	if after := len(m.rows(t)); after != before {
		t.Errorf("looking left %d rows", after-before)
	}
}

func (m *machine) checkDelete(t *testing.T, pdf, empty sallyport.Attachment) {
	m.put(t, ".sallyport/attachments/"+empty.ID+"/more/of it", "x")
	for _, id := range []string{pdf.ID, empty.ID} {
		if a := m.attachments(t, "DELETE", "/"+id, ""); a.Status != 204 {
			t.Errorf("delete: %d %s", a.Status, a.Body)
		}
		if row := m.rows(t)[0]; row.Op != "attachment_delete" {
			t.Errorf("row %+v", row)
		}
		for _, do := range [][2]string{{"GET", ""}, {"GET", "/content"}, {"DELETE", ""}} {
			if a := m.attachments(t, do[0], "/"+id+do[1], ""); a.Status != 404 || a.Code() != "attachment_not_found" {
				t.Errorf("%v: %d %s", do, a.Status, a.Body)
			}
		}
	}
	if left := m.left(t); left != "" {
		t.Errorf("left %s", left)
	}
}

func TestAttachmentGone(t *testing.T) {
	each(t, func(t *testing.T, m *machine) {
		made := m.attach(t, "a", "one", "b", "two", "c", "three")
		must(t, os.Remove(filepath.Join(m.dir, made[0].Path)))
		must(t, os.WriteFile(filepath.Join(m.dir, made[1].Path), []byte("longer"), 0o600))
		must(t, os.RemoveAll(filepath.Dir(filepath.Join(m.dir, made[2].Path))))
		for _, a := range made {
			if got := m.attachments(t, "GET", "/"+a.ID+"/content", ""); got.Status != 410 || got.Code() != "attachment_gone" {
				t.Errorf("%s: %d %s", a.Name, got.Status, got.Body)
			}
			if got := m.attachments(t, "DELETE", "/"+a.ID, ""); got.Status != 204 {
				t.Errorf("%s: %d %s", a.Name, got.Status, got.Body)
			}
		}
	})
}

// A copy is of the file as it is now, and made by one with both scopes.
func TestAttachCopy(t *testing.T) {
	each(t, func(t *testing.T, m *machine) {
		big := strings.Repeat("0123456789abcdef", 200_000)
		m.put(t, "out/report.txt", big)
		m.put(t, "empty", "")
		for path, content := range map[string]string{"out/report.txt": big, "empty": ""} {
			a := m.attachments(t, "POST", "", `{"path":"`+path+`","expires_in_s":60}`, "Content-Type: application/json")
			var made sallyport.Attached
			a.Decode(t, &made)
			if a.Status != 201 || len(made.Items) != 1 || made.Items[0].SHA256 != sum(content) || made.Items[0].Name != filepath.Base(path) {
				t.Fatalf("%d %s", a.Status, a.Body)
			}
			if row := m.row(t, a); row.Op != "attach" || row.Path != path || row.To != made.Items[0].Path || row.SHA256 != sum(content) {
				t.Errorf("row %+v", row)
			}
			if m.read(t, made.Items[0].Path) != content {
				t.Error("the copy differs")
			}
		}
		m.link(t, "/etc/passwd", "out/link")
		before := m.left(t)
		for _, tt := range []struct {
			body   string
			status int
			code   string
		}{
			{`{"path":"none"}`, 404, "file_not_found"}, {`{"path":"out"}`, 409, "is_a_directory"}, {`{"path":"out/link"}`, 400, "invalid_path"},
			{`{"path":"../x"}`, 400, "invalid_path"}, {`{"path":""}`, 400, "invalid_path"}, {`{}`, 400, "invalid_path"}, {`{"path":".sallyport/x"}`, 400, "invalid_path"},
			{`{"path":"out/report.txt","expires_in_s":59}`, 400, "invalid_expires_in_s"}, {`{"path":"out/report.txt","expires_in_s":2592001}`, 400, "invalid_expires_in_s"},
			{`{"path":"out/report.txt","name":"x"}`, 400, "unknown_field"}, {`x`, 400, "invalid_json"},
		} {
			if a := m.attachments(t, "POST", "", tt.body, "Content-Type: application/json"); a.Status != tt.status || a.Code() != tt.code {
				t.Errorf("%s: %d %s, want %d %s", tt.body, a.Status, a.Body, tt.status, tt.code)
			}
		}
		if after := m.left(t); after != before {
			t.Errorf("left %s", after)
		}
	})
}

// A link in the way of what is the server's own leads nowhere.
func TestAttachmentsByLink(t *testing.T) {
	each(t, func(t *testing.T, m *machine) {
		made := m.attach(t, "f", "content")[0]
		dir := filepath.Join(m.dir, ".sallyport")
		body, contentType := form(t, nil, "g", "x")
		for _, where := range []string{"", "attachments"} {
			at := filepath.Join(dir, where)
			must(t, os.Rename(at, filepath.Join(m.dir, "away")))
			must(t, os.Symlink(filepath.Join(m.dir, "away"), at))
			for _, do := range [][2]string{{"GET", "/" + made.ID + "/content"}, {"DELETE", "/" + made.ID}, {"POST", ""}} {
				a := m.attachments(t, do[0], do[1], body, "Content-Type: "+contentType)
				if a.Status != 400 || a.Code() != "invalid_path" {
					t.Errorf("%q %v: %d %s", where, do, a.Status, a.Body)
				}
			}
			must(t, os.Remove(at))
			must(t, os.Rename(filepath.Join(m.dir, "away"), at))
		}
		if m.names(t, ".sallyport/attachments") != made.ID || m.read(t, made.Path) != "content" {
			t.Errorf("there are %s", m.names(t, ".sallyport/attachments"))
		}
	})
}

// What a form may hold, and in what order.
func TestAttachmentForms(t *testing.T) {
	t.Parallel()
	m := embedded(t, stack.Start(t, stack.Options{Env: map[string]string{"SALLYPORT_LIMITS_ATTACHMENT_BYTES": "2000000"}}))
	many := make([]string, 2*21)
	for i := range many {
		many[i] = fmt.Sprint(i)
	}
	const mixed = "multipart/form-data; boundary=b"
	part := func(disposition, content string) string {
		return "--b\r\nContent-Disposition: " + disposition + "\r\n\r\n" + content + "\r\n"
	}
	file, life := part(`form-data; name="f"; filename="f"`, "x"), func(s string) string { return part(`form-data; name="expires_in_s"`, s) }
	for _, tt := range []struct {
		status     int
		code, body string
	}{
		{400, "invalid_attachments", "--b--\r\n"},
		{400, "invalid_attachments", life("60") + "--b--\r\n"},
		{400, "invalid_attachments", part(`form-data; name="f"; filename=""`, "") + "--b--\r\n"},
		{400, "invalid_attachments", "x"},
		{400, "invalid_attachments", file},
		{400, "invalid_attachments", part("", "x") + "--b--\r\n"},
		{400, "invalid_attachments", file + part(`attachment; filename="f"`, "x") + "--b--\r\n"},
		{400, "invalid_attachments", strings.Repeat("x\r\n", 100_000) + file + "--b--\r\n"},
		{400, "invalid_expires_in_s", file + life("60") + "--b--\r\n"},
		{400, "invalid_expires_in_s", life("60") + life("60") + file + "--b--\r\n"},
		{400, "invalid_expires_in_s", life("59") + file + "--b--\r\n"},
		{400, "invalid_expires_in_s", life("+60") + file + "--b--\r\n"},
		{400, "invalid_expires_in_s", life("") + file + "--b--\r\n"},
		{400, "invalid_expires_in_s", life("2592001") + file + "--b--\r\n"},
		{400, "unknown_field", part(`form-data; name="path"`, "x") + file + "--b--\r\n"},
		{400, "unknown_field", file + part(`form-data; name="path"`, "x") + "--b--\r\n"},
		{413, "attachment_too_large", file + part(`form-data; name="f"; filename="f"`, strings.Repeat("x", 2_000_001)) + "--b--\r\n"},
	} {
		m.refused(t, tt.status, tt.code, tt.body, mixed)
	}
	body, contentType := form(t, nil, many...)
	m.refused(t, 400, "invalid_attachments", body, contentType)
	for _, contentType := range []string{"text/plain", "multipart/form-data", "multipart/mixed; boundary=b"} {
		m.refused(t, 415, "unsupported_media_type", file+"--b--\r\n", contentType)
	}
	// As Chrome sends it: a field, an input without a file, a name with what it escapes.
	body = life("3600") + part("form-data; name=\"a\"; filename=\"\"\r\nContent-Type: application/octet-stream", "") +
		part("form-data; name=\"b\"; filename=\"a%22b\u202e.html\"\r\nContent-Type: text/html", strings.Repeat("é", 900_000)) + "--b--\r\n"
	a := m.attachments(t, "POST", "", body, "Content-Type: "+mixed)
	var made sallyport.Attached
	a.Decode(t, &made)
	if a.Status != 201 || len(made.Items) != 1 || made.Items[0].Name != "a%22b_.html" || made.Items[0].MediaType != "text/plain; charset=utf-8" || made.Items[0].Size != 1_800_000 {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}

// curl as it is: a form with two files and a field before them.
func TestAttachByCurl(t *testing.T) {
	t.Parallel()
	m := embedded(t, stack.Start(t, stack.Options{}))
	local := filepath.Join(t.TempDir(), "it's a file.log")
	must(t, os.WriteFile(local, []byte("log"), 0o600))
	out, err := exec.Command("curl", "-sS", "-H", "Authorization: Bearer "+m.Token, "-F", "expires_in_s=60", "-F", "file=@"+local, "-F", "file=@"+local+";filename=../b",
		m.URL+"/workspaces/"+m.name+"/attachments").CombinedOutput()
	must(t, err)
	var made sallyport.Attached
	if err := json.Unmarshal(out, &made); err != nil || len(made.Items) != 2 || made.Items[0].Name != "it's a file.log" || made.Items[1].Name != "b" {
		t.Errorf("%s, %v", out, err)
	}
}

// An organisation's attachments never hold more than they may, however many come at once,
// and what is refused takes no room.
func TestAttachmentsQuota(t *testing.T) {
	t.Parallel()
	m := embedded(t, stack.Start(t, stack.Options{Env: map[string]string{"SALLYPORT_LIMITS_ATTACHMENTS_BYTES": "1050"}}))
	body, contentType := form(t, nil, "f", strings.Repeat("x", 100))
	var mu sync.Mutex
	var all sync.WaitGroup
	status := map[int]int{}
	for range 20 {
		all.Go(func() {
			a := m.attachments(t, "POST", "", body, "Content-Type: "+contentType)
			mu.Lock()
			defer mu.Unlock()
			status[a.Status]++
			if a.Status != 201 && !(a.Code() == "no_space" && strings.Contains(a.Body, `"reason":"organisation"`)) {
				t.Errorf("%d %s", a.Status, a.Body)
			}
		})
	}
	all.Wait()
	if status[201] != 10 || status[507] != 10 {
		t.Errorf("status %v", status)
	}
	two, contentType2 := form(t, nil, "a", strings.Repeat("x", 50), "b", "x")
	m.refused(t, 507, "no_space", two, contentType2)
	m.put(t, "f", strings.Repeat("x", 51))
	m.refused(t, 507, "no_space", `{"path":"f"}`, "application/json")
	m.attach(t, "a", strings.Repeat("x", 50))
	m.refused(t, 507, "no_space", body, contentType)
	if a := m.Do(t, "PATCH", "/orgs/"+m.OrgID, m.AdminToken, `{"limits":{"attachment_bytes":99,"attachments_bytes":10000}}`); a.Status != 200 {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	m.refused(t, 413, "attachment_too_large", body, contentType)
	m.attach(t, "a", strings.Repeat("x", 99))
}

// A body that breaks off leaves nothing, not on the machine and not of the room.
func TestAttachBrokenOff(t *testing.T) {
	each(t, func(t *testing.T, m *machine) {
		addr := strings.TrimPrefix(m.URL, "http://")
		conn, err := net.Dial("tcp", addr)
		must(t, err)
		fmt.Fprintf(conn, "POST /workspaces/%s/attachments HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 9000000\r\n\r\n", m.name, addr, m.Token)
		fmt.Fprint(conn, "--b\r\nContent-Disposition: form-data; name=a; filename=a\r\n\r\nwhole\r\n--b\r\nContent-Disposition: form-data; name=b; filename=b\r\n\r\n"+strings.Repeat("x", 3<<20))
		m.await(t, func() bool { return strings.Count(m.left(t), "/a")+strings.Count(m.left(t), "/b") >= 2 })
		must(t, conn.Close())
		m.await(t, func() bool { rows := m.rows(t); return rows[0].CompletedAt != nil && rows[1].CompletedAt != nil })
		if rows := m.rows(t); rows[0].Status != "canceled" || rows[1].Status != "canceled" || rows[0].Op != "attach" || rows[0].SHA256 != "" {
			t.Errorf("rows %+v", rows)
		}
		if left := m.left(t); left != "" {
			t.Errorf("left %s", left)
		}
	})
}

// Attachments take their own scope, are of one workspace alone, and another tenant learns
// nothing of them.
func TestAttachmentAccess(t *testing.T) {
	t.Parallel()
	m := embedded(t, stack.Start(t, stack.Options{}))
	made := m.attach(t, "f", "content")[0]
	body, contentType := form(t, nil, "f", "x")
	ask := func(token, ws, method, path, body, contentType string) stack.Answer {
		req := m.Request(t, method, "/workspaces/"+ws+"/attachments"+path, token, body)
		req.Header.Set("Content-Type", contentType)
		return m.Send(t, req)
	}
	newToken := func(scopes string) string {
		var token sallyport.Token
		m.Do(t, "POST", "/orgs/"+m.OrgID+"/tokens", m.Token, `{"name":"t"`+scopes+`}`).Decode(t, &token)
		return token.Secret
	}
	plain, only := newToken(""), newToken(`,"scopes":["attachments"]`)
	m.Do(t, "POST", "/workspaces", m.Token, `{"name":"other","connector":{"type":"local"}}`)
	m.Do(t, "POST", "/workspaces", m.Token, `{"name":"hostless"}`)
	m.Do(t, "POST", "/orgs", m.AdminToken, `{"name":"stranger"}`)
	var stranger sallyport.Token
	m.Do(t, "POST", "/orgs/stranger/tokens", m.AdminToken, `{"name":"t","scopes":["attachments"]}`).Decode(t, &stranger)
	routes := [][2]string{{"POST", ""}, {"GET", ""}, {"GET", "/" + made.ID}, {"GET", "/" + made.ID + "/content"}, {"DELETE", "/" + made.ID}}
	for _, r := range routes {
		for _, tt := range []struct {
			token, ws string
			status    int
			code      string
		}{
			{plain, m.name, 403, "scope_forbidden"}, {stranger.Secret, m.name, 404, "workspace_not_found"}, {only, "none", 404, "workspace_not_found"},
		} {
			if a := ask(tt.token, tt.ws, r[0], r[1], body, contentType); a.Status != tt.status || a.Code() != tt.code {
				t.Errorf("%v %s: %d %s", r, tt.ws, a.Status, a.Body)
			}
		}
		if r[1] != "" {
			if a := ask(only, "other", r[0], r[1], "", ""); a.Status != 404 || a.Code() != "attachment_not_found" {
				t.Errorf("%v of another workspace: %d %s", r, a.Status, a.Body)
			}
		}
	}
	if a := ask(only, m.name, "POST", "", `{"path":"f"}`, "application/json"); a.Status != 403 || a.Code() != "scope_forbidden" {
		t.Errorf("copy: %d %s", a.Status, a.Body)
	}
	for _, r := range [][2]string{{"POST", ""}, {"DELETE", "/" + made.ID}, {"GET", "/" + made.ID + "/content"}} {
		if a := ask(only, "hostless", r[0], r[1], body, contentType); a.Status != 400 || a.Code() != "workspace_has_no_host" {
			t.Errorf("%v hostless: %d %s", r, a.Status, a.Body)
		}
	}
	if a := ask(only, m.name, "GET", "/"+made.ID+"/content", "", ""); a.Status != 200 || a.Body != "content" {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if a := ask(only, m.name, "GET", "?all=true", "", ""); a.Status != 400 || a.Code() != "unknown_field" {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}
