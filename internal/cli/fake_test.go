package cli

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"time"

	"sallyport/client/sallyport"
)

// Tokens that the fake knows.
const (
	fakeOrgToken   = "sp_org_fake"
	fakeAdminToken = "sp_adm_fake"
)

// newFake starts a server that answers as the contract says, and shows in its
// answers who asked for what.
func newFake() *httptest.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /session", fakeSession)
	mux.HandleFunc("GET /workspaces", fakeWorkspaces)
	mux.HandleFunc("GET /workspaces/{id}", fakeWorkspace)
	mux.HandleFunc("GET /workspaces/{id}/connection", fakeConnection)
	mux.HandleFunc("POST /workspaces", fakeEcho)
	mux.HandleFunc("PATCH /workspaces/{id}", fakeEcho)
	mux.HandleFunc("DELETE /workspaces/{id}", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("POST /workspaces/{id}/exec", fakeExec)
	mux.HandleFunc("GET /workspaces/{id}/execs", fakeExecs)
	mux.HandleFunc("GET /workspaces/{id}/forwards", fakeForwards)
	mux.HandleFunc("GET /workspaces/{id}/forward", fakeForward)
	mux.HandleFunc("GET /workspaces/{id}/terminal", fakeTerminal)
	mux.HandleFunc("GET /workspaces/{id}/terminals", fakeTerminals)
	mux.HandleFunc("GET /workspaces/{id}/terminals/{exec}", fakeAct)
	mux.HandleFunc("DELETE /workspaces/{id}/terminals/{exec}", fakeAct)
	mux.HandleFunc("POST /workspaces/{id}/execs/{exec}/signal", fakeAct)
	mux.HandleFunc("DELETE /workspaces/{id}/forwards/{exec}", fakeAct)
	mux.HandleFunc("GET /workspaces/{id}/forwards/{exec}", fakeAct)
	mux.HandleFunc("GET /workspaces/{id}/files/{path...}", fakeFile)
	mux.HandleFunc("POST /{kind}/{id}/tokens", fakeEcho)
	mux.HandleFunc("GET /{kind}/{id}/recordings", fakeRecordings)
	mux.HandleFunc("GET /{kind}/{id}/recordings/{recording}", fakeRecordings)
	mux.HandleFunc("DELETE /{kind}/{id}/recordings/{recording}", fakeRecordings)
	mux.HandleFunc("GET /ca", fakeCA)
	mux.HandleFunc("POST /orgs/{id}/ca/rotate", fakeRotateCA)
	mux.HandleFunc("GET /orgs", fakeOrgs)
	mux.HandleFunc("POST /orgs", fakeEcho)
	mux.HandleFunc("PATCH /orgs/{id}", fakeEcho)
	mux.HandleFunc("GET /orgs/{id}", func(w http.ResponseWriter, r *http.Request) {
		fakeJSON(w, 200, sallyport.Org{ID: "o-1", Name: r.PathValue("id"), Limits: &sallyport.OrgLimits{RunningExecs: 64, RequestBurst: 9}})
	})
	mux.HandleFunc("GET /activity", fakeActivity)
	mux.HandleFunc("GET /orgs/{id}/activity", fakeActivity)
	mux.HandleFunc("GET /workspaces/{id}/activity", fakeActivity)
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.Path = strings.TrimPrefix(r.URL.Path, "/prefix")
		if fakeHealth(w, r) {
			return
		}
		switch bearer(r) {
		case fakeOrgToken, fakeAdminToken:
			mux.ServeHTTP(w, r)
		default:
			fakeJSON(w, 401, sallyport.Errorf(sallyport.CodeUnauthenticated, "a valid token is needed"))
		}
	}))
}

func bearer(r *http.Request) string {
	return strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
}

func fakeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", sallyport.MediaJSON)
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}

func fakeSession(w http.ResponseWriter, r *http.Request) {
	if bearer(r) == fakeAdminToken {
		fakeJSON(w, 200, sallyport.Session{Actor: "admin-token", Scopes: sallyport.AllScopes()})
		return
	}
	fakeJSON(w, 200, sallyport.Session{Actor: "org-token:sp_org_f", OrgID: "o-1", Scopes: sallyport.AllScopes()})
}

