// Package files holds the contract of a workspace's files: one suite, over HTTP, that four
// machines pass alike.
package files

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"sallyport/client/sallyport"
	_ "sallyport/test/apart"
	"sallyport/test/sshd"
	"sallyport/test/stack"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// machine is a workspace on one kind of machine.
type machine struct {
	*stack.Stack
	// name is the workspace's, dir its root on the disk.
	name, dir string
	// user tells that the machine's user is an ordinary one.
	user bool
	// sshd is nil for the embedded host.
	sshd *sshd.Server
}

// each runs test on every kind of machine, each with a server and a root of its own.
func each(t *testing.T, test func(t *testing.T, m *machine)) {
	t.Parallel()
	for name, make := range machines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, make(t, stack.Start(t, stack.Options{})))
		})
	}
}

// machines are how each kind is made.
func machines() map[string]func(testing.TB, *stack.Stack) *machine {
	return map[string]func(testing.TB, *stack.Stack) *machine{
		"embedded": embedded,
		"openssh":  func(t testing.TB, s *stack.Stack) *machine { return openSSH(t, s, sshd.Options{}) },
		"without sftp": func(t testing.TB, s *stack.Stack) *machine {
			return openSSH(t, s, sshd.Options{WithoutSFTP: true})
		},
		"busybox": func(t testing.TB, s *stack.Stack) *machine {
			return openSSH(t, s, sshd.Options{Config: []string{"SetEnv PATH=" + busybox(t)}})
		},
	}
}

func embedded(t testing.TB, s *stack.Stack) *machine {
	m := &machine{Stack: s, name: "here", dir: t.TempDir(), user: os.Getuid() != 0}
	m.create(t, sallyport.Connector{Type: sallyport.ConnectorLocal, Root: m.dir})
	return m
}

func openSSH(t testing.TB, s *stack.Stack, o sshd.Options) *machine {
	ca := filepath.Join(t.TempDir(), "ca.pub")
	must(t, os.WriteFile(ca, []byte(s.Do(t, http.MethodGet, "/ca", s.Token, "").Body), 0o644))
	o.Config = append(o.Config, "TrustedUserCAKeys "+ca)
	server := sshd.Start(t, o)
	host, port, _ := strings.Cut(server.Addr, ":")
	m := &machine{Stack: s, name: "there", dir: filepath.Join(server.Home, "root"), user: true, sshd: server}
	must(t, os.Mkdir(m.dir, 0o755))
	m.own(t, m.dir)
	c := sallyport.Connector{Type: sallyport.ConnectorSSH, Host: host, User: server.User, TrustOnFirstUse: true, Root: "root"}
	_, err := fmt.Sscan(port, &c.Port)
	must(t, err)
	m.create(t, c)
	return m
}

// busybox is a directory with the programs of busybox alone.
func busybox(t testing.TB) string {
	program, err := exec.LookPath("busybox")
	must(t, err)
	dir, err := os.MkdirTemp("", "busybox-") // not t.TempDir, which an ordinary user can't enter
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	out, err := exec.Command(program, "--install", "-s", dir).CombinedOutput()
	if err != nil {
		t.Fatalf("busybox --install: %v: %s", err, out)
	}
	return dir
}

// own gives a file to the machine's user.
func (m *machine) own(t testing.TB, path string) {
	t.Helper()
	if m.sshd == nil || os.Getuid() != 0 {
		return
	}
	const worker = 54321 // sshd.Ordinary
	must(t, os.Lchown(path, worker, worker))
}

func (m *machine) create(t testing.TB, c sallyport.Connector) {
	t.Helper()
	body, err := json.Marshal(sallyport.WorkspaceCreate{Name: m.name, Tier: 4, Connector: &c})
	must(t, err)
	if a := m.Do(t, http.MethodPost, "/workspaces", m.Token, string(body)); a.Status != http.StatusCreated {
		t.Fatalf("workspace: %d %s", a.Status, a.Body)
	}
}

