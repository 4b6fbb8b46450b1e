package detached

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
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
	seconds := int64((c.Timeout + time.Second - 1) / time.Second)
	argv := e.argv(script(basePart, startPart), e.shell(), script(supervisePart), script(launchPart), c.ID,
		strconv.FormatInt(c.MaxOutputBytes, 10), strconv.FormatInt(seconds, 10), strconv.Itoa(len(c.Stdin)))
	answer, err := e.run(ctx, argv, io.MultiReader(bytes.NewReader(header(c)), bytes.NewReader(c.Stdin)), answerMax)
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

// header is two lines of shell code: the one enters the directory, the other becomes the
// command. The caller's variables are set last, so that they reach the command alone.
func header(c Command) []byte {
	var b bytes.Buffer
	if c.Cwd == "" {
		b.WriteString(":")
	} else {
		b.WriteString("cd -- ")
		quote(&b, plainPath(c.Cwd))
		b.WriteString(" >/dev/null 2>&1 || no cwd")
	}
	b.WriteString("\nset --")
	for _, arg := range c.Argv {
		b.WriteByte(' ')
		quote(&b, arg)
	}
	b.WriteString("; export SALLYPORT_EXEC_ID=" + c.ID)
	for _, v := range c.Env {
		b.WriteString(" " + v.Name + "=")
		quote(&b, v.Value)
	}
	b.WriteString("; " + execLine(c.Argv[0]) + "\n")
	return b.Bytes()
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