// fakeWorkspaces lists 1,201 workspaces, in pages. The labels of each say who
// asked, and in which organisation. The first has a name that no server of ours
// would give.
func fakeWorkspaces(w http.ResponseWriter, r *http.Request) {
	const total = 1201
	from, _ := strconv.Atoi(r.URL.Query().Get("cursor"))
	limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
	list := sallyport.List[sallyport.Workspace]{Items: []sallyport.Workspace{}}
	for n := from; n < min(from+min(limit, 500), total); n++ {
		ws := fakeRecord(r, "w"+strconv.Itoa(n))
		if n == 1 {
			ws.Name = "evil\x1b[2J\u202ename"
		}
		list.Items = append(list.Items, ws)
	}
	if next := from + len(list.Items); next < total {
		list.NextCursor = strconv.Itoa(next)
	}
	fakeJSON(w, 200, list)
}

func fakeRecord(r *http.Request, name string) sallyport.Workspace {
	return sallyport.Workspace{
		ID: "id-of-" + name, OrgID: "o-1", Name: name, Tier: 3,
		Labels:    map[string]string{"token": bearer(r), "org": r.URL.Query().Get("org")},
		CreatedAt: time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC),
	}
}

func fakeWorkspace(w http.ResponseWriter, r *http.Request) {
	switch name := r.PathValue("id"); name {
	case "gone":
		fakeJSON(w, 404, sallyport.Errorf(sallyport.CodeWorkspaceNotFound, "No such workspace.\nReally\x1b[0m."))
	case "proxy":
		w.WriteHeader(http.StatusBadGateway)
		fmt.Fprint(w, "<html>Bad Gateway</html>")
	case "moved":
		http.Redirect(w, r, "https://elsewhere.example.com/", http.StatusFound)
	case "odd":
		w.Header().Set("Content-Type", sallyport.MediaJSON)
		fmt.Fprint(w, `{"name":"odd",  "of_a_later_version":[1, 2]}`)
	default:
		fakeJSON(w, 200, fakeRecord(r, name))
	}
}

// fakeConnection is up for up, and down for any other.
func fakeConnection(w http.ResponseWriter, r *http.Request) {
	at := time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)
	c := sallyport.Connection{State: sallyport.StateConnected, Since: &at, Connections: 2, Sessions: 6, SessionsPerConnection: 5,
		HostKey: "ssh-ed25519 AAAA", HostKeyFingerprint: "SHA256:x"}
	if r.PathValue("id") != "up" {
		c = sallyport.Connection{State: sallyport.StateBackingOff, Since: &at, SessionsPerConnection: 5, NextDialAt: &at, LastError: &sallyport.ConnectionError{
			Message: "nothing answers", Code: sallyport.CodeConnectFailed, Reason: sallyport.ReasonDialFailed, At: at}}
	}
	fakeJSON(w, 200, c)
}

// fakeEcho answers with what it was sent: the body, and the route as the id.
func fakeEcho(w http.ResponseWriter, r *http.Request) {
	var body map[string]any
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		fakeJSON(w, 400, sallyport.Errorf(sallyport.CodeInvalidJSON, "%v", err))
		return
	}
	if labels, ok := body["labels"].(map[string]any); ok {
		for key, value := range labels {
			if value == nil {
				labels[key] = "(removed)"
			}
		}
	}
	body["id"] = r.Method + " " + r.URL.String()
	if strings.HasSuffix(r.URL.Path, "/tokens") {
		body["token"] = "sp_org_new"
	}
	fakeJSON(w, 201, body)
}

// fakeCAKeys are a new key, and one that ends.
func fakeCAKeys() []sallyport.CAKey {
	at := time.Date(2026, 11, 17, 8, 0, 0, 0, time.UTC)
	newest, err := sallyport.NewCAKey("new", "ssh-ed25519 AAAAbmV3", at, time.Time{})
	if err != nil {
		panic(err)
	}
	old, err := sallyport.NewCAKey("old", "ssh-ed25519 AAAAb2xk", at, at.Add(7*24*time.Hour))
	if err != nil {
		panic(err)
	}
	return []sallyport.CAKey{newest, old}
}

// fakeCA is of the caller's organisation, and of none where the admin names none.
func fakeCA(w http.ResponseWriter, r *http.Request) {
	if bearer(r) == fakeAdminToken && r.URL.Query().Get("org") == "" {
		fakeJSON(w, 404, sallyport.Errorf(sallyport.CodeNotFound, "no such organisation"))
		return
	}
	fakeJSON(w, 200, sallyport.List[sallyport.CAKey]{Items: fakeCAKeys()})
}

