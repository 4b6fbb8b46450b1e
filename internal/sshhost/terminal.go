package sshhost

import (
	"errors"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/creack/pty"
	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

// terminal is a pseudo-terminal of a session (RFC 4254 §6.2), whose program talks by it
// alone. Our end belongs to the session, which closes it; theirs is closed once the program
// has it.
type terminal struct {
	ours, theirs *os.File
	kind         string // the value of TERM
}

// ptyRequest is the payload of a pty-req request. Modes are pairs of an opcode and a value.
type ptyRequest struct {
	Term          string
	Columns, Rows uint32
	Width, Height uint32 // in pixels
	Modes         string
}

// windowChange is the payload of a window-change request (RFC 4254 §6.7).
type windowChange struct{ Columns, Rows, Width, Height uint32 }

// openTerminal makes a terminal as a client asks for it. It returns no terminal for what
// can't be read.
func openTerminal(payload []byte) (*terminal, error) {
	var asked ptyRequest
	if err := ssh.Unmarshal(payload, &asked); err != nil {
		return nil, err
	}
	if strings.ContainsRune(asked.Term, 0) {
		return nil, errors.New("ssh host: a TERM that no program takes")
	}
	blocking, theirs, err := pty.Open()
	if err != nil {
		return nil, err
	}
	defer blocking.Close()
	ours, err := waitable(blocking)
	if err != nil {
		theirs.Close()
		return nil, err
	}
	t := &terminal{ours: ours, theirs: theirs, kind: asked.Term}
	if err := errors.Join(setModes(theirs, asked.Modes), t.resize(windowChange{asked.Columns, asked.Rows, asked.Width, asked.Height})); err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

// waitable is a copy of f whose reads and writes end when it is closed.
func waitable(f *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd) // nothing was written to it
		return nil, err
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// resize tells the terminal its size, of which the kernel tells the foreground process group.
// A side that is larger than a terminal's can be is as large as it can be.
func (t *terminal) resize(size windowChange) error {
	side := func(n uint32) uint16 { return uint16(min(n, 1<<16-1)) }
	window := unix.Winsize{Col: side(size.Columns), Row: side(size.Rows), Xpixel: side(size.Width), Ypixel: side(size.Height)}
	return onDescriptor(t.ours, func(fd int) error { return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &window) })
}

// environ is what the terminal adds to a program's environment.
func (t *terminal) environ() []string {
	return []string{"TERM=" + t.kind, "SSH_TTY=" + t.theirs.Name()}
}

// close closes both ends. The kernel sends HUP to the program's session then. It may be
// called more than once.
func (t *terminal) close() {
	t.ours.Close()
	t.theirs.Close()
}

// seated is a program at work on a terminal. The channel closes when the program has ended
// and all that it wrote is with the client, whoever else holds the terminal: as with sshd.
type seated struct {
	channel  ssh.Channel
	process  *process
	terminal *terminal
	notice   string // before the program's own output
	chunks   *sync.Pool

	copiers sync.WaitGroup
	drained chan struct{} // closed when no more of the output will be sent
	open    sync.Mutex    // held by whoever needs the channel open
}

func newSeated(s *session, p *process, notice string) *seated {
	s.terminal.theirs.Close() // the program has it
	return &seated{channel: s.channel, process: p, terminal: s.terminal, notice: notice, chunks: &s.host.chunks, drained: make(chan struct{})}
}

// run lets the bytes flow, in goroutines that hangUp waits for; the host waits for the
// process. It is called once.
func (p *seated) run(h *Host) {
	p.copiers.Go(p.feed)
	p.copiers.Go(p.drain)
	h.adopt(p.process, p.exited)
}

// hold keeps the channel open until release is called.
func (p *seated) hold() (release func()) {
	p.open.Lock()
	return p.open.Unlock
}

// signal sends a signal to the program's process group.
func (p *seated) signal(sig syscall.Signal) error { return p.process.signal(sig) }

// hangUp closes the terminal, once the channel has ended: who hasn't shielded himself from
// HUP ends.
func (p *seated) hangUp(<-chan struct{}) {
	p.terminal.close()
	p.copiers.Wait()
}

// exited tells the client how the program ended, behind all that it wrote.
func (p *seated) exited(status syscall.WaitStatus, err error) {
	_ = p.terminal.ours.SetReadDeadline(time.Unix(1, 0)) // closed: then nothing is read any more
	<-p.drained
	if err == nil {
		name, payload := exitRequest(status)
		p.channel.SendRequest(name, false, payload)
	}
	defer p.hold()()
	p.channel.CloseWrite()
	p.channel.Close()
}

// feed copies the client's input to the terminal. The end of the input is no end of file
// there: that is a key.
func (p *seated) feed() {
	chunk := p.chunks.Get().(*[chunkBytes]byte)
	defer p.chunks.Put(chunk)
	for {
		n, err := p.channel.Read(chunk[:])
		if n > 0 {
			_, _ = p.terminal.ours.Write(chunk[:n]) // what nobody takes is dropped
		}
		if err != nil {
			return
		}
	}
}

// drain copies what the terminal prints to the client, until nobody is left who prints, or
// the program has ended and all that it had printed is sent.
func (p *seated) drain() {
	defer close(p.drained)
	chunk := p.chunks.Get().(*[chunkBytes]byte)
	defer p.chunks.Put(chunk)
	if _, err := p.channel.Write([]byte(p.notice)); err != nil {
		return
	}
	read, left := p.terminal.ours.Read, restBytesMax
	for {
		n, err := read(chunk[:])
		if n > 0 {
			if _, err := p.channel.Write(chunk[:n]); err != nil {
				return
			}
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded): // the program has ended
			read = func(b []byte) (int, error) {
				n, err := p.readRest(b[:min(len(b), left)])
				left -= n
				return n, err
			}
		case err != nil, n == 0:
			return
		}
	}
}

// restBytesMax is more than a terminal of any system holds of what was printed and not read
// yet. What others go on printing isn't waited for.
const restBytesMax = 64 << 10

// readRest reads what was printed before, and doesn't wait for more: before it says that
// there is none, the kernel takes what is under way.
func (p *seated) readRest(b []byte) (n int, err error) {
	err = onDescriptor(p.terminal.ours, func(fd int) (err error) {
		n, err = unix.Read(fd, b)
		return err
	})
	return max(n, 0), err
}
