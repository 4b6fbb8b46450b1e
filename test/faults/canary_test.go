//go:build linux

package faults

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/client/sallyport"
)

// harmless is a word in an argv that is no secret: it must be found, as a proof
// that the search finds what is there.
const harmless = "harmlessword7391"

// TestCanaries plants secrets wherever a caller may put one, and then looks for
// them in every file that the server keeps, while it runs and when it has ended,
// and in its log.
func TestCanaries(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			server := startChild(t, childOptions{flags: map[string]string{"log.level": "debug", "log.format": format}})
			f := &flock{t: t, server: server, caller: newCaller(t, server.Stack), dir: t.TempDir(), canaries: map[string]string{}}
			f.plant()
			f.search("while it runs")
			if code := server.terminate(t); code != 0 {
				t.Errorf("the server ended with %d", code)
			}
			f.search("after its end")
		})
	}
}

// flock is the canaries of one server.
type flock struct {
	t      *testing.T
	server *child
	caller *caller
	dir    string // files that commands read

	canaries map[string]string // by where each was planted
	execIDs  []string
}

// bird is a new canary that was planted at a place.
func (f *flock) bird(place string) string {
	c := "C4n" + rand.Text()
	f.canaries[place] = c
	return c
}

func (f *flock) plant() {
	for _, end := range []string{"exit 0", "exit 3", "exec sleep 600 # time-out", "exec sleep 600 # canceled"} {
		for _, stream := range []bool{false, true} {
			f.plantExec(end, stream)
		}
	}
	f.plantArgv()
	f.plantBodies()
	f.plantTokens()
	f.plantRequests()
}

// plantExec runs a command that reads, prints and was given canaries.
func (f *flock) plantExec(end string, stream bool) {
	place := map[bool]string{false: " buffered, ", true: " streamed, "}[stream] + end
	out, errs := f.file(f.bird("stdout"+place)), f.file(f.bird("stderr"+place))
	binary := "\xff\xfe" + f.bird("binary stdout"+place)
	f.canaries["base64 of binary stdout"+place] = base64.StdEncoding.EncodeToString([]byte(binary))
	marker := filepath.Join(f.dir, rand.Text())
	e := shell("cat " + out + "; cat " + errs + " >&2; cat " + f.file(binary) + "; cat >/dev/null; : " + harmless + "; touch " + marker + "; " + end)
	e.Stream = stream
	e.Env = map[string]string{"PLANTED": f.bird("env value" + place)}
	stdin := f.bird("stdin" + place)
	e.StdinBase64 = []byte(stdin)
	f.canaries["base64 of stdin"+place] = base64.StdEncoding.EncodeToString(e.StdinBase64)

	ctx, cancel := context.WithTimeout(f.t.Context(), time.Minute)
	defer cancel()
	if strings.Contains(end, "time-out") {
		e.TimeoutS = 1
	}
	if strings.Contains(end, "canceled") {
		go func() { // it ends with the marker, or with the test
			holds(30*time.Second, func() bool { return exists(marker) })
			cancel()
		}()
	}
	if a, err := f.caller.execNoting(ctx, e, f.note); err != nil && ctx.Err() == nil {
		f.t.Errorf("%s: %v %s", place, err, a)
	}
}

func (f *flock) note(id string) { f.execIDs = append(f.execIDs, id) }

// file makes a file for a command to read, so that its content is in no argv.
func (f *flock) file(content string) string {
	name := filepath.Join(f.dir, rand.Text())
	write(f.t, name, content)
	return name
}