// fakeRotateCA answers with both keys, or the new one alone.
func fakeRotateCA(w http.ResponseWriter, r *http.Request) {
	var req sallyport.CARotate
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil || bearer(r) != fakeAdminToken {
		fakeJSON(w, 403, sallyport.Errorf(sallyport.CodeScopeForbidden, "it takes scope workspaces"))
		return
	}
	list := sallyport.List[sallyport.CAKey]{}
	for _, key := range fakeCAKeys() {
		if key.EndsAt == nil || !req.Now {
			list.Items = append(list.Items, key)
		}
	}
	fakeJSON(w, 201, list)
}

func fakeOrgs(w http.ResponseWriter, r *http.Request) {
	if bearer(r) != fakeAdminToken {
		fakeJSON(w, 403, sallyport.Errorf(sallyport.CodeScopeForbidden, "only the admin manages organisations"))
		return
	}
	fakeJSON(w, 200, sallyport.List[sallyport.Org]{Items: []sallyport.Org{{ID: "o-1", Name: "acme"}}})
}

// fakeActivity has one row, whose summary is the query, and whose actor is the
// token.
func fakeActivity(w http.ResponseWriter, r *http.Request) {
	zero := 0
	row := sallyport.Activity{
		ID: "a-1", Type: sallyport.ActivityExec, Status: sallyport.StatusOK, Actor: bearer(r), Summary: r.URL.String(),
		ExecEnded: sallyport.ExecEnded{ExitCode: &zero},
	}
	list := sallyport.List[sallyport.Activity]{Items: []sallyport.Activity{row}, NextCursor: "x"}
	if q := r.URL.Query(); q.Get("type") != "" && q.Get("cursor") != "" {
		list.NextCursor = "" // ps reads to the end
	}
	fakeJSON(w, 200, list)
}

// fakeExecs has one exec, which has run out of time.
func fakeExecs(w http.ResponseWriter, r *http.Request) {
	took := int64(30286)
	row := sallyport.Activity{
		ID: fakeExecID, Type: sallyport.ActivityExec, Status: sallyport.StatusTimeout, WorkspaceID: "id-of-w1",
		Actor: "org-token:sp_org_12345678", Summary: "make --directory=/srv/app all test install", CreatedAt: time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC),
	}
	row.DurationMS, row.Code = &took, sallyport.CodeExecTimeout
	fakeJSON(w, 200, sallyport.List[sallyport.Activity]{Items: []sallyport.Activity{row}})
}

// The ids of the only exec, and of the only forward, which is younger.
const (
	fakeExecID    = "0198c9a4-9d10-7c3d-8e5f-6a7b8c9d0e1f"
	fakeForwardID = "0198c9a4-ad10-7c3d-8e5f-6a7b8c9d0e1f"
)

func fakeForwards(w http.ResponseWriter, r *http.Request) {
	row := sallyport.Activity{
		ID: fakeForwardID, Type: sallyport.ActivityForward, Status: sallyport.StatusRunning, WorkspaceID: "id-of-w1",
		Actor: "org-token:sp_org_12345678", Summary: "127.0.0.1:5432", CreatedAt: time.Date(2026, 11, 24, 8, 1, 0, 0, time.UTC),
	}
	row.Target = "127.0.0.1:5432"
	fakeJSON(w, 200, sallyport.List[sallyport.Activity]{Items: []sallyport.Activity{row}})
}

// fakeTerminalID is that of the only terminal.
const fakeTerminalID = "0198c9a4-cd10-7c3d-8e5f-6a7b8c9d0e1f"

// fakeTerminals lists the only terminal, which runs on w9.
func fakeTerminals(w http.ResponseWriter, r *http.Request) {
	if r.PathValue("id") != "w9" {
		fakeJSON(w, 200, sallyport.List[sallyport.Activity]{Items: []sallyport.Activity{}})
		return
	}
	fakeJSON(w, 200, sallyport.List[sallyport.Activity]{Items: []sallyport.Activity{{
		ID: fakeTerminalID, Type: sallyport.ActivityTerminal, Status: sallyport.StatusRunning, WorkspaceID: "id-of-w9",
		Actor: "org-token:sp_org_12345678", Summary: "login shell", CreatedAt: time.Date(2026, 11, 24, 8, 2, 0, 0, time.UTC),
	}}})
}

// fakeForward allows every target but port 81, and answers a plain GET alone.
func fakeForward(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("port") == "81" {
		fakeJSON(w, 403, sallyport.Errorf(sallyport.CodeForwardForbidden, "forwards of %s don't lead there", r.PathValue("id")))
		return
	}
	fakeJSON(w, 426, sallyport.Errorf(sallyport.CodeUpgradeRequired, "ask for a WebSocket"))
}

