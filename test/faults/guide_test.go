//go:build linux

package faults

import (
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"sallyport/test/sshd"
)

// guideLines are the indented lines of a section of a page.
func guideLines(t *testing.T, page, heading string) string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, section, isThere := strings.Cut(string(text), "\n"+heading+"\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var lines []string
	for line := range strings.Lines(section) {
		if rest, isCode := strings.CutPrefix(line, "    "); isCode {
			lines = append(lines, rest)
		}
	}
	if !isThere || len(lines) == 0 {
		t.Fatalf("%s has no lines under %s", page, heading)
	}
	return strings.Join(lines, "")
}

// TestGuideToFirstExec runs the lines of docs/operating.md that lead from a running
// server to the first exec of a tenant, with the addresses of the test in place of the
// page's, and without the question whether a host key is the right one.
func TestGuideToFirstExec(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"jq", "ssh-keygen"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("%s is not installed: run scripts/setup", tool)
		}
	}
	home := t.TempDir()
	key := filepath.Join(home, "key")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	public, err := os.ReadFile(key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	machine := sshd.Start(t, sshd.Options{User: accountHere(t)})
	machine.Authorize(t, parseKey(t, public))
	o := serverArgs()
	o.env = append(o.env, "SALLYPORT_CONNECTORS_SSH_ALLOW=127.0.0.0/8")
	p := startProgram(t, o)
	token := filepath.Join(home, "admin_token")
	if err := os.WriteFile(token, []byte(strings.Repeat("x", 40)), 0o600); err != nil {
		t.Fatal(err)
	}
	script := strings.NewReplacer(
		"sudo cat /etc/sallyport/admin_token", "cat "+token, "http://127.0.0.1:8080", p.server.URL, "https://sallyport.example", p.server.URL,
		"ubuntu@192.0.2.5", machine.User+"@"+machine.Addr+" --yes", "~/.ssh/build", key,
	).Replace(guideLines(t, "../../docs/operating.md", "### To the first exec of a tenant"))
	cmd := exec.Command("sh", "-eux", "-c", script)
	cmd.Dir = home
	cmd.Env = []string{"HOME=" + home, "PATH=" + filepath.Dir(p.cmd.Path) + ":" + os.Getenv("PATH")}
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Count(string(out), "\nLinux") < 2 {
		t.Errorf("%v:\n%s\nserver:\n%s", err, out, p.logText(t))
	}
}

// accountHere is who may log in at an sshd of the test's.
func accountHere(t *testing.T) string {
	t.Helper()
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	if me.Uid == "0" {
		return sshd.Root
	}
	return sshd.Ordinary
}

func parseKey(t *testing.T, line []byte) ssh.PublicKey {
	t.Helper()
	key, _, _, _, err := ssh.ParseAuthorizedKey(line)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
