package terminals

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/coder/websocket"

	"sallyport/client/sallyport"
	"sallyport/test/program"
	"sallyport/test/sshd"
	"sallyport/test/stack"
)

// rcNoise is what start-up files print that are read before a program starts.
const rcNoise = "echo from the rc file\n"

// posixLogin says, in the language of most shells, how it was started.
const posixLogin = "export LOGIN=yes\ncase $- in *i*) export INTERACTIVE=yes;; esac\n"

// loginShells are those of the accounts at which people sit, each with the start-up file that
// a login shell reads, and what it holds: how the shell was started.
var loginShells = []struct {
	name, file, text string
	// code is what the shell calls the last exit code.
	code string
}{
	{"sh", ".profile", posixLogin, "$?"},
	{"bash", ".bash_profile", posixLogin, "$?"},
	{"zsh", ".zlogin", posixLogin, "$?"},
	{"fish", ".config/fish/config.fish", rcNoise + "status is-login; and set -gx LOGIN yes\nstatus is-interactive; and set -gx INTERACTIVE yes\n", "$status"},
	{"tcsh", ".login", "setenv LOGIN yes\nif ($?prompt) setenv INTERACTIVE yes\n", "$status"},
}

// homeFiles are programs of sh, for shells of whatever language.
var homeFiles = map[string]string{
	// report prints what a program in the shell finds.
	"report": `echo "login $LOGIN, interactive $INTERACTIVE, size $(stty size), type $TERM"; printf 'A <%s>, in <%s>\n' "$A" "$PWD"` + "\n",
	// stay is a program in the foreground that tells of signals, until ^C.
	"stay": `trap 'echo "resized $(stty size)"' WINCH; trap 'echo continued' CONT; trap 'echo interrupted; kill $!; exit 7' INT; sleep 600 & echo ready; while :; do wait; done` + "\n",
	// linger is a program in the background, which may have no terminal, or no stdout that is one.
	"linger": `(echo "$1 is up" >/dev/tty) 2>/dev/null || echo "$1 is up"; exec sleep 600` + "\n",
}

// workDir is where the terminals start, below the home.
const workDir = "a dir's"

// nasty is text that each shell would read in a way of its own.
const nasty = "a'b\"c $HOME `x` \\ ! * % ~ ü"

// furnish puts files into a home.
func furnish(t *testing.T, home, file, text string) {
	t.Helper()
	path := filepath.Join(home, file)
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(text), 0o644))
	for name, program := range homeFiles {
		must(t, os.WriteFile(filepath.Join(home, name), []byte(program), 0o644))
	}
	must(t, os.MkdirAll(filepath.Join(home, workDir), 0o755))
}

// Terminals do the same on either kind of machine, whatever the login shell.
func TestLoginShells(t *testing.T) {
	t.Parallel()
	o := stack.Options{EndTime: time.Minute} // this machine may be busy
	shared := stack.Start(t, o)
	for _, shell := range loginShells {
		t.Run("openssh "+shell.name, func(t *testing.T) {
			t.Parallel()
			m, server := onSSHD(t, shared, shell.name, sshd.Options{LoginShell: shell.name, RC: rcNoise})
			furnish(t, server.Home, shell.file, shell.text)
			m.suits(t, server.Home, shell.code)
		})
		t.Run("embedded "+shell.name, func(t *testing.T) {
			t.Parallel()
			o := o
			o.Home, o.LoginShell = t.TempDir(), program.Need(t, shell.name)
			furnish(t, o.Home, shell.file, shell.text)
			embedded(t, o).suits(t, o.Home, shell.code)
		})
	}
}

// suits demands that the machine's login shell is one that people can sit at.
func (m *machine) suits(t *testing.T, home, code string) {
	t.Helper()
	m.obeys(t, home, code)
	m.runsExactly(t)
	m.endsAll(t, home)
}

// start is a first message.
func start(t *testing.T, o sallyport.TerminalStart) string {
	t.Helper()
	o.Type = sallyport.FrameStart
	text, err := json.Marshal(o)
	must(t, err)
	return string(text)
}

