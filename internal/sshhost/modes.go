package sshhost

import (
	"encoding/binary"
	"os"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

// setModes sets a terminal's modes as a client has encoded them (RFC 4254 §8). Opcodes that
// this system has nothing for, and speeds, which mean nothing here, are passed over; what
// follows an opcode that nobody can read is not looked at.
func setModes(tty *os.File, encoded string) error {
	return onDescriptor(tty, func(fd int) error {
		modes, err := unix.IoctlGetTermios(fd, getTermios)
		if err != nil {
			return err
		}
		for len(encoded) >= 5 && encoded[0] != 0 && encoded[0] < 160 {
			setMode(modes, encoded[0], binary.BigEndian.Uint32([]byte(encoded[1:5])))
			encoded = encoded[5:]
		}
		return unix.IoctlSetTermios(fd, setTermios, modes)
	})
}

// setMode sets one mode: a character, or a flag that is on unless value is 0.
func setMode(modes *unix.Termios, opcode byte, value uint32) {
	if i, ok := characters()[opcode]; ok {
		if value == noCharacter {
			value = disabledCharacter
		}
		modes.Cc[i] = uint8(value)
		return
	}
	flag, ok := flags(modes)[opcode]
	switch {
	case !ok:
	case flag.isSize && value != 0:
		*flag.word = *flag.word&^unix.CSIZE | flag.bits
	case flag.isSize:
	case value != 0:
		*flag.word |= flag.bits
	default:
		*flag.word &^= flag.bits
	}
}

// noCharacter is how a client says that no character does it.
const noCharacter = 255

// characters are the places of control characters, by opcode.
func characters() map[byte]int {
	return map[byte]int{
		ssh.VINTR: unix.VINTR, ssh.VQUIT: unix.VQUIT, ssh.VERASE: unix.VERASE, ssh.VKILL: unix.VKILL, ssh.VEOF: unix.VEOF,
		ssh.VEOL: unix.VEOL, ssh.VEOL2: unix.VEOL2, ssh.VSTART: unix.VSTART, ssh.VSTOP: unix.VSTOP, ssh.VSUSP: unix.VSUSP,
		ssh.VREPRINT: unix.VREPRINT, ssh.VWERASE: unix.VWERASE, ssh.VLNEXT: unix.VLNEXT, ssh.VDISCARD: unix.VDISCARD,
	}
}

// flag is some bits of a word of the modes. Those of a size exclude each other.
type flag struct {
	word   *modeWord
	bits   modeWord
	isSize bool
}

// flags are the flags of modes, by opcode.
func flags(modes *unix.Termios) map[byte]flag {
	input, output, control, local := &modes.Iflag, &modes.Oflag, &modes.Cflag, &modes.Lflag
	all := map[byte]flag{
		ssh.IGNPAR: {input, unix.IGNPAR, false}, ssh.PARMRK: {input, unix.PARMRK, false}, ssh.INPCK: {input, unix.INPCK, false},
		ssh.ISTRIP: {input, unix.ISTRIP, false}, ssh.INLCR: {input, unix.INLCR, false}, ssh.IGNCR: {input, unix.IGNCR, false},
		ssh.ICRNL: {input, unix.ICRNL, false}, ssh.IXON: {input, unix.IXON, false}, ssh.IXANY: {input, unix.IXANY, false},
		ssh.IXOFF: {input, unix.IXOFF, false}, ssh.IMAXBEL: {input, unix.IMAXBEL, false}, ssh.IUTF8: {input, unix.IUTF8, false},

		ssh.ISIG: {local, unix.ISIG, false}, ssh.ICANON: {local, unix.ICANON, false}, ssh.ECHO: {local, unix.ECHO, false},
		ssh.ECHOE: {local, unix.ECHOE, false}, ssh.ECHOK: {local, unix.ECHOK, false}, ssh.ECHONL: {local, unix.ECHONL, false},
		ssh.NOFLSH: {local, unix.NOFLSH, false}, ssh.TOSTOP: {local, unix.TOSTOP, false}, ssh.IEXTEN: {local, unix.IEXTEN, false},
		ssh.ECHOCTL: {local, unix.ECHOCTL, false}, ssh.ECHOKE: {local, unix.ECHOKE, false}, ssh.PENDIN: {local, unix.PENDIN, false},

		ssh.OPOST: {output, unix.OPOST, false}, ssh.ONLCR: {output, unix.ONLCR, false}, ssh.OCRNL: {output, unix.OCRNL, false},
		ssh.ONOCR: {output, unix.ONOCR, false}, ssh.ONLRET: {output, unix.ONLRET, false},

		ssh.CS7: {control, unix.CS7, true}, ssh.CS8: {control, unix.CS8, true},
		ssh.PARENB: {control, unix.PARENB, false}, ssh.PARODD: {control, unix.PARODD, false},
	}
	addOwnFlags(all, modes)
	return all
}
