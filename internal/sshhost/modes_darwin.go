package sshhost

import "golang.org/x/sys/unix"

const (
	getTermios = unix.TIOCGETA
	setTermios = unix.TIOCSETA
	// disabledCharacter is _POSIX_VDISABLE.
	disabledCharacter = 255
)

// modeWord is a word of flags in a unix.Termios.
type modeWord = uint64

// addOwnFlags adds the flags that not every system has.
func addOwnFlags(map[byte]flag, *unix.Termios) {}
