package sshhost

import (
	"fmt"
	"os"
	"strconv"
	"syscall"
)

// pipes are a process's standard streams: our ends, and theirs, which are
// given to the process and closed here. All are close-on-exec.
type pipes struct {
	stdin, stdout, stderr *os.File
	theirs                [3]*os.File
}

func newPipes() (*pipes, error) {
	var p pipes
	var errs [3]error
	p.theirs[0], p.stdin, errs[0] = os.Pipe()
	p.stdout, p.theirs[1], errs[1] = os.Pipe()
	p.stderr, p.theirs[2], errs[2] = os.Pipe()
	for _, err := range errs {
		if err != nil {
			p.closeOurs()
			p.closeTheirs()
			return nil, err
		}
	}
	return &p, nil
}

// closeOurs may be called more than once, and while others read and write,
// which ends that. A nil *os.File, which a failed start leaves, does no harm.
func (p *pipes) closeOurs() {
	p.stdin.Close()
	p.stdout.Close()
	p.stderr.Close()
}

func (p *pipes) closeTheirs() {
	for _, f := range p.theirs {
		f.Close()
	}
}

// sealDescriptors marks the descriptors that this process was started with as close-on-exec:
// Go opens nothing without the mark, but the parent of a server may. sshd
// closes such descriptors too.
func sealDescriptors() error {
	entries, err := os.ReadDir("/dev/fd")
	if err != nil {
		return fmt.Errorf("ssh host: list descriptors: %w", err)
	}
	for _, entry := range entries {
		if fd, err := strconv.Atoi(entry.Name()); err == nil && fd > 2 {
			syscall.CloseOnExec(fd)
		}
	}
	return nil
}

// onDescriptor calls do with the descriptor of an open file, which stays as it is for those
// that read and write it.
func onDescriptor(f *os.File, do func(fd int) error) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	if errControl := raw.Control(func(fd uintptr) { err = do(int(fd)) }); errControl != nil {
		return errControl
	}
	return err
}
