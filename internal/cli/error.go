package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// usageError is a command that was used wrongly.
type usageError struct {
	message string
	// hint is what to do about it.
	hint string
}

func (e *usageError) Error() string { return e.message }

func usagef(hint, format string, args ...any) error {
	return &usageError{message: fmt.Sprintf(format, args...), hint: hint}
}

// hintedError is an error that knows what to do about it.
type hintedError struct {
	error
	hint string
}

func (e *hintedError) Unwrap() error { return e.error }

// report writes err on one line, and what to do about it on another. Neither line
// holds anything that a terminal would obey, whoever worded it.
func (a *app) report(err error) {
	fmt.Fprintf(a.Stderr, "sallyport: %s\n", plainly(err.Error()))
	if hint := a.hintOf(err); hint != "" {
		fmt.Fprintf(a.Stderr, "hint: %s\n", visible(hint))
	}
}

// warn writes one line about something that goes on all the same.
func (a *app) warn(format string, args ...any) {
	if a.quiet {
		return
	}
	a.writeLine("sallyport: warning: " + visible(fmt.Sprintf(format, args...)))
}

// note writes one line that is no warning.
func (a *app) note(format string, args ...any) {
	if a.quiet {
		return
	}
	a.writeLine("sallyport: " + visible(fmt.Sprintf(format, args...)))
}

// writeLine writes a line to stderr, which may be a terminal that is raw, and on which a program
// may have left the cursor anywhere.
func (a *app) writeLine(line string) {
	end := "\n"
	if a.local != nil && a.local.isRaw() {
		line, end = "\r\n"+line, "\r\n"
	}
	_, _ = io.WriteString(a.Stderr, line+end) // nobody reads it, if it fails
}

// plainly is a message as the program's own read: without a capital at its
// beginning and a period at its end.
func plainly(message string) string {
	message = visible(strings.TrimSuffix(strings.TrimSpace(message), "."))
	first, n := utf8.DecodeRuneInString(message)
	second, _ := utf8.DecodeRuneInString(message[n:])
	if unicode.IsUpper(first) && unicode.IsLower(second) {
		return string(unicode.ToLower(first)) + message[n:]
	}
	return message
}

// hintOf is the advice for an error; "" if there is none.
func (a *app) hintOf(err error) string {
	var usage *usageError
	if errors.As(err, &usage) {
		return usage.hint
	}
	var hinted *hintedError
	if errors.As(err, &hinted) {
		return hinted.hint
	}
	return hints{a.used, a.workspace}.of(err)
}
