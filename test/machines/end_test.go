//go:build linux

package machines

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sallyport/client"
	"sallyport/client/sallyport"
	"sallyport/test/sshd"
	"sallyport/test/stack"
)

// hiding is a way for a child to be found no more by its process group.
type hiding struct {
	name, script string
	// unknown: nothing tells whose the child is, and the row says that nobody knows.
	unknown bool
}

var hidings = []hiding{
	{"left the group", "setsid sleep 600 & echo $!; wait", false},
	{"left the group, and lost its parent", "(setsid sleep 600 & echo $!); sleep 600", false},
	{"cleared its environment", "setsid env -i sleep 600 & echo $!; sleep 600", false},
	{"ignores TERM with a cleared environment", `setsid env -i sh -c 'trap "" TERM; sleep 600; :' & echo $!; sleep 600`, false},
	{"stayed in the session alone", `sh -c 'set -m; env -i sleep 600 & echo $!'; sleep 600`, false},
	{"grandchild of one that left", `setsid env -i sh -c 'sleep 600 & echo $!; wait' & wait`, false},
	{"left everything", "(setsid env -i sleep 600 & echo $!); sleep 600", true},
}

// A time-out ends what has left the process group, however, as long as anything tells whose
// it is; where nothing does, the row says that nobody knows.
func TestEscapes(t *testing.T) {
	s := stack.Start(t, stack.Options{EndTime: endTime})
	tools := busyboxTools(t, "grep", "cat", "sleep")
	machines := map[string]func(t *testing.T) *machine{
		"ssh": func(t *testing.T) *machine { return newMachine(t, s, sshd.Options{}) },
		"ssh as root": func(t *testing.T) *machine {
			return newMachine(t, s, sshd.Options{User: sshd.Root, LoginShell: "bash"})
		},
		"busybox's grep": func(t *testing.T) *machine {
			return newMachine(t, s, sshd.Options{Config: []string{"SetEnv PATH=" + tools + ":/usr/bin:/bin"}})
		},
		"no tools": func(t *testing.T) *machine {
			return newMachine(t, s, sshd.Options{Config: []string{"SetEnv PATH=" + busyboxTools(t, "setsid", "env", "sh")}})
		},
		"local": func(t *testing.T) *machine { return localMachine(t, s) },
	}
	for name, start := range machines {
		t.Run(name, func(t *testing.T) { // not in parallel: what has left everything looks like any other's
			m := start(t)
			for _, tt := range hidings {
				tt.run(t, m, name == "no tools")
			}
		})
	}
}

func (tt hiding) run(t *testing.T, m *machine, noTools bool) {
	t.Helper()
	script := tt.script
	if noTools {
		script = strings.ReplaceAll(script, "sleep 600", "/bin/sleep 600")
	}
	out, err := m.exec(t.Context(), client.Exec{Cmd: []string{"/bin/sh", "-c", script}, Timeout: time.Second})
	if sallyport.CodeOf(err) != sallyport.CodeExecTimeout {
		t.Errorf("%s: got %s", tt.name, quote(err))
	}
	pid := strings.TrimSpace(out.stdout.String())
	row := m.row(t)
	if tt.unknown {
		if !row.SurvivorsUnknown {
			t.Errorf("%s: survivors %s", tt.name, survivors(row))
		}
		if n, err := strconv.Atoi(pid); err == nil {
			_ = syscall.Kill(n, syscall.SIGKILL)
		}
		return
	}
	if row.Survivors == nil || *row.Survivors != 0 {
		t.Errorf("%s: survivors %s", tt.name, survivors(row))
	}
	mustBeGone(t, []string{pid})
}

// An rc file of seconds, as those of people who use many tools, is waited for by whatever
// ends a command, and by a diagnosis, as it is by the command: also where sshd takes no
// signals, as of root.
func TestSlowLoginShell(t *testing.T) {
	s := stack.Start(t, stack.Options{})
	for _, user := range []string{sshd.Ordinary, sshd.Root} {
		t.Run(user, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, s, sshd.Options{User: user, LoginShell: "bash", RC: "/bin/sleep 3\n"})
			out, err := m.exec(t.Context(), client.Exec{Cmd: []string{"sh", "-c", "echo $$; sleep 600"}, Timeout: time.Second})
			if sallyport.CodeOf(err) != sallyport.CodeExecTimeout {
				t.Errorf("got %s", quote(err))
			}
			mustBeGone(t, strings.Fields(out.stdout.String()))
			if found, err := m.client.Diagnose(t.Context(), m.name); err != nil || !found.OK {
				t.Errorf("%v, %+v", err, found)
			}
		})
	}
}

func localMachine(t *testing.T, s *stack.Stack) *machine {
	t.Helper()
	m := &machine{Stack: s, name: "local", client: client.New(s.URL, s.Token)}
	t.Cleanup(m.client.Close)
	return m
}

// busyboxTools is a directory that has some of busybox's tools.
func busyboxTools(t *testing.T, names ...string) string {
	t.Helper()
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Skip("busybox is not installed: scripts/setup does it")
	}
	dir, err := os.MkdirTemp("", "tools-") // not t.TempDir, which an ordinary user can't enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if err := os.Symlink(busybox, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// A machine that has a shell and nothing else, no /dev, no /proc, runs commands, and a time-out
