package remote

import (
	"strconv"
	"strings"

	"golang.org/x/crypto/ssh"
)

// exit is what a machine says of a command's end.
type exit struct {
	code   int
	signal string
}

// parseExit reads an exit-status or an exit-signal (RFC 4254, section 6.10).
func parseExit(req *ssh.Request) (exit, bool) {
	switch req.Type {
	case "exit-status":
		var msg struct{ Status uint32 }
		if err := ssh.Unmarshal(req.Payload, &msg); err != nil {
			return exit{}, false
		}
		return exit{code: int(msg.Status)}, true
	case "exit-signal":
		var msg struct {
			Signal     string
			CoreDumped bool
			Message    string
			Language   string
		}
		if err := ssh.Unmarshal(req.Payload, &msg); err != nil {
			return exit{}, false
		}
		name := signalName(msg.Signal)
		return exit{code: 128 + signalNumber(name), signal: name}, true
	}
	return exit{}, false
}

// signalName keeps a name that a hostile machine may have chosen from being
// anything but a name.
func signalName(s string) string {
	s, _, _ = strings.Cut(strings.TrimPrefix(s, "SIG"), "@")
	if s == "" || len(s) > 16 || strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-") != "" {
		return "UNKNOWN"
	}
	return s
}

// signalNumber is the number that Linux gives a signal (signal(7), x86 and ARM);
// 0 for a name that it doesn't know. RTMIN+N is what our own host calls a real-time
// signal, for which SSH has no names.
func signalNumber(name string) int {
	const names = "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT " +
		"CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS"
	for i, n := range strings.Fields(names) {
		if n == name {
			return i + 1
		}
	}
	const rtMin = 34
	if n, err := strconv.Atoi(strings.TrimPrefix(name, "RTMIN+")); err == nil && n >= 0 && n <= 30 {
		return rtMin + n
	}
	return 0
}
