package sshhost

import (
	"strings"
	"sync"
	"syscall"

	"golang.org/x/crypto/ssh"
)

const (
	// envNamesMax and envBytesMax bound a client's additions to a session's
	// environment. sshd takes 128 variables.
	envNamesMax = 128
	envBytesMax = 64 << 10
)

// session is a channel that runs one command (RFC 4254 §6). One goroutine
// takes its requests, so that nothing here needs a lock.
type session struct {
	host    *Host
	channel ssh.Channel
	openSSH bool            // as the connection's
	ended   <-chan struct{} // closed when the connection has ended

	env      []string // NAME=value, as the client asked
	envBytes int

	terminal *terminal // nil until the client has asked for one
	started  bool      // a command was asked for: there is no second
	running  running   // nil until a command runs
	failing  sync.WaitGroup
}

// running is a command at work.
type running interface {
	// run begins its work.
	run(*Host)
	// hold keeps its channel open until release is called, if it is open still, so that the
	// client has the answer to a request that ends the command.
	hold() (release func())
	// signal sends a signal to its process group. It fails once that is gone.
	signal(syscall.Signal) error
	// hangUp lets go of it once the channel has ended.
	hangUp(connectionEnded <-chan struct{})
}

// serve takes requests until the channel has ended, and lets go of the
// command then. It never stops taking them before: the connection waits for it.
func (s *session) serve(requests <-chan *ssh.Request) {
	for request := range requests {
		switch request.Type {
		case "exec", "shell", "subsystem":
			s.exec(request)
		case StartRequest:
			s.startDirectly(request)
		case "env":
			request.Reply(s.setenv(request.Payload), nil)
		case "signal":
			s.signal(request)
		case "pty-req":
			request.Reply(s.seat(request.Payload), nil)
		case "window-change":
			request.Reply(s.resize(request.Payload), nil)
		default: // forwarding of an agent or of X11, keepalives
			request.Reply(false, nil)
		}
	}
	switch {
	case s.running != nil:
		s.running.hangUp(s.ended)
	case s.terminal != nil:
		s.terminal.close()
	}
	s.failing.Wait()
}

// setenv accepts a variable of the locale, before the command starts.
func (s *session) setenv(payload []byte) bool {
	name, value, ok := parseEnv(payload)
	if !ok || s.started || !isLocale(name) {
		return false
	}
	entry := name + "=" + value
	if len(s.env) >= envNamesMax || s.envBytes+len(entry) > envBytesMax {
		return false
	}
	s.env = append(s.env, entry)
	s.envBytes += len(entry)
	return true
}

// signal sends a signal to the command's process group, and answers the request.
func (s *session) signal(request *ssh.Request) {
	sig, ok := parseSignal(request.Payload)
	if !ok || s.running == nil {
		request.Reply(false, nil)
		return
	}
	release := s.running.hold()
	defer release()
	request.Reply(s.running.signal(sig) == nil, nil)
}

// seat gives the session a terminal, before the command starts, and once.
func (s *session) seat(payload []byte) bool {
	if s.started || s.terminal != nil {
		return false
	}
	terminal, err := openTerminal(payload)
	if err != nil {
		s.host.log.Info("ssh host: no terminal", "error", err)
		return false
	}
	s.terminal = terminal
	return true
}

// resize tells the terminal a new size.
func (s *session) resize(payload []byte) bool {
	var size windowChange
	return s.terminal != nil && ssh.Unmarshal(payload, &size) == nil && s.terminal.resize(size) == nil
}

// parseExec reads the payload of an exec or a subsystem request (RFC 4254 §6.5). A NUL
// would cut the command line short, so it is refused.
func parseExec(payload []byte) (command string, ok bool) {
	var msg struct{ Command string }
	if ssh.Unmarshal(payload, &msg) != nil || strings.ContainsRune(msg.Command, 0) {
		return "", false
	}
	return msg.Command, true
}

// parseEnv reads the payload of an env request (RFC 4254 §6.4).
func parseEnv(payload []byte) (name, value string, ok bool) {
	var msg struct{ Name, Value string }
	if ssh.Unmarshal(payload, &msg) != nil || strings.ContainsRune(msg.Name+msg.Value, 0) {
		return "", "", false
	}
	return msg.Name, msg.Value, true
}

// parseSignal reads the payload of a signal request (RFC 4254 §6.9).
func parseSignal(payload []byte) (syscall.Signal, bool) {
	var msg struct{ Name string }
	if ssh.Unmarshal(payload, &msg) != nil {
		return 0, false
	}
	return signalNumber(msg.Name)
}