// fakeAct knows the only exec, and the only forward, each on its own route.
func fakeAct(w http.ResponseWriter, r *http.Request) {
	only := fakeExecID
	switch {
	case strings.Contains(r.URL.Path, "/forwards/"):
		only = fakeForwardID
	case strings.Contains(r.URL.Path, "/terminals/"):
		only = fakeTerminalID
	}
	switch id := r.PathValue("exec"); {
	case id != only:
		fakeJSON(w, 404, sallyport.Errorf(sallyport.CodeNotFound, "there is none with this id"))
	case r.Method == http.MethodGet:
		fakeJSON(w, 200, sallyport.Activity{ID: id, Type: sallyport.ActivityForward})
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

// fakeExec does what the first word of the argv says.
func fakeExec(w http.ResponseWriter, r *http.Request) {
	var req sallyport.ExecRequest
	body := bufio.NewReader(r.Body)
	line, err := body.ReadBytes('\n')
	if err = errors.Join(err, json.Unmarshal(line, &req)); err == nil {
		req.StdinBase64, err = io.ReadAll(body)
	}
	if err != nil {
		fakeJSON(w, 400, sallyport.Errorf(sallyport.CodeInvalidJSON, "%v", err))
		return
	}
	if r.PathValue("id") == "gone" {
		fakeJSON(w, 404, sallyport.Errorf(sallyport.CodeWorkspaceNotFound, "no such workspace"))
		return
	}
	if r.PathValue("id") == "down" {
		fakeJSON(w, 502, sallyport.Errorf(sallyport.CodeConnectFailed, "nothing answers").WithStarted(false))
		return
	}
	w.Header().Set("Content-Type", sallyport.MediaNDJSON)
	w.Header().Set(sallyport.HeaderExecID, "0198-exec")
	w.Header().Set(sallyport.HeaderTimeoutS, strconv.Itoa(min(max(req.TimeoutS, 1), 120)))
	for _, line := range fakeFrames(r, req) {
		fmt.Fprintln(w, line)
		w.(http.Flusher).Flush()
	}
	if req.Cmd[0] == "hang" {
		<-r.Context().Done()
	}
}

// fakeFile is a file of 3 MiB, whatever its path.
func fakeFile(w http.ResponseWriter, r *http.Request) {
	at, size, name := time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC), int64(3<<20), r.PathValue("path")
	if r.URL.Query().Get("stat") == "true" {
		fakeJSON(w, 200, sallyport.FileEntry{Path: &name, Name: &name, Type: sallyport.FileTypeFile, Size: &size, Mode: "0640", Mtime: at, ETag: `"e"`})
		return
	}
	w.Header().Set("ETag", `"e"`)
	http.ServeContent(w, r, "", at, strings.NewReader(strings.Repeat("x", int(size))))
}

func fakeFrames(r *http.Request, req sallyport.ExecRequest) []string {
	const out = `{"stream":"stdout","data":"out\n","truncated":false}`
	switch req.Cmd[0] {
	case "request":
		text, _ := json.Marshal(req)
		data, _ := json.Marshal(bearer(r) + " " + r.URL.String() + " " + string(text) + "\n")
		return []string{`{"stream":"stdout","data":` + string(data) + `,"truncated":false}`, `{"exit_code":0,"duration_ms":1}`}
	case "both":
		return []string{out, "", `{"stream":"stderr","data":"err\n","truncated":false}`, `{"exit_code":0,"duration_ms":12}`}
	case "exit":
		return []string{out, `{"exit_code":` + req.Cmd[1] + `,"duration_ms":12}`}
	case "kill":
		return []string{`{"exit_code":137,"duration_ms":12,"signal":"KILL","output_open":true}`}
	case "cap":
		return []string{`{"stream":"stdout","data":"out\n[output truncated at 4 bytes]","truncated":true}`, `{"exit_code":0,"duration_ms":12}`}
	case "timeout":
		return []string{out, `{"error":"the deadline of 2 s passed","code":"exec_timeout","timeout_s":2}`}
	case "drained":
		return []string{out, `{"error":"the server is ending; try again in a moment","code":"draining","started":true}`}
	case "revoked":
		return []string{out, `{"error":"the token was revoked","code":"revoked","started":true}`}
	}
	return []string{out} // and no last frame
}
