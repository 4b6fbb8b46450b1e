//go:build linux

package eic

import (
	"strings"
	"testing"

	"sallyport/client"
	"sallyport/client/sallyport"
	"sallyport/test/eicsim"
	"sallyport/test/sshd"
)

// An instance that behaves oddly runs exactly what it was sent, or nothing, also behind an
// endpoint; test/machines has the whole table.
func TestOddInstances(t *testing.T) {
	w := newWorld(t, eicsim.Options{}, nil)
	for _, tt := range []struct {
		name           string
		o              sshd.Options
		stdout, stderr string
		code           sallyport.Code
	}{
		{name: "becomes zsh", o: sshd.Options{LoginShell: "bash", RC: "exec zsh\n"}, code: sallyport.CodeExecTransport},
		{name: "stderr to stdout", o: sshd.Options{LoginShell: "bash", RC: "exec 2>&1\n"}, stdout: "outerr"},
		{name: "stdout to stderr", o: sshd.Options{LoginShell: "bash", RC: "exec 1>&2\n"}, stderr: "outerr"},
		{name: "forced", o: sshd.Options{Config: []string{"ForceCommand echo no"}}, code: sallyport.CodeExecTransport},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := w.newMachine(t, tt.o)
			var stderr strings.Builder
			stdout, done, err := m.exec(t.Context(), client.Exec{Cmd: []string{"sh", "-c", "printf out; printf err >&2; exit 3"}, Stderr: &stderr})
			switch {
			case tt.code != "":
				if sallyport.CodeOf(err) != tt.code || !strings.Contains(quote(err), `"started":false`) {
					t.Errorf("got %s", quote(err))
				}
			case err != nil || done.ExitCode != 3 || stdout != tt.stdout || stderr.String() != tt.stderr:
				t.Errorf("%s, %+v, %q, %q", quote(err), done, stdout, stderr.String())
			}
		})
	}
	m := w.newMachine(t, sshd.Options{Config: []string{"RekeyLimit 64K"}})
	out, done, err := m.exec(t.Context(), client.Exec{Cmd: []string{"sh", "-c", "head -c 3000000 /dev/zero; exit 3"}, MaxOutputBytes: 4 << 20})
	if err == nil && (done.ExitCode != 3 || len(out) != 3_000_000) || err != nil && sallyport.CodeOf(err) != sallyport.CodeExecTransport {
		t.Errorf("rekeys: %s, %+v, %d bytes", quote(err), done, len(out))
	}
}
