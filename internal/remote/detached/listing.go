package detached

import (
	"bufio"
	"context"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"sallyport/client/sallyport"
)

const (
	// lineMax bounds a line that the script prints, in bytes.
	lineMax = 2 << 10
	// listMax bounds the lines of a list. A ring has some ten segments a stream.
	listMax = 128
	// offsetMax bounds the offsets and the sizes that are believed, in bytes.
	offsetMax = 1 << 60
)

// errEnough is the error of a script's output that nobody reads any more.
var errEnough = errors.New("detached: enough")

// talk is a conversation with the script of a reading.
type talk struct {
	ctx   context.Context
	stop  context.CancelCauseFunc
	in    *io.PipeWriter
	out   *bufio.Reader
	pipe  *io.PipeReader
	ended chan struct{}
	// silent ends the reading after answerTime. It runs while an answer is due.
	silent *time.Timer
}

// start starts the script. The caller calls close.
func (r *reading) start(ctx context.Context, e Execs, args []string) {
	ctx, stop := context.WithCancelCause(ctx)
	inRead, inWrite := io.Pipe()
	outRead, outWrite := io.Pipe()
	r.talk = &talk{ctx: ctx, stop: stop, in: inWrite, out: bufio.NewReaderSize(outRead, lineMax), pipe: outRead, ended: make(chan struct{})}
	r.silent = time.AfterFunc(answerTime, func() {
		stop(sallyport.Errorf(sallyport.CodeExecTransport, "the machine says nothing more of the output").Because(errors.New("no answer within " + answerTime.String())))
	})
	go func() {
		defer close(r.ended)
		err := e.Machine.Run(ctx, e.argv(script(basePart, readPart), args...), inRead, outWrite)
		outWrite.CloseWithError(err)
		inRead.CloseWithError(io.ErrClosedPipe)
	}()
}

// close ends the script, if it hasn't ended, and waits for it. The end itself is of no
// interest: the frames are whole, or the reading has failed already.
func (t *talk) close() {
	_ = t.in.Close() // a pipe, whose Close tells the other end and never fails
	t.pipe.CloseWithError(errEnough)
	t.silent.Reset(answerTime) // a machine that doesn't end it is waited for no longer
	<-t.ended
	t.silent.Stop()
	t.stop(nil)
}

// say sends text to the script. If that fails, the read behind it tells why.
func (t *talk) say(text string) {
	t.silent.Reset(answerTime)
	defer t.silent.Stop()
	_, _ = io.WriteString(t.in, text)
}

// read reads data that the script sends.
func (t *talk) read(p []byte) (n int, err error) {
	t.silent.Reset(answerTime)
	defer t.silent.Stop()
	if n, err = t.out.Read(p); n == 0 && err != nil {
		return 0, t.cut(err)
	}
	return n, nil
}

// line reads a line of the script's own.
func (t *talk) line() (string, error) {
	t.silent.Reset(answerTime)
	defer t.silent.Stop()
	text, err := t.out.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return "", invalidAnswer("a line without an end")
	case err != nil:
		return "", t.cut(err)
	}
	return string(text[:len(text)-1]), nil
}

// cut is the error of a script that ended before it said what it should.
func (t *talk) cut(err error) error {
	if t.ctx.Err() != nil {
		return context.Cause(t.ctx)
	}
	if errors.Is(err, io.EOF) {
		return sallyport.Errorf(sallyport.CodeExecTransport, "the reading of the output ended early on the machine").Because(errors.New("the script ended"))
	}
	return err
}

// wait waits until it is time to ask again.
func (t *talk) wait(d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-t.ctx.Done():
		return context.Cause(t.ctx)
	case <-t.ended: // the next read tells why
		return nil
	case <-timer.C:
		return nil
	}
}

func invalidAnswer(why string) error {
	return sallyport.Errorf(sallyport.CodeExecTransport, "the machine's answer can't be understood").Because(errors.New(why))
}

// look reads the answer to "l".
func (t *talk) look(streams []*stream) (l look, err error) {
	told, whole := facts{}, false
	for range listMax {
		line, err := t.line()
		if err != nil {
			return look{}, err
		}
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case ".":
			if !whole {
				return look{}, invalidAnswer("stat doesn't work there")
			}
			for i := range l.segments {
				slices.SortFunc(l.segments[i], bySegmentOffset)
			}
			l.state = told.state()
			return l, nil
		case "gone":
			return look{}, ErrGone
		case "":
		case "run", "boot", "stat", "end", "mark":
			told.add(word, rest)
		default:
			whole = l.add(streams, line) || whole
		}
	}
	return look{}, invalidAnswer("a list without an end")
}

// add adds a segment from a line of its mode in hexadecimal digits, its size and its name. It
// drops lines of anything else, and reports whether the line is that of the spool itself.
func (l *look) add(streams []*stream, line string) (self bool) {
	f := strings.Split(line, " ")
	if len(f) != 3 || len(f[0]) != 4 {
		return false
	}
	if f[0][0] == '4' && f[2] == "." {
		return true
	}
	size, ok := number(f[1])
	name, at, found := strings.Cut(f[2], ".")
	offset, known := number(at)
	if f[0][0] != '8' || !ok || !found || !known {
		return false
	}
	for i, s := range streams {
		if s.name == name {
			l.segments[i] = append(l.segments[i], segment{offset, size})
		}
	}
	return false
}

// number reads a decimal number of bytes, without padding.
func number(s string) (n int64, ok bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n >= 0 && n <= offsetMax && strconv.FormatInt(n, 10) == s
}
