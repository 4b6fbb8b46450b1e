package detached

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/id"
)

// maxOutputLeast is the least MaxOutputBytes: a segment is an eighth of it, and holds a few
// blocks.
const maxOutputLeast = 16 << 10

// ErrExists reports that the id has a spool already: that of an earlier start, or a
// tombstone. This start has started nothing.
var ErrExists = errors.New("detached: the exec has a spool already")

// Start starts a command. When it returns nil, the command's process exists, and the
// command goes on whatever becomes of ctx and of the session.
//
// Of a *sallyport.Error with the code invalid_cwd or spool_unavailable, and of an error that
// is ErrExists, this call has started nothing, and nothing will come of it. With any other
// error the command may have started, or start still: Ask tells.
func (e Execs) Start(ctx context.Context, c Command) error {
	if !id.Is(c.ID) || len(c.Argv) == 0 || c.MaxOutputBytes < maxOutputLeast || c.Timeout <= 0 {
		return fmt.Errorf("detached: a command without an id, an argv or a bound: %q", c.ID)
	}
	answer, err := e.run(ctx, e.startArgv(c), io.MultiReader(strings.NewReader(e.startCode(c)), bytes.NewReader(c.Stdin)), answerMax)
	answer = strings.TrimSuffix(answer, "\n")
	if answer == "started" {
		return nil // the session's end is of no interest
	}
	if reason, ok := strings.CutPrefix(answer, "no "); ok {
		return refusal(reason, c)
	}
	return noAnswer(err)
}

// answerMax bounds what a script says that has one line to say, in bytes.
const answerMax = 1 << 10

// refusal is the error that a script's word stands for.
func refusal(reason string, c Command) error {
	switch reason {
	case "cwd":
		return sallyport.Errorf(sallyport.CodeInvalidCwd, "the directory %q can't be entered on the machine", c.Cwd).WithStarted(false)
	case sallyport.ReasonNotWritable:
		return unavailable(reason, "no directory for the output can be made on the machine, in the home or in /var/tmp, that is the user's alone")
	case sallyport.ReasonDiskFull:
		return unavailable(reason, "the machine's disk is full, and there is no place for the output")
	case sallyport.ReasonNoSetsid:
		return unavailable(reason, "the machine has no setsid, which a detached exec needs")
	case "exists":
		return ErrExists
	}
	return errNoAnswer
}

func unavailable(reason, message string) error {
	return sallyport.Errorf(sallyport.CodeSpoolUnavailable, "%s", message).WithReason(reason).WithStarted(false)
}

// newline sets sp_n to one, without a process.
const newline = `sp_n=${IFS#??}; sp_n=${sp_n%"${sp_n#?}"}; `

// startArgv runs the code that stdin holds. A shell reads a line byte by byte, and that of a
// whole program takes long: where nothing follows it a process reads it faster. A shell that
// bears the id of the command is replaced first.
func (e Execs) startArgv(c Command) []string {
	const boot = `[ "${SALLYPORT_EXEC_ID-}" != "$1" ] || { unset SALLYPORT_EXEC_ID; exec "$2" -c "$3" sallyport; }; eval "$3"`
	read := `IFS= read -r sp_x && IFS= read -r sp_line && eval "eval $sp_x"`
	if len(c.Stdin) == 0 {
		read = `eval "$(cat)"`
	}
	return e.argv(boot, c.ID, e.shell(), newline+read)
}

// startCode is the code that starts a command: all of stdin, or a line in front of it, and
// then the command's.
func (e Execs) startCode(c Command) string {
	var b bytes.Buffer
	seconds := int64((c.Timeout + time.Second - 1) / time.Second)
	line := commandLine(c)
	long := 0
	if len(line) > hereDocumentMax {
		long = 1
	}
	fmt.Fprintf(&b, "sp_id=%s sp_max=%d sp_time=%d sp_in=%d sp_long=%d\nsp_sh=", c.ID, c.MaxOutputBytes, seconds, len(c.Stdin), long)
	quote(&b, e.shell())
	b.WriteString("\nsp_launch=")
	quote(&b, script(launchPart))
	if len(c.Stdin) == 0 {
		b.WriteString("\nsp_line=")
		quote(&b, line)
	}
	b.WriteString("\nsp_cd() { :; ")
	if c.Cwd != "" {
		b.WriteString("cd -- ")
		quote(&b, plainPath(c.Cwd))
		b.WriteString(" >/dev/null 2>&1 || no cwd; ")
	}
	b.WriteString("}\n" + script(basePart, supervisePart, startPart) + "{ begin; }")
	if len(c.Stdin) == 0 {
		return b.String()
	}
	var whole bytes.Buffer
	quote(&whole, b.String())
	return whole.String() + "\n" + line + "\n"
}

// hereDocumentMax is the length of a here-document, in bytes, up to which shells need neither a
// process nor a file for one.
const hereDocumentMax = 3000

// commandLine is the line of shell code that becomes the command. The caller's variables are
// set last, so that they reach the command alone.
func commandLine(c Command) string {
	var b bytes.Buffer
	b.WriteString("set --")
	for _, arg := range c.Argv {
		b.WriteByte(' ')
		quote(&b, arg)
	}
	b.WriteString("; export SALLYPORT_EXEC_ID=" + c.ID)
	for _, v := range c.Env {
		b.WriteString(" " + v.Name + "=")
		quote(&b, v.Value)
	}
	b.WriteString("; " + execLine(c.Argv[0]))
	return b.String()
}

// execLine replaces the shell by the program in "$@". A name that begins with a dash needs --
// in bash, busybox and mksh, and must not have it in dash.
func execLine(program string) string {
	if !strings.HasPrefix(program, "-") {
		return `exec "$@"`
	}
	return `if (PATH=/nonexistent; exec -- /bin/sh -c :) 2>&-; then exec -- "$@"; else exec "$@"; fi`
}

// plainPath keeps cd from taking a directory's name for an option, for the last directory (-),
// or for something to look up in CDPATH.
func plainPath(dir string) string {
	if strings.HasPrefix(dir, "/") {
		return dir
	}
	return "./" + dir
}

// quote writes s as one word of POSIX shell that holds no newline, where $sp_n is one.
func quote(b *bytes.Buffer, s string) {
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
			b.WriteString(`'"$sp_n"'`)
		} else {
			b.WriteString(`'\''`)
		}
		s = s[i+1:]
	}
}
