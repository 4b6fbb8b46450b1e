package acceptance

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// readmeExits are the exit codes of README's lines that aren't 0: those of what they run.
var readmeExits = map[string]string{"exit 3": "3"}

// readmeEndless are README's lines that go on until they are interrupted: by a part of the
// line, what the output holds once it has begun, and the exit code.
var readmeEndless = map[string]struct{ begun, exit string }{
	"--follow":  {"SUMMARY", "130"},
	" forward ": {"Forwarding", "0"},
}

// TestReadme pastes README's lines into a shell, in their order, in a tree like that of a
// fresh clone, beside a server as make demo leaves it running.
func TestReadme(t *testing.T) {
	t.Parallel()
	lines := readmeLines(t)
	if len(lines) < 8 {
		t.Fatalf("README has %d lines to paste: %q", len(lines), lines)
	}
	clone := t.TempDir()
	if err := os.CopyFS(filepath.Join(clone, "scripts"), os.DirFS("../../scripts")); err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Files: []string{"testdata/readme/readme.txt"},
		Setup: func(env *testscript.Env) error {
			setHome(env)
			env.Setenv("CLONE", clone)
			program, err := exec.LookPath("sallyport")
			if err != nil {
				return err
			}
			if err := os.Mkdir(filepath.Join(clone, "bin"), 0o700); err != nil {
				return err
			}
			if err := os.Symlink(program, filepath.Join(clone, "bin", "sallyport")); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(env.WorkDir, "pasted.sh"), pasted(lines), 0o600)
		},
		Cmds: scriptCommands(),
	})
}

// readmeLines are those of the blocks in the part "Use" that a shell runs.
func readmeLines(t *testing.T) []string {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, use, _ := strings.Cut(string(readme), "\n## Use\n")
	use, _, _ = strings.Cut(use, "\n## ")
	var lines []string
	for line := range strings.Lines(use) {
		code, found := strings.CutPrefix(strings.TrimRight(line, "\n"), "    ")
		switch {
		case !found:
		case len(lines) > 0 && strings.HasSuffix(lines[len(lines)-1], `\`):
			lines[len(lines)-1] += "\n" + code
		default:
			lines = append(lines, code)
		}
	}
	return lines
}

// pasted is a script that runs lines one after another, and stops at the first whose exit
// code is not what it should be. What follows for ever is interrupted once it has begun.
func pasted(lines []string) []byte {
	var script bytes.Buffer
	for _, line := range lines {
		want := "0"
		for part, code := range readmeExits {
			if strings.Contains(line, part) {
				want = code
			}
		}
		command, _, _ := strings.Cut(line, "#")
		endless := false
		for part, e := range readmeEndless {
			if strings.Contains(command, part) {
				endless, want = true, e.exit
				fmt.Fprintf(&script, "%s >begun &\n", strings.TrimSpace(command))
				fmt.Fprintf(&script, "until grep -q %s begun; do kill -0 $! || exit 99; sleep 0.1; done\nkill -INT $!; wait $!\n", e.begun)
			}
		}
		if !endless {
			script.WriteString(line + "\n")
		}
		fmt.Fprintf(&script, "code=$?; [ $code = %s ] || { printf 'exit code %%s of: %%s\\n' $code %q >&2; exit 1; }\n", want, line)
	}
	return script.Bytes()
}
