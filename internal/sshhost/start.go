package sshhost

import (
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

const (
	// StartRequest is a channel request of our own, for a session: it starts a program
	// without a shell. Its payload is a Start. It is answered true once the program has
	// been executed, behind a StartedRequest; and false if it has not been: then nothing
	// ran, and the session takes another request.
	StartRequest = "start@sallyport"
	// StartedRequest is the request by which the host tells the number of the program's
	// process, which is also that of its process group. Its payload is a Started.
	StartedRequest = "started@sallyport"
)

// Start is a program to start as the command line
//
//	exec /bin/sh -c 'cd -- DIR; export ENV; exec "$@"' sh ARGV
//
// would, for all that the program and the client can see. What would take a shell after
// all, or fail in a shell's words, is refused: the client sends the command line.
type Start struct {
	// Argv is the program and its arguments, without NUL bytes; the program is not empty.
	Argv []string
	// Env holds NAME=value, each name once and none that a shell owns.
	Env []string
	// Dir is where the program runs: absolute, or relative to the home; empty is the home.
	Dir string
}

// Started is the payload of a StartedRequest.
type Started struct{ PID uint32 }

// startMsg is a Start on the wire: its lists are joined by NUL bytes.
type startMsg struct{ Dir, Argv, Env string }

// Marshal returns s as the payload of a StartRequest.
func (s Start) Marshal() []byte {
	return ssh.Marshal(startMsg{s.Dir, strings.Join(s.Argv, "\x00"), strings.Join(s.Env, "\x00")})
}

// parseStart reads the payload of a StartRequest.
func parseStart(payload []byte) (Start, bool) {
	var msg startMsg
	if ssh.Unmarshal(payload, &msg) != nil || strings.ContainsRune(msg.Dir, 0) {
		return Start{}, false
	}
	s := Start{Argv: strings.Split(msg.Argv, "\x00"), Dir: msg.Dir}
	if msg.Env != "" {
		s.Env = strings.Split(msg.Env, "\x00")
	}
	isEntry := func(entry string) bool { return strings.IndexByte(entry, '=') > 0 }
	return s, s.Argv[0] != "" && !slices.ContainsFunc(s.Env, func(entry string) bool { return !isEntry(entry) })
}

// StartsDirectly reports whether the host takes a StartRequest at all: its account's shells
// only become the program, without a file of their own to read before.
func (h *Host) StartsDirectly() bool {
	_, ok := h.shells.level()
	return ok
}

// startDirectly starts the program of a StartRequest, and answers the request.
func (s *session) startDirectly(request *ssh.Request) {
	asked, ok := parseStart(request.Payload)
	if !ok || s.started || s.terminal != nil {
		request.Reply(false, nil)
		return
	}
	command, err := s.startProgram(asked)
	if err != nil {
		request.Reply(false, nil) // nothing ran
		return
	}
	s.started = true
	s.channel.SendRequest(StartedRequest, false, ssh.Marshal(Started{uint32(command.process.child.Pid)}))
	request.Reply(true, nil)
	s.running = command
	command.run(s.host)
}

// startProgram starts a program, or returns an error if a shell must be asked.
func (s *session) startProgram(asked Start) (*command, error) {
	p, err := s.host.plan(asked, s.host.environ.with(s.env))
	if err != nil {
		return nil, err
	}
	pipes, err := newPipes()
	if err != nil {
		return nil, err
	}
	defer pipes.closeTheirs()
	process, err := startProcess(p.file, asked.Argv, p.env, p.dir, pipes.theirs, false)
	if err != nil {
		pipes.closeOurs()
		return nil, err
	}
	return newCommand(s, process, pipes, ""), nil
}

// plan is how a program is started: its file, relative to dir or absolute, and its
// environment.
type plan struct {
	file, dir string
	env       []string
}

// errAskShell is a program that a shell must start, since it would do more than to execute it,
// or since it must say why it can't.
var errAskShell = unix.ENOEXEC

// plan finds what the shells would execute, where, and with what environment. env is that of
// the login shell.
func (h *Host) plan(asked Start, env []string) (plan, error) {
	level, ok := h.shells.level()
	if !ok {
		return plan{}, errAskShell
	}
	home, err := filepath.EvalSymlinks(h.account.home) // as getcwd tells it to a shell
	if err != nil {
		return plan{}, err
	}
	if err := unix.Access(home, unix.X_OK); err != nil {
		return plan{}, err // a command line runs at /
	}
	p := plan{dir: home}
	set := []string{"PWD=" + home}
	if asked.Dir != "" {
		if p.dir, ok = enter(home, asked.Dir); !ok {
			return plan{}, errAskShell
		}
		set = []string{"PWD=" + p.dir, "OLDPWD=" + home}
	}
	p.env = overlay(overlay(env, append(set, level...)), asked.Env)
	p.file, ok = lookUp(asked.Argv[0], valueOf(p.env, "PATH"))
	if !ok {
		return plan{}, errAskShell
	}
	return p, nil
}

// enter returns the directory in which a shell's cd ends, and which is its PWD then. It leaves
// to the shell what is more than to join names: cd takes .. by name, and not by directory.
func enter(home, dir string) (string, bool) {
	if strings.HasPrefix(dir, "//") || slices.Contains(strings.Split(dir, "/"), "..") {
		return "", false
	}
	if !path.IsAbs(dir) {
		dir = home + "/" + dir
	}
	return path.Clean(dir), true
}

// lookUp returns the file that a shell tries to execute first of all for a program's name. If
// executing it fails a shell may go on to another, and if there is none it has to say so.
func lookUp(name, search string) (string, bool) {
	if strings.Contains(name, "/") {
		return name, true
	}
	if strings.ContainsAny(search, "%~") { // means more to some shells
		return "", false
	}
	for dir := range strings.SplitSeq(search, ":") {
		if !path.IsAbs(dir) || strings.HasSuffix(dir, "/") { // shells write the file's name in several ways
			return "", false
		}
		file := dir + "/" + name
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return file, true
		}
	}
	return "", false
}

// valueOf returns the value of a variable in env, or nothing.
func valueOf(env []string, name string) string {
	for _, entry := range env {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	return ""
}
