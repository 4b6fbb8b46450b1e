package sshhost

import (
	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

const (
	getTermios = unix.TCGETS
	setTermios = unix.TCSETS
	// disabledCharacter is _POSIX_VDISABLE.
	disabledCharacter = 0
)

// modeWord is a word of flags in a unix.Termios.
type modeWord = uint32

// addOwnFlags adds the flags that not every system has.
func addOwnFlags(all map[byte]flag, modes *unix.Termios) {
	all[ssh.IUCLC] = flag{&modes.Iflag, unix.IUCLC, false}
	all[ssh.XCASE] = flag{&modes.Lflag, unix.XCASE, false}
	all[ssh.OLCUC] = flag{&modes.Oflag, unix.OLCUC, false}
}
