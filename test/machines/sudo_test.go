//go:build linux

package machines

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"sallyport/client"
	"sallyport/client/sallyport"
	"sallyport/test/sshd"
	"sallyport/test/stack"
)

// What a command runs through sudo is another user's. Where sudo asks no password it is
// ended all the same, also what has left the process group; where it does, the row says
// how much is left.
func TestEndThroughSudo(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can install a setuid program")
	}
	sudo := buildSudo(t)
	allow := func(t *testing.T, mode os.FileMode) {
		t.Helper()
		if err := os.Chmod(sudo, mode); err != nil {
			t.Fatal(err)
		}
	}
	s := stack.Start(t, stack.Options{EndTime: endTime})
	m := newMachine(t, s, sshd.Options{Config: []string{"SetEnv PATH=" + filepath.Dir(sudo) + ":" + os.Getenv("PATH")}})
	const script = `sudo -n sh -c 'trap "" TERM; sleep 1000 & echo $! $$; setsid sh -c "trap \"\" TERM; echo \$\$; exec sleep 1000" & wait'`
	run := func(t *testing.T, forbid bool) (pids []string, row sallyport.Activity) {
		allow(t, 0o755|os.ModeSetuid)
		var out buffer
		_, err := m.exec(t.Context(), client.Exec{Cmd: []string{"sh", "-c", script}, Timeout: 2 * time.Second, Stdout: writerFunc(func(p []byte) (int, error) {
			if forbid {
				allow(t, 0o755)
			}
			return out.Write(p)
		})})
		if sallyport.CodeOf(err) != sallyport.CodeExecTimeout {
			t.Fatalf("got %v", err)
		}
		return strings.Fields(out.String()), m.row(t)
	}
	t.Run("without a password", func(t *testing.T) {
		pids, row := run(t, false)
		if len(pids) != 3 {
			t.Fatalf("processes %q", pids)
		}
		if row.Survivors == nil || *row.Survivors != 0 {
			t.Errorf("row of %s: survivors %s", row.Status, survivors(row))
		}
		mustBeGone(t, pids)
	})
	t.Run("with a password", func(t *testing.T) {
		pids, row := run(t, true)
		if row.Survivors == nil || *row.Survivors < 2 {
			t.Errorf("row of %s: survivors %s", row.Status, survivors(row))
		}
		for _, pid := range pids {
			if !alive(t, pid) {
				t.Errorf("%s has ended, and nobody could end it", pid)
			}
		}
	})
}

func survivors(row sallyport.Activity) string {
	if row.Survivors == nil {
		return "unknown"
	}
	return strconv.Itoa(*row.Survivors)
}

// buildSudo builds a program that does as sudo does, in a directory of its own, and returns its
// path.
func buildSudo(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sudo-") // not t.TempDir, which an ordinary user can't enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	sudo := filepath.Join(dir, "sudo")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", sudo, "testdata/sudo/main.go")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return sudo
}
