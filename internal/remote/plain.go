package remote

import (
	"strings"

	"sallyport/internal/limits"
)

// isPlain reports whether a command may stand in the command line: it holds nothing that
// ps must not show (an env value, code of our own), and every login shell reads it
// alike between single quotes, and runs at no PTY: fish and tcsh treat the backslash and the exclamation mark there
// in their own ways.
func isPlain(cmd Command) bool {
	if cmd.PTY != nil || len(cmd.Env) > 0 || cmd.script != "" || strings.Trim(cmd.ExecID, "0123456789abcdef-") != "" || strings.HasPrefix(cmd.Argv[0], "-") || !isPlainText(cmd.Dir) {
		return false
	}
	bytes := len(cmd.Dir)
	for _, arg := range cmd.Argv {
		if bytes += len(arg) + 3; bytes > limits.PlainBytesMax || !isPlainText(arg) {
			return false
		}
	}
	return true
}

func isPlainText(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '\'' || c == '\\' || c == '!' {
			return false
		}
	}
	return true
}

// plainHeader is the line in front of stdinGuard, for a command with stdin. A shell that reads
// another line ends: an rc file has eaten this one, and may have eaten the guard.
func (w wrapper) plainHeader(cmd Command) []byte {
	if !hasStdin(cmd) {
		return nil
	}
	return []byte(w.opening() + "\n")
}

// plainLine is the command string that starts cmd without a header.
func (w wrapper) plainLine(cmd Command) string {
	var b strings.Builder
	b.WriteString(`exec /bin/sh -c '`)
	if hasStdin(cmd) {
		b.WriteString(`read -r SALLYPORT_N; case $SALLYPORT_N in "` + w.opening() + `") ;; *) exit 97;; esac; `)
	}
	if cmd.Dir != "" {
		b.WriteString(w.enterDir() + `; shift; `)
	}
	b.WriteString(`export SALLYPORT_EXEC_ID=` + cmd.ExecID + `; ` + w.begin(cmd) + `exec "$@"' sh`)
	if cmd.Dir != "" {
		b.WriteString(` '` + plainPath(cmd.Dir) + `'`)
	}
	for _, arg := range cmd.Argv {
		b.WriteString(` '` + arg + `'`)
	}
	return b.String()
}
