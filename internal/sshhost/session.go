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

	started bool     // a command was asked for: there is no second
	command *command // nil until it runs
	failing sync.WaitGroup
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
		default: // terminals, forwarding, keepalives
			request.Reply(false, nil)
		}
	}
	if s.command != nil {
		s.command.hangUp(s.ended)
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

// signal sends a signal to the command's process group. The channel stays open until
// the client has its answer, also when the signal ends the command.
func (s *session) signal(request *ssh.Request) {
	sig, ok := parseSignal(request.Payload)
	if !ok || s.command == nil || !s.command.hold() {
		request.Reply(false, nil)
		return
	}
	defer s.command.finishPart()
	request.Reply(s.command.process.signal(sig) == nil, nil)
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
