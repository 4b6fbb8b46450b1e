package sshhost

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/crypto/ssh"
)

// exec starts the program of an exec, a shell or a subsystem request, answers the
// request, and then lets the output flow. The session goes on taking requests.
func (s *session) exec(request *ssh.Request) {
	argv, ok := s.argv(request)
	if !ok || s.started {
		request.Reply(false, nil)
		return
	}
	s.started = true
	running, err := s.start(argv)
	switch {
	case err == nil:
		request.Reply(true, nil)
		s.running = running
		running.run(s.host)
	case isShortage(err):
		s.host.log.Error("ssh host: command not started", "error", err)
		request.Reply(false, nil)
		s.started = false // nothing ran: it may be asked for again
	default:
		s.host.log.Error("ssh host: login shell not started", "error", err)
		request.Reply(true, nil)
		s.failing.Go(func() { s.fail(err) })
	}
}

// argv is the command of a request: as by sshd, the login shell is called by its
// base name, and gets the command line as one argument; without one it is a
// login shell by the leading dash, and reads its script from stdin. A subsystem is a
// command line too, so that an account without a login has none.
func (s *session) argv(request *ssh.Request) ([]string, bool) {
	name := filepath.Base(s.host.account.shell)
	switch request.Type {
	case "shell":
		return []string{"-" + name}, len(request.Payload) == 0
	case "subsystem":
		subsystem, ok := parseExec(request.Payload)
		return []string{name, "-c", s.host.sftp}, ok && subsystem == "sftp" && s.host.sftp != ""
	}
	line, ok := parseExec(request.Payload)
	return []string{name, "-c", line}, ok
}

// start starts argv on the session's terminal, or with pipes where it has none.
func (s *session) start(argv []string) (running, error) {
	if s.terminal != nil {
		env := s.host.environ.with(slices.Concat(s.env, s.terminal.environ()))
		tty := s.terminal.theirs
		process, notice, err := s.startShell(argv, env, [3]*os.File{tty, tty, tty}, true)
		if err != nil {
			return nil, err
		}
		return newSeated(s, process, strings.ReplaceAll(notice, "\n", "\r\n")), nil
	}
	pipes, err := newPipes()
	if err != nil {
		return nil, err
	}
	defer pipes.closeTheirs()
	process, notice, err := s.startShell(argv, s.host.environ.with(s.env), pipes.theirs, false)
	if err != nil {
		pipes.closeOurs()
		return nil, err
	}
	return newCommand(s, process, pipes, notice), nil
}

// startShell starts the login shell at home, or at / where home cannot be entered, which
// the client is told by the notice.
func (s *session) startShell(argv, env []string, files [3]*os.File, onTerminal bool) (p *process, notice string, err error) {
	account := s.host.account
	p, err = startProcess(account.shell, argv, env, account.home, files, onTerminal)
	if err == nil || isShortage(err) {
		return p, "", err
	}
	p, errAtRoot := startProcess(account.shell, argv, env, "/", files, onTerminal)
	if errAtRoot != nil {
		return nil, "", err
	}
	return p, fmt.Sprintf("Could not chdir to home directory %s: %s\n", account.home, strerror(err)), nil
}

// fail tells of a shell that could not be executed as sshd does: a line on
// stderr and exit status 1.
func (s *session) fail(err error) {
	fmt.Fprintf(s.channel.Stderr(), "%s: %s\n", s.host.account.shell, strerror(err))
	s.channel.SendRequest("exit-status", false, ssh.Marshal(exitStatus{1}))
	s.channel.CloseWrite()
	s.channel.Close()
}

// errno is the system's own error in err.
func errno(err error) error {
	var e syscall.Errno
	if errors.As(err, &e) {
		return e
	}
	return err
}

// strerror words err as C does, which is as Go does but for the capital.
func strerror(err error) string {
	text := errno(err).Error()
	return strings.ToUpper(text[:1]) + text[1:]
}

// isShortage tells whether err is this process's lack of something, so that
// nothing was executed and another time may do. EBADF is what a child gets that moves its
// files to numbers beyond the limit on open files, before it executes anything.
func isShortage(err error) bool {
	return slices.Contains([]error{syscall.EAGAIN, syscall.ENOMEM, syscall.EMFILE, syscall.ENFILE, syscall.EBADF}, errno(err))
}

// exitStatus and exitSignal are the payloads of RFC 4254 §6.10.
type (
	exitStatus struct{ Code uint32 }
	exitSignal struct {
		Name       string
		CoreDumped bool
		Message    string
		Language   string
	}
)

// exitRequest is the request that tells the client how the command ended.
func exitRequest(status syscall.WaitStatus) (name string, payload []byte) {
	if status.Signaled() {
		return "exit-signal", ssh.Marshal(exitSignal{
			Name:       signalName(status.Signal()),
			CoreDumped: status.CoreDump(),
		})
	}
	return "exit-status", ssh.Marshal(exitStatus{uint32(status.ExitStatus())})
}

// commandLine is the line by which a login shell becomes argv: every shell takes single
// quotes, but not a quote, a backslash or an exclamation mark in them. Of an argv that holds
// one, as of an empty one, it is empty.
func commandLine(argv []string) string {
	var line strings.Builder
	for i, arg := range argv {
		if strings.ContainsAny(arg, "'\\!\n\x00") {
			return ""
		}
		if i == 0 {
			line.WriteString("exec")
		}
		line.WriteString(" '" + arg + "'")
	}
	return line.String()
}
