package main

import (
	"io"
	"os"
	"syscall"
)

// closed tells which of stdin, stdout and stderr were closed when the process began:
// entry_linux_*.s writes it before Go begins. Go opens /dev/null in their place, so that
// later a closed stdout can't be told from one that is meant to be dropped, and output
// that is lost would look like success. Where the program is linked without that entry
// (scripts/build has the flag), nothing is known, and nothing is marked.
var closed [3]byte

// unlessClosed returns f, or what fails as f would have failed.
func unlessClosed(f *os.File) io.Writer {
	if fd := f.Fd(); fd < uintptr(len(closed)) && closed[fd] != 0 {
		return closedFile{}
	}
	return f
}

// closedFile is a file that was closed before the process began.
type closedFile struct{}

func (closedFile) Write([]byte) (int, error) { return 0, syscall.EBADF }