// ends them: TERM goes out, and KILL. The row says that nobody could look.
func TestBareMachine(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	for name, tools := range map[string][]string{"a shell alone": {"sh"}, "with tools": {"sh", "sleep", "cat", "grep", "kill"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := chroot(t, tools)
			m := newMachine(t, s, sshd.Options{Config: []string{"ChrootDirectory " + root}})
			out, err := m.exec(t.Context(), client.Exec{Cmd: []string{"sh", "-c", `echo "$X" >&2; read -r x; echo "$x"; exit 3`}, Env: map[string]string{"X": "env"}, Cwd: "/tmp", Stdin: strings.NewReader("in\n")})
			if err != nil || out.ExitCode != 3 || out.stdout.String() != "in\n" || out.stderr.String() != "env\n" {
				t.Fatalf("%s, %+v, %q, %q", quote(err), out.ExecDone, out.stdout.String(), out.stderr.String())
			}
			if _, err = m.exec(t.Context(), client.Exec{Cmd: []string{"sh"}, Cwd: "/nowhere"}); sallyport.CodeOf(err) != sallyport.CodeInvalidCwd {
				t.Errorf("got %s", quote(err))
			}
			for _, script := range []string{
				`echo $$; while :; do :; done`,
				`trap 'echo term >/tmp/term; exit' TERM; echo $$; while :; do :; done`,
				`trap '' TERM; echo $$; while :; do :; done`,
			} {
				out, err = m.exec(t.Context(), client.Exec{Cmd: []string{"sh", "-c", script}, Timeout: time.Second})
				if sallyport.CodeOf(err) != sallyport.CodeExecTimeout {
					t.Errorf("got %s", quote(err))
				}
				if row := m.row(t); row.Status != "timeout" || !row.SurvivorsUnknown {
					t.Errorf("row of %s: survivors %s", row.Status, survivors(row))
				}
				mustBeGone(t, strings.Fields(out.stdout.String()))
			}
			if text, err := os.ReadFile(filepath.Join(root, "tmp/term")); string(text) != "term\n" {
				t.Errorf("TERM: %q, %v", text, err)
			}
		})
	}
}

// chroot makes a root directory for sshd, with busybox under some names.
func chroot(t *testing.T, tools []string) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can change the root directory")
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Skip("busybox is not installed: scripts/setup does it")
	}
	root, err := os.MkdirTemp("/var/lib", "sallyport-chroot-") // sshd wants it below directories of root's
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	for dir, mode := range map[string]os.FileMode{".": 0o755, "bin": 0o755, "tmp": 0o777} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(root, dir), mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range append(libraries(t, busybox), busybox) {
		copyFile(t, file, filepath.Join(root, file))
	}
	copyFile(t, busybox, filepath.Join(root, "bin/busybox"))
	for _, name := range tools {
		if err := os.Symlink("busybox", filepath.Join(root, "bin", name)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// libraries are the shared objects that a program needs.
func libraries(t *testing.T, program string) []string {
	t.Helper()
	out, _ := exec.CommandContext(t.Context(), "ldd", program).Output() // none for one that is static
	var files []string
	for _, word := range strings.Fields(string(out)) {
		if strings.HasPrefix(word, "/") {
			files = append(files, word)
		}
	}
	return files
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

// Many commands that end at once share the looks at their machine's processes: each is ended,
// and none is said to have left something. A slow machine may leave no time for some of the
// looks, which their rows say; it has it for others.
func TestManyEndsAtOnce(t *testing.T) {
	s := stack.Start(t, stack.Options{})
	for name, m := range map[string]*machine{"local": localMachine(t, s), "ssh": newMachine(t, s, sshd.Options{})} {
		t.Run(name, func(t *testing.T) {
			const n = 50
			var all sync.WaitGroup
			printed := make([]bytes.Buffer, n)
			for i := range n {
				all.Go(func() {
					_, err := m.exec(t.Context(), client.Exec{
						Cmd: []string{"sh", "-c", "sleep 600 & echo $$ $!; sleep 600"}, Timeout: 2 * time.Second, Stdout: &printed[i],
					})
					if sallyport.CodeOf(err) != sallyport.CodeExecTimeout {
						t.Errorf("got %s", quote(err))
					}
				})
			}
			all.Wait()
			for i := range printed {
				mustBeGone(t, strings.Fields(printed[i].String()))
			}
			var page sallyport.List[sallyport.Activity]
			m.Do(t, "GET", fmt.Sprintf("/workspaces/%s/activity?type=workspace_exec&limit=%d", m.name, n), m.Token, "").Decode(t, &page)
			verified := 0
			for _, row := range page.Items {
				switch {
				case row.SurvivorsUnknown && row.Survivors == nil:
				case row.Survivors != nil && *row.Survivors == 0:
					verified++
				default:
					t.Errorf("a row says that it left %s", survivors(row))
				}
			}
			if len(page.Items) != n || verified == 0 {
				t.Errorf("%d rows, %d with a verified end", len(page.Items), verified)
			}
		})
	}
}
