package files

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"sallyport/client/sallyport"
)

// lineMax bounds a line that a script prints for us, in bytes: the entry of a file.
const lineMax = 4 << 10

// talk is a script that runs, and what is said with it.
type talk struct {
	in   *io.PipeWriter
	out  *bufio.Reader
	pipe *io.PipeReader
	end  chan error
}

// start runs a script. The caller calls close.
func (t *Tree) start(ctx context.Context, script string, args ...string) *talk {
	inRead, inWrite := io.Pipe()
	outRead, outWrite := io.Pipe()
	s := &talk{in: inWrite, out: bufio.NewReaderSize(outRead, 64<<10), pipe: outRead, end: make(chan error, 1)}
	go func() {
		err := t.Machine.Run(ctx, t.argv(script, args...), inRead, outWrite)
		if err == nil {
			err = io.EOF
		}
		outWrite.CloseWithError(err)
		inRead.CloseWithError(io.ErrClosedPipe)
		s.end <- err
	}()
	return s
}

// close ends the script, if it hasn't ended, and waits for it. It returns what kept the
// machine from running it to its end; what we did not want to hear is no fault.
func (s *talk) close() error {
	_ = s.in.Close() // a pipe, whose Close tells the other end and never fails
	s.pipe.CloseWithError(errEnough)
	if err := <-s.end; err != io.EOF && !errors.Is(err, errEnough) {
		return err
	}
	return nil
}

// errEnough ends a script whose output is not wanted any more.
var errEnough = errors.New("files: enough")

// line reads a line of the script's own: a word, and what is behind it. A refusal, "no",
// is returned as the *sallyport.Error that it stands for.
func (s *talk) line() (word, rest string, err error) {
	word, rest, err = s.words()
	if err == nil && word == "no" {
		return "", "", refusal(rest)
	}
	return word, rest, err
}

// answer reads a line that is word, or a refusal, whose reason it returns.
func (s *talk) answer(word string) (no string, err error) {
	got, rest, err := s.words()
	switch {
	case err != nil:
		return "", err
	case got == "no" && rest != "":
		return rest, nil
	case got != word:
		return "", invalidAnswer("an unknown word")
	}
	return "", nil
}

func (s *talk) words() (word, rest string, err error) {
	text, err := s.out.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull), len(text) > lineMax:
		return "", "", invalidAnswer("a line without an end")
	case err != nil:
		return "", "", s.cut(err)
	}
	word, rest, _ = strings.Cut(strings.TrimSuffix(string(text), "\n"), " ")
	return word, rest, nil
}

// expect reads a line that begins with word, and returns the rest.
func (s *talk) expect(words ...string) (word, rest string, err error) {
	word, rest, err = s.line()
	if err != nil {
		return "", "", err
	}
	if !slices.Contains(words, word) {
		return "", "", invalidAnswer("an unknown word")
	}
	return word, rest, nil
}

// say sends a line, or what is of a body, to the script.
func (s *talk) say(format string, args ...any) error {
	_, err := fmt.Fprintf(s.in, format+"\n", args...)
	return err
}

// cut is the error of a script that ended before it said what it should.
func (s *talk) cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return sallyport.Errorf(sallyport.CodeFilesUnsupported, "the machine lacks what file operations need: a POSIX sh, /proc, and the usual tools of coreutils or busybox").Because(errors.New("the script ended early"))
	}
	return err
}

func invalidAnswer(why string) error {
	return sallyport.Errorf(sallyport.CodeFileIO, "the machine's answer can't be understood").Because(errors.New(why))
}

// refusal is the error that a script's word stands for.
func refusal(rest string) error {
	word, detail, _ := strings.Cut(rest, " ")
	switch word {
	case "outside":
		return sallyport.Errorf(sallyport.CodeInvalidPath, "the path leads out of the workspace's root")
	case "root":
		return sallyport.Errorf(sallyport.CodeInvalidRoot, "the workspace's root is not a directory that can be entered")
	case "missing":
		return sallyport.Errorf(sallyport.CodeFileNotFound, "no such file or directory")
	case "denied":
		return sallyport.Errorf(sallyport.CodePermissionDenied, "the machine's permissions don't allow this")
	case "readonly":
		return sallyport.Errorf(sallyport.CodePermissionDenied, "the file system is read-only").WithReason(sallyport.ReasonReadOnly)
	case "isdir":
		return sallyport.Errorf(sallyport.CodeIsADirectory, "it is a directory")
	case "notdir":
		return sallyport.Errorf(sallyport.CodeNotADirectory, "it is not a directory, or the path goes through a file")
	case "notfile":
		return sallyport.Errorf(sallyport.CodeNotAFile, "it is not a file: a device, a FIFO or a socket is never opened")
	case "notempty":
		return sallyport.Errorf(sallyport.CodeNotEmpty, "the directory is not empty; remove it with recursive=true")
	case "exists":
		return sallyport.Errorf(sallyport.CodeExists, "something is there already")
	case "space":
		return sallyport.Errorf(sallyport.CodeNoSpace, "the machine's disk is full")
	case "quota":
		return sallyport.Errorf(sallyport.CodeNoSpace, "the user's disk quota is used up").WithReason(sallyport.ReasonQuota)
	case "self":
		return sallyport.Errorf(sallyport.CodeInvalidTo, "a directory can't be put into itself")
	case "device":
		return errDevice
	case "offset":
		return offsetMismatch(detail)
	case "moved":
		return sallyport.Errorf(sallyport.CodeFileNotFound, "what was there has been moved or replaced meanwhile")
	case "unsupported":
		return sallyport.Errorf(sallyport.CodeFilesUnsupported, "the machine lacks what file operations need: /proc, readlink, stat and the usual tools of coreutils or busybox")
	}
	return sallyport.Errorf(sallyport.CodeFileIO, "the machine's disk or file system failed")
}
