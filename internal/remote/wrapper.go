package remote

import (
	"crypto/rand"
	"encoding/hex"
	"strings"
)

// wrapper is how one command is started, on every SSH server and whatever the
// login shell: see the package's doc.
type wrapper struct {
	// door opens the header; it stands in the command string.
	door string
	// mark proves that the command started. It stands in the header alone, so
	// that a shell that traces what it runs can't print it by accident.
	mark string
	// asks: the mark also tells whether the login shell says that it is sh.
	asks bool
}

func newWrapper() wrapper {
	var random [32]byte
	rand.Read(random[:])
	return wrapper{door: hex.EncodeToString(random[:16]), mark: hex.EncodeToString(random[16:])}
}

// line is the command string: plain characters in single quotes, which sh, bash,
// dash, zsh, fish and tcsh all read alike. It shows in ps, and tells nothing.
func (w wrapper) line() string { return `exec /bin/sh -c '` + w.read() + `'` }

// directLine is the same for a login shell that is sh, which takes the header itself: a
// process saves its start. One that only says that it is sh, and reads shell, is found
// out by its name; one that doesn't even read it starts nothing.
func (w wrapper) directLine() string {
	return `case $0 in sh|dash|ash) ` + w.read() + `;; *) ` + w.line() + `;; esac`
}

func (w wrapper) read() string {
	return `IFS= read -r SALLYPORT_H; case $SALLYPORT_H in ` + w.door + `:*) eval "${SALLYPORT_H#*:}";; esac`
}

// Words with which a mark goes on. After markStarted comes the process group, and then
// loginSh where the login shell is asked for, and says that it is sh.
const (
	markStarted = "started"
	markNoDir   = "cwd"
	loginSh     = "sh"
)

// header is the one line of shell code that starts cmd.
func (w wrapper) header(cmd Command) []byte {
	var b strings.Builder
	b.WriteString(w.door)
	b.WriteByte(':')
	if cmd.script != "" {
		b.WriteString(w.marks() + `; ` + cmd.script + "\n")
		return []byte(b.String())
	}
	if needsNewline(cmd) {
		// The fresh shell's IFS is space, tab, newline: a newline without a fork,
		// in a line that can't hold one. zsh has a fourth character. It becomes $1,
		// which is short: shells read a header byte by byte.
		b.WriteString(`SALLYPORT_N=${IFS#??}; set -- "${SALLYPORT_N%"${SALLYPORT_N#?}"}"; `)
	}
	if cmd.Dir != "" {
		b.WriteString(`cd -- `)
		quote(&b, plainPath(cmd.Dir))
		b.WriteString(` >/dev/null 2>&1 || { printf '%s\n' '` + w.mark + " " + markNoDir + `'; exit 1; }; `)
	}
	b.WriteString(`export SALLYPORT_EXEC_ID=`)
	quote(&b, cmd.ExecID)
	for _, v := range cmd.Env {
		b.WriteByte(' ')
		b.WriteString(v.Name)
		b.WriteByte('=')
		quote(&b, v.Value)
	}
	b.WriteString(`; set --`)
	for _, arg := range cmd.Argv {
		b.WriteByte(' ')
		quote(&b, arg)
	}
	b.WriteString(`; unset SALLYPORT_H SALLYPORT_N; ` + w.marks() + ` && ` + execLine(cmd.Argv[0]) + "\n")
	return []byte(b.String())
}

// marks prints the mark on both streams. One that can't be written fails, and
// nothing is run behind it: nobody is there to be told of it.
func (w wrapper) marks() string {
	first := `printf '%s\n' "` + w.mark + " " + markStarted + ` $$"`
	if w.asks {
		first = `case ${SHELL##*/} in sh|dash|ash) printf '%s\n' "` + w.mark + " " + markStarted + ` $$ ` + loginSh + `";; *) ` + first + `;; esac`
	}
	return first + ` && printf '%s\n' ` + w.mark + ` >&2`
}

// execLine replaces the shell by the program in "$@". A name that begins with a
// dash needs -- in bash, busybox and zsh, and must not have it in dash.
func execLine(program string) string {
	if !strings.HasPrefix(program, "-") {
		return `exec "$@"`
	}
	return `if (PATH=/nonexistent; exec -- /bin/sh -c :) 2>/dev/null; then exec -- "$@"; else exec "$@"; fi`
}

// plainPath keeps cd from taking a directory's name for an option, for the last
// directory (-), or for something to look up in CDPATH.
func plainPath(dir string) string {
	if strings.HasPrefix(dir, "/") {
		return dir
	}
	return "./" + dir
}

func needsNewline(cmd Command) bool {
	if strings.Contains(cmd.Dir, "\n") {
		return true
	}
	for _, arg := range cmd.Argv {
		if strings.Contains(arg, "\n") {
			return true
		}
	}
	for _, v := range cmd.Env {
		if strings.Contains(v.Value, "\n") {
			return true
		}
	}
	return false
}

// quote writes s as one word of POSIX shell that holds no newline, where $1 is one.
func quote(b *strings.Builder, s string) {
	b.WriteByte('\'')
	for {
		i := strings.IndexAny(s, "'\n")
		if i < 0 {
			b.WriteString(s)
			b.WriteByte('\'')
			return
		}
		b.WriteString(s[:i])
		if s[i] == '\n' {
			b.WriteString(`'"$1"'`)
		} else {
			b.WriteString(`'\''`)
		}
		s = s[i+1:]
	}
}
