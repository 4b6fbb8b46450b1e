package sshhost

import (
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// signalNumber is the signal of a name in RFC 4254 §6.10, which are those that
// a client may send.
func signalNumber(name string) (syscall.Signal, bool) {
	switch name {
	case "ABRT", "ALRM", "FPE", "HUP", "ILL", "INT", "KILL",
		"PIPE", "QUIT", "SEGV", "TERM", "USR1", "USR2":
		return unix.SignalNum("SIG" + name), true
	}
	return 0, false
}

// signalName is the name by which an exit-signal tells of sig. RFC 4254 lacks
// BUS, XCPU and some more; a client that knows no such name still sees a death
// by a signal. One without any name is called as sshd calls it.
func signalName(sig syscall.Signal) string {
	if name, ok := strings.CutPrefix(unix.SignalName(sig), "SIG"); ok {
		return name
	}
	if n := int(sig) - sigRTMin; n >= 0 && n <= sigRTMax-sigRTMin {
		return "RTMIN+" + strconv.Itoa(n) + "@sallyport"
	}
	return "SIG@openssh.com"
}

// Real-time signals as the C library numbers them (signal(7)): it keeps two.
const (
	sigRTMin = 34
	sigRTMax = 64
)

// catchIgnored catches, for good, the signals that this process was started to
// ignore, as by nohup or in the background of a script, and drops them. The
// process goes on as before, but commands start with the default action, as
// they do under sshd: an ignored signal would stay so in them, and a client's
// INT would do nothing. (The runtime takes over all ignored signals but these.)
func catchIgnored() {
	for _, sig := range []os.Signal{syscall.SIGHUP, syscall.SIGINT} {
		if signal.Ignored(sig) {
			signal.Notify(make(chan os.Signal, 1), sig)
		}
	}
}