// plantArgv hands secrets over in argvs, in the ways that the log is to mask.
func (f *flock) plantArgv() {
	jwt := "eyJhbGciOiJIUzI1NiJ9." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"`+rand.Text()+`"}`)) + "." + rand.Text()
	f.canaries["argv JWT"] = jwt
	for _, argv := range [][]string{
		{"true", "--password=" + f.bird("argv --password=")},
		{"true", "--password", f.bird("argv --password")},
		{"env", "PASSWORD=" + f.bird("argv PASSWORD="), "true"},
		{"true", "postgres://user:" + f.bird("argv URL userinfo") + "@db/x"},
		{"mysql", "-p" + f.bird("argv mysql -p")},
		{"curl", "-u", "a:" + f.bird("argv curl -u")},
		{"sshpass", "-p", f.bird("argv sshpass -p"), "true"},
		{"true", "ghp_" + f.bird("argv ghp_")},
		{"true", "github_pat_" + f.bird("argv github_pat_")},
		{"true", "xoxb-" + f.bird("argv xoxb-")},
		{"true", "AKIA" + strings.ToUpper(f.bird("argv AKIA"))[:16]},
		{"true", "sp_org_" + f.bird("argv sp_")},
		{"true", jwt},
		{"true", "-----BEGIN PRIVATE KEY-----\n" + f.bird("argv PEM") + "\n-----END PRIVATE KEY-----\n"},
		{"sh", "-c", "true --password=" + f.bird("argv in a script")},
		{"true", "Authorization: Bearer " + f.bird("argv header")},
	} {
		f.note(f.caller.mustExec(f.t, sallyport.ExecRequest{Cmd: argv}).execID)
	}
	f.canaries["argv AKIA"] = strings.ToUpper(f.canaries["argv AKIA"])[:16]
}

// plantBodies sends bodies that are refused.
func (f *flock) plantBodies() {
	for _, body := range []string{
		`{"cmd":["true"],"stdin":"` + f.bird("body without an end"),
		`{"cmd":["true"],"bogus":"` + f.bird("unknown field") + `"}`,
		`{"cmd":["true"]}` + f.bird("behind the body"),
		f.bird("no JSON"),
		`"` + f.bird("a string as body") + `"`,
		`{"cmd":"` + f.bird("cmd is a string") + `"}`,
		`{"cmd":["true"],"env":{"A":["` + f.bird("env value of a wrong type") + `"]}}`,
		`{"cmd":["true"],"env":{"A":"` + f.bird("env value with NUL") + `\u0000"}}`,
		`{"cmd":["true"],"env":{"UID":"` + f.bird("env value of a refused name") + `"}}`,
		`{"cmd":["true"],"env":"` + f.bird("env is a string") + `"}`,
		`{"cmd":["true"],"stdin":"a","stdin_base64":"` + f.bird("stdin twice") + `"}`,
		`{"cmd":["true"],"stdin_base64":"` + f.bird("stdin that is no base64") + `!"}`,
		`{"cmd":["true"],"stdin":["` + f.bird("stdin of a wrong type") + `"]}`,
		`{"cmd":["true"],"stdin":"x` + f.bird("a key twice") + `","stdin":"y"}`,
		`{"cmd":["true"],"stdin":"` + f.bird("invalid UTF-8") + "\xff" + `"}`,
		`{"cmd":["true"],"stdin":"` + f.bird("lone surrogate") + `\ud800"}`,
		`{"cmd":["true"],"stdin":"` + f.bird("bad escape") + `\q"}`,
		`{"cmd":["true"],"timeout_s":"` + f.bird("timeout of a wrong type") + `"}`,
	} {
		if a := f.request(http.MethodPost, "/workspaces/local/exec", f.server.Token, body, nil); a/100 != 4 {
			f.t.Errorf("%.80q: %d", body, a)
		}
	}
}

// request sends anything, and returns the status of the answer.
func (f *flock) request(method, path, token, body string, header http.Header) int {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), method, f.server.URL+path, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	if host := header.Get("Host"); host != "" {
		req.Host = host
	}
	resp, err := f.caller.http.Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		f.t.Fatal(err)
	}
	return resp.StatusCode
}

// search looks for every canary in every file, and for what must be there.
func (f *flock) search(when string) {
	f.t.Helper()
	files := f.files()
	all := bytes.Join(slices.Collect(maps.Values(files)), nil)
	for _, id := range f.execIDs {
		if !bytes.Contains(all, []byte(id)) {
			f.t.Errorf("%s: exec %s is not found: the search is blind", when, id)
		}
	}
	if !bytes.Contains(all, []byte(harmless)) || len(f.execIDs) < 20 {
		f.t.Errorf("%s: %q is not found, or too little was run (%d)", when, harmless, len(f.execIDs))
	}
	if f.live() {
		maps.Copy(files, f.shown())
	}
	for place, canary := range f.canaries {
		for name, content := range files {
			if i := bytes.Index(content, []byte(canary)); i >= 0 {
				f.t.Errorf("%s: the canary planted in %q is in %s: …%.150q…", when, place, name, content[max(0, i-60):])
			}
		}
	}
}

// live tells whether the server is there to be asked.
func (f *flock) live() bool {
	select {
	case <-f.server.ended:
		return false
	default:
		return true
	}
}

// files reads all that the server has on disk, and its log.
func (f *flock) files() map[string][]byte {
	f.t.Helper()
	files := map[string][]byte{"the log": f.server.log(f.t)}
	err := filepath.WalkDir(f.server.DataDir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		files[filepath.Base(path)] = content
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return files
}

// shown is what the server shows to who may watch it: its metrics, every event of the
// organisation's log, and the log as a list.
func (f *flock) shown() map[string][]byte {
	f.t.Helper()
	web := &http.Transport{}
	defer web.CloseIdleConnections()
	var events bytes.Buffer
	r := &eventReader{s: f.server.Stack, last: lastSeq(f.t, f.server.Stack)}
	err := r.readSSE(f.t.Context(), web, func(row []byte) error {
		events.Write(row)
		if r.at++; r.at == r.last {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		f.t.Fatal(err)
	}
	return map[string][]byte{
		"the events":   events.Bytes(),
		"the metrics":  []byte(f.server.Do(f.t, http.MethodGet, "/metrics", "", "").Body),
		"the activity": []byte(f.server.Do(f.t, http.MethodGet, "/activity?limit=500", f.server.AdminToken, "").Body),
	}
}

// decode reads a JSON answer of the admin's or the organisation's routes.
func (f *flock) create(path, body string, v any) {
	f.t.Helper()
	resp, err := f.caller.post(f.t.Context(), path, f.server.AdminToken, []byte(body))
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(v); err != nil || resp.StatusCode != http.StatusCreated {
		f.t.Fatalf("%s: %s %v", path, resp.Status, err)
	}
}