// do asks for what is below /files, with header lines "Name: value". The answer's row must
// be complete.
func (m *machine) do(t testing.TB, method, path, body string, headers ...string) stack.Answer {
	t.Helper()
	req := m.Request(t, method, "/workspaces/"+m.name+"/files"+path, m.Token, body)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Add(name, value)
	}
	a := m.Send(t, req)
	if id := a.Header.Get(sallyport.HeaderActivityID); id != "" {
		m.checkRow(t, method+" "+path, a, m.row(t, a))
	} else if a.Status < 400 {
		t.Errorf("%s %s: no %s", method, path, sallyport.HeaderActivityID)
	}
	return a
}

func (m *machine) checkRow(t testing.TB, what string, a stack.Answer, row sallyport.Activity) {
	t.Helper()
	if row.Type != sallyport.ActivityFile || row.CompletedAt == nil || row.DurationMS == nil || row.Op == "" {
		t.Errorf("%s: row %+v", what, row)
	}
	want := sallyport.StatusOK
	if a.Status >= 400 {
		want = sallyport.StatusError
	}
	if row.Status != want || want != sallyport.StatusOK && a.Body != "" && string(row.Code) != a.Code() {
		t.Errorf("%s: %d %s, row %s %s", what, a.Status, a.Body, row.Status, row.Code)
	}
}

// row is the row that an answer names.
func (m *machine) row(t testing.TB, a stack.Answer) sallyport.Activity {
	t.Helper()
	id := a.Header.Get(sallyport.HeaderActivityID)
	for _, most := range []int{1, 100} { // most often it is the newest; each that is read is held to the document
		for _, row := range m.newest(t, most) {
			if row.ID == id {
				return row
			}
		}
	}
	t.Errorf("no row %q", id)
	return sallyport.Activity{}
}

// rows are the newest of file operations.
func (m *machine) rows(t testing.TB) []sallyport.Activity { return m.newest(t, 100) }

// newest are the newest rows of file operations, most at most.
func (m *machine) newest(t testing.TB, most int) []sallyport.Activity {
	t.Helper()
	var page sallyport.List[sallyport.Activity]
	path := fmt.Sprintf("/workspaces/%s/activity?type=%s&limit=%d", m.name, sallyport.ActivityFile, most)
	m.Do(t, http.MethodGet, path, m.Token, "").Decode(t, &page)
	return page.Items
}

// want asks, and wants a status, and of an error a code.
func (m *machine) want(t testing.TB, status int, code, method, path, body string, headers ...string) stack.Answer {
	t.Helper()
	a := m.do(t, method, path, body, headers...)
	if a.Status != status || code != "" && a.Code() != code {
		t.Errorf("%s %s %q: %d %.300s, want %d %s", method, path, headers, a.Status, a.Body, status, code)
	}
	return a
}

// entry asks for one entry.
func (m *machine) entry(t testing.TB, path string) sallyport.FileEntry {
	t.Helper()
	var e sallyport.FileEntry
	m.want(t, 200, "", "GET", "/"+path+"?stat=true", "").Decode(t, &e)
	return e
}

// put writes a file on the machine itself.
func (m *machine) put(t testing.TB, path, content string) {
	t.Helper()
	m.mkdir(t, filepath.Dir(path))
	must(t, os.WriteFile(filepath.Join(m.dir, path), []byte(content), 0o644))
	m.own(t, filepath.Join(m.dir, path))
}

func (m *machine) mkdir(t testing.TB, path string) {
	t.Helper()
	at := m.dir
	for _, name := range strings.Split(path, "/") {
		at = filepath.Join(at, name)
		if err := os.Mkdir(at, 0o755); err == nil {
			m.own(t, at)
		}
	}
}

func (m *machine) link(t testing.TB, target, path string) {
	t.Helper()
	must(t, os.Symlink(target, filepath.Join(m.dir, path)))
	m.own(t, filepath.Join(m.dir, path))
}

// read reads a file on the machine itself.
func (m *machine) read(t testing.TB, path string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(m.dir, path))
	must(t, err)
	return string(content)
}

// names are what is in a directory, on the machine itself.
func (m *machine) names(t testing.TB, path string) string {
	t.Helper()
	found, err := os.ReadDir(filepath.Join(m.dir, path))
	must(t, err)
	names := make([]string, len(found))
	for i, e := range found {
		names[i] = e.Name()
	}
	return strings.Join(names, " ")
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
