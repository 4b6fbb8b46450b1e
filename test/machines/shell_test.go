//go:build linux

package machines

import (
	"strings"
	"testing"

	"sallyport/client"
	"sallyport/test/sshd"
	"sallyport/test/stack"
)

// A login shell that is sh takes the header itself from the second exec on; one that only
// says so is found out, whichever it is, and no exec fails or runs twice.
func TestLoginShellLies(t *testing.T) {
	t.Parallel()
	for shell, rc := range map[string]string{
		"sh": "", "dash": "", "bash": "export SHELL=/bin/sh\n", "zsh": "export SHELL=/bin/sh\n",
		"fish": "set -x SHELL /bin/sh\n", "tcsh": "setenv SHELL /bin/sh\n",
	} {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			s := stack.Start(t, stack.Options{})
			m := newMachine(t, s, sshd.Options{LoginShell: shell, RC: rc})
			file := m.sshd.Home + "/ran"
			const nasty = "a'b\"c $HOME `x` \\ ! * \n end"
			for n := range 5 {
				out, err := m.exec(t.Context(), client.Exec{
					Cmd: []string{"sh", "-c", `echo >>"$1"; printf %s "$2$X"; cat`, "-", file, nasty}, Stdin: strings.NewReader("in"), Env: map[string]string{"X": nasty},
				})
				if err != nil || out.ExitCode != 0 || out.stdout.String() != nasty+nasty+"in" {
					t.Errorf("exec %d: %+v, %q, %s", n, out.ExecDone, out.stdout.String(), quote(err))
				}
			}
			if again := strings.Contains(s.Log.String(), "exec begun again"); again != (shell == "fish" || shell == "tcsh") {
				t.Errorf("begun again: %t", again)
			}
			out, err := m.exec(t.Context(), client.Exec{Cmd: []string{"wc", "-l", file}})
			if err != nil || !strings.HasPrefix(out.stdout.String(), "5 ") {
				t.Errorf("ran %q times, %s", out.stdout.String(), quote(err))
			}
		})
	}
}