// obeys sits at the login shell: how it was started, what it gives its programs, job control, a
// resize, and its exit code.
func (m *machine) obeys(t *testing.T, home, code string) {
	t.Helper()
	dir := filepath.Join(home, workDir)
	s := m.sit(t, start(t, sallyport.TerminalStart{Cols: 100, Rows: 30, Cwd: dir, Env: map[string]string{
		"A": nasty, "LC_ALL": "C.UTF-8", // fish takes variables for Latin-1 elsewhere
	}}))
	s.types(t, "sh ../report\r")
	s.shows(t, "login yes, interactive yes, size 30 100, type xterm-256color\r\nA <"+nasty+">, in <"+dir+">\r\n")
	s.types(t, "sh ../stay\r")
	s.shows(t, "ready\r\n")
	s.says(t, `{"type":"resize","cols":90,"rows":20}`)
	s.shows(t, "resized 20 90\r\n")
	s.types(t, "\x03") // ^C
	s.shows(t, "interrupted\r\n")
	s.types(t, "echo co''de "+code+"\r")
	s.shows(t, "code 7\r\n")
	s.types(t, "sh ../stay\r")
	s.matches(t, "(?s)code 7.*ready")
	s.types(t, "\x1a") // ^Z
	s.matches(t, "(?i)suspended|stopped")
	s.types(t, "jobs >../jobs; sed 's/^/job: /' ../jobs\r")
	s.matches(t, `job: .*sh \.\./stay`)
	s.types(t, "fg\r")
	s.shows(t, "continued\r\n")
	s.says(t, `{"type":"resize","cols":91}`)
	s.shows(t, "resized 20 91\r\n") // only who is in the foreground is told
	s.types(t, "\x03")
	s.matches(t, "(?s)resized 20 91.*interrupted")
	s.types(t, "exit 9\r")
	s.wantExit(t, 9, "")
	if row := m.row(t, s.first.ID); row.Status != sallyport.StatusError || *row.ExitCode != 9 || row.Argv != nil || row.Cwd != dir {
		t.Errorf("row %+v", row)
	}
}

// matches waits until what is shown matches a pattern.
func (s *screen) matches(t *testing.T, pattern string) {
	t.Helper()
	re := regexp.MustCompile(pattern)
	until(t, pattern, func() bool { return re.MatchString(s.text()) }, func() any { return s.text() })
}

// runsExactly has a program in the place of the login shell: its arguments and environment arrive
// byte for byte, and nothing else is shown.
func (m *machine) runsExactly(t *testing.T) {
	t.Helper()
	args := []string{nasty, "", "two\nlines", "-n", "\t\x1b[1m"}
	s := m.sit(t, start(t, sallyport.TerminalStart{
		Cmd: append([]string{"sh", "-c", `stty -opost; printf '<%s>' "$@" "$A" "$(stty size)"; exit 6`, "-"}, args...),
		Env: map[string]string{"A": nasty + "\n"},
	}))
	s.wantExit(t, 6, "")
	var want bytes.Buffer
	for _, arg := range append(args, nasty+"\n", "24 80") {
		fmt.Fprintf(&want, "<%s>", arg)
	}
	if got := s.text(); got != want.String() {
		t.Errorf("shown %q, want %q", got, want.String())
	}
}

// endsAll has the login shell start jobs of all sorts, and ends the terminal: nothing is left.
func (m *machine) endsAll(t *testing.T, home string) {
	t.Helper()
	s := m.sit(t, start(t, sallyport.TerminalStart{Cwd: home}))
	s.types(t, "sh ./linger job & setsid sh ./linger daemon & nohup sh ./linger nohup & cat\r")
	for _, name := range []string{"job", "daemon", "nohup"} {
		s.shows(t, name+" is up\r\n")
	}
	if n := len(processesOf(t, s.first.ID)); n < 4 {
		t.Errorf("%d processes run, want the shell and three at least", n)
	}
	want(t, m.Do(t, http.MethodDelete, m.path("/terminals/"+s.first.ID), m.Token, ""), http.StatusNoContent)
	s.wantError(t, websocket.StatusPolicyViolation, sallyport.CodeKilled)
	checkEnded(t, "killed", m.row(t, s.first.ID), sallyport.StatusCanceled, "killed")
	if left := processesOf(t, s.first.ID); len(left) > 0 {
		t.Errorf("processes are left: %q", left)
	}
}

// processesOf are the processes that a terminal has started, by what stands in their environment.
func processesOf(t *testing.T, id string) (commands []string) {
	t.Helper()
	processes, err := filepath.Glob("/proc/[0-9]*")
	must(t, err)
	for _, process := range processes {
		environ, err := os.ReadFile(process + "/environ") // what has ended has none
		if err != nil || !bytes.Contains(append([]byte{0}, environ...), []byte("\x00SALLYPORT_EXEC_ID="+id+"\x00")) {
			continue
		}
		command, _ := os.ReadFile(process + "/cmdline")
		commands = append(commands, string(command))
	}
	return commands
}
