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
	// mark proves that the command started.
	mark string
	// asksShell has the mark also report whether the login shell claims to be sh.
	asksShell bool
}

func newWrapper() wrapper {
	var random [16]byte
	rand.Read(random[:])
	return wrapper{door: hex.EncodeToString(random[:8]), mark: hex.EncodeToString(random[8:])}
}

// line is the command string: plain characters in single quotes, which sh, bash,
// dash, zsh, fish and tcsh all read alike. It shows in ps, and reveals nothing.
func (w wrapper) line(cmd Command) string { return `exec /bin/sh -c '` + w.code(cmd) + `'` }

// directLine is the same for a login shell that is sh, which takes the header itself: a
// process saves its start. A shell that only claims to be sh, and reads shell, shows its
// name; one that can't read it starts nothing.
func (w wrapper) directLine(cmd Command) string {
	return `SALLYPORT_H='` + w.code(cmd) + `'; case $0 in sh|dash|ash) eval "$SALLYPORT_H";; *) exec /bin/sh -c "$SALLYPORT_H";; esac`
}

// code reads the header and runs it. Whatever doesn't depend on what must be hidden stands
// here, in functions that the header calls, and not in the header: a shell takes a command
// string at once, and reads a header byte by byte.
func (w wrapper) code(cmd Command) string {
	code := w.functions(cmd)
	if needsNewline(cmd) {
		// The fresh shell's IFS is space, tab, newline: a newline without a fork,
		// for a line that can't hold one. zsh has a fourth character. It becomes $1,
		// which is short.
		code += `SALLYPORT_N=${IFS#??}; set -- "${SALLYPORT_N%"${SALLYPORT_N#?}"}"; `
	}
	return code + `IFS= read -r SALLYPORT_H; case $SALLYPORT_H in "` + w.opening() + `:"*) eval "${SALLYPORT_H#*:}";; esac`
}

// functions defines run and, where the header needs it, enter.
func (w wrapper) functions(cmd Command) string {
	if cmd.script != "" {
		return w.run() + `() { unset SALLYPORT_H; ` + w.marks() + `; }; `
	}
	enter := ""
	if cmd.Dir != "" {
		enter = w.enter() + `() { ` + w.enterDir() + `; }; `
	}
	program := loginLine
	if len(cmd.Argv) > 0 {
		program = execLine(cmd.Argv[0])
	} else {
		enter = loginShell + enter
	}
	return enter + w.run() + `() { unset SALLYPORT_H; export SALLYPORT_EXEC_ID="$1"; shift; ` + w.begin(cmd) + program + `; }; `
}

// run is the function that a header ends with. It prints the marks, and becomes the program
// in its arguments, behind the exec's id; before a script it only prints the marks. Its name
// is random: to a shell that has read the header as its script it means nothing.
func (w wrapper) run() string { return `r` + w.door[:8] }

// enter is the function that enters the directory in its argument, or ends the shell.
func (w wrapper) enter() string { return `e` + w.door[:8] }

// opening is what a header begins with. To a shell that an rc file has started in the place of
// the one that was asked for, and that reads the header as its script, it is the end.
func (w wrapper) opening() string { return `exit 97 #` + w.door }

// A command with stdin is started in two steps: its shell prints the marks, and waits for a
// line, which is sent when they have come, and stdin behind it. So stdin is never run by
// another shell, and a command whose marks were not seen has not run.
const (
	// stdinGuard is a line behind the header, which the header's code reads. If an rc file
	// has eaten the header, it ends whoever waits for one.
	stdinGuard = "exit 97\n"
	// stdinGo is the line that stdin follows.
	stdinGo = "\n"
)

// Words with which a mark goes on behind its number, markStdout or markStderr. After
// markStarted comes the process group, and then loginSh where the login shell is asked for,
// and claims to be sh.
const (
	markStarted = "started"
	markNoDir   = "cwd"
	loginSh     = "sh"
	markStdout  = "1"
	markStderr  = "2"
)

// header is the one line of shell code that starts cmd. The functions that it calls stand in
// the command string, and so in no other shell than the one that was asked for.
func (w wrapper) header(cmd Command) []byte {
	var b strings.Builder
	b.WriteString(w.opening())
	b.WriteByte(':')
	if cmd.script != "" {
		b.WriteString(w.run() + ` && { ` + cmd.script + "; }\n")
		return []byte(b.String())
	}
	if cmd.Dir != "" {
		b.WriteString(w.enter() + ` `)
		quote(&b, plainPath(cmd.Dir))
		b.WriteByte(';')
	}
	if len(cmd.Env) > 0 {
		b.WriteString(`export`)
		for _, v := range cmd.Env {
			b.WriteByte(' ')
			b.WriteString(v.Name)
			b.WriteByte('=')
			quote(&b, v.Value)
		}
		b.WriteByte(';')
	}
	b.WriteString(w.run() + ` `)
	quote(&b, cmd.ExecID)
	for _, arg := range cmd.Argv {
		b.WriteByte(' ')
		quote(&b, arg)
	}
	b.WriteByte('\n')
	return []byte(b.String())
}

// begin prints the marks, and goes on with what stands behind it.
func (w wrapper) begin(cmd Command) string {
	if cmd.PTY != nil {
		return atPTY + w.marks() + ` && `
	}
	if hasStdin(cmd) {
		return `read -r SALLYPORT_N; ` + w.marks() + ` && read -r SALLYPORT_N && unset SALLYPORT_N && `
	}
	return w.marks() + ` && `
}

// marks prints the marks. The one on stderr comes first, so that it is dropped with the
// preamble where both streams are one. Where one can't be written the other is enough; where
// none can, nothing is run behind them. Neither stands here as it is printed, so that
// a shell which traces what it runs doesn't print it.
func (w wrapper) marks() string {
	login := ""
	ask := ""
	if w.asksShell {
		ask = `case ${SHELL##*/} in sh|dash|ash) SALLYPORT_L=` + loginSh + `;; *) SALLYPORT_L=;; esac; `
		login = ` $SALLYPORT_L`
	}
	started := " " + markStarted + " $$" + login
	return ask + `SALLYPORT_N=; ` + w.print(markStderr+started) + ` >&2 && SALLYPORT_N=1; ` +
		w.print(markStdout+started) + ` 2>&- || [ "$SALLYPORT_N" ] && unset SALLYPORT_N SALLYPORT_L`
}

// enterDir enters the directory in $1. If it can't be entered the marks say so, and the shell
// ends.
func (w wrapper) enterDir() string {
	return `cd -- "$1" >&- 2>&- || { ` + w.noDirMarks() + `; exit 1; }`
}

// noDirMarks prints, on both streams, that the directory can't be entered.
func (w wrapper) noDirMarks() string {
	return w.print(markStderr+" "+markNoDir) + ` >&2; ` + w.print(markStdout+" "+markNoDir)
}

// print prints a mark that goes on with text, a few plain words and variables.
func (w wrapper) print(text string) string {
	half := len(w.mark) / 2
	return `printf "%s%s %s\n" ` + w.mark[:half] + ` ` + w.mark[half:] + ` "` + text + `"`
}

// execLine replaces the shell by the program in "$@". A name that begins with a
// dash needs -- in bash, busybox and zsh, and must not have it in dash.
func execLine(program string) string {
	if !strings.HasPrefix(program, "-") {
		return `exec "$@"`
	}
	return `if (PATH=/nonexistent; exec -- /bin/sh -c :) 2>&-; then exec -- "$@"; else exec "$@"; fi`
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
