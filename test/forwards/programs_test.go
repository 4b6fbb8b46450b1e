package forwards

import (
	"bytes"
	"net"
	"net/http/cgi"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sallyport/client/sallyport"
	"sallyport/test/pg"
	"sallyport/test/program"
)

// A real psql and a real pg_dump, beside a real PostgreSQL.
func TestPostgres(t *testing.T) {
	psql, dump := program.Need(t, "psql"), program.Need(t, "pg_dump")
	each(t, func(t *testing.T, m *machine) {
		server := pg.Start(t)
		address, err := url.Parse(server.Database(t))
		must(t, err)
		_, port, err := net.SplitHostPort(server.Addr)
		must(t, err)
		address.Host = m.forward(t, port).local[0]
		run := func(program string, args ...string) string {
			t.Helper()
			out, err := exec.CommandContext(t.Context(), program, append([]string{"-d", address.String()}, args...)...).CombinedOutput()
			if err != nil {
				t.Fatalf("%s: %v: %s", program, err, out)
			}
			return string(out)
		}
		run(psql, "-qc", "CREATE TABLE things AS SELECT n, repeat('x', 1000) AS text FROM generate_series(1, 2000) AS n")
		if got := strings.TrimSpace(run(psql, "-Atc", "SELECT sum(n) FROM things")); got != "2001000" {
			t.Errorf("psql says %q", got)
		}
		text := run(dump)
		if lines := strings.Count(text, strings.Repeat("x", 1000)); lines != 2000 || !strings.Contains(text, "PostgreSQL database dump complete") {
			t.Errorf("a dump of %d bytes has %d rows", len(text), lines)
		}
		for _, row := range m.rows(t) {
			if row.Status != sallyport.StatusOK || row.Target != "127.0.0.1:"+port || row.InputBytes == nil || *row.InputBytes == 0 {
				t.Errorf("row %+v", row)
			}
		}
	})
}

// A real git clones over HTTP from its own backend.
func TestGitClone(t *testing.T) {
	git := program.Need(t, "git")
	t.Parallel()
	dir := t.TempDir()
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), git, append([]string{"-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "protocol.version=2"}, args...)...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %q: %v: %s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	run("init", "-q", "work")
	must(t, os.WriteFile(filepath.Join(dir, "work", "file"), bytes.Repeat([]byte("0123456789abcdef\n"), 1<<16), 0o644))
	run("-C", "work", "add", ".")
	run("-C", "work", "commit", "-qm", "first")
	run("clone", "-q", "--bare", "work", "work.git")
	server := httptest.NewServer(&cgi.Handler{
		Path: filepath.Join(run("--exec-path"), "git-http-backend"),
		Env:  []string{"GIT_PROJECT_ROOT=" + dir, "GIT_HTTP_EXPORT_ALL=1"},
	})
	defer server.Close()
	m := openSSH(t)
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	must(t, err)
	f := m.forward(t, port)
	run("clone", "-q", "http://"+f.local[0]+"/work.git", "clone")
	if work, clone := run("-C", "work", "rev-parse", "HEAD^{tree}"), run("-C", "clone", "rev-parse", "HEAD^{tree}"); work != clone {
		t.Errorf("the clone has %s, and the origin %s", clone, work)
	}
	if text := f.stderr.String(); text != "" {
		t.Errorf("stderr: %s", text)
	}
}

// A real ssh reaches the machine's own sshd by ProxyCommand: with stdin, stdout and exit code,
// and with a refusal that it can show.
func TestProxyCommand(t *testing.T) {
	client := program.Need(t, "ssh")
	t.Parallel()
	m := openSSH(t)
	args := m.sshd.ClientArgs(t)
	_, port, err := net.SplitHostPort(m.sshd.Addr)
	must(t, err)
	run := func(target string, stdin []byte, command ...string) (code int, stdout []byte, stderr string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), client, slices.Concat(args, []string{
			"-o", "ProxyCommand=" + program.Path(t) + " forward --stdio " + m.workspace + " " + target, "there",
		}, command)...)
		cmd.Env = append(os.Environ(), "SALLYPORT_URL="+m.url, "SALLYPORT_TOKEN="+m.token)
		var out, errs bytes.Buffer
		cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &out, &errs
		_ = cmd.Run() // the exit code says it
		return cmd.ProcessState.ExitCode(), out.Bytes(), errs.String()
	}
	content := bytes.Repeat([]byte("0123456789abcdef\n"), 1<<16)
	if code, out, errs := run(port, content, "cat; exit 7"); code != 7 || !bytes.Equal(out, content) {
		t.Errorf("exit code %d, %d bytes of %d: %s", code, len(out), len(content), errs)
	}
	if code, _, errs := run("192.0.2.7:22", nil, "true"); code != 255 || !strings.Contains(errs, "sallyport: forward to 192.0.2.7:22 of workspace there: ") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	// ssh ends its ProxyCommand by a signal, as a rule before that has ended by itself.
	if row := m.rows(t)[0]; row.Status != sallyport.StatusOK && row.Status != sallyport.StatusCanceled || row.Target != "127.0.0.1:"+port {
		t.Errorf("row %+v", row)
	}
}
