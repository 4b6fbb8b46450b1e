package sshhost

import (
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/crypto/ssh"
)

// chunkBytes is the size of one copy: a packet of x/crypto's takes no more.
const chunkBytes = 32 << 10

// command is a process at work on a session's channel. The channel closes when
// the process has ended and everyone has closed its output; whichever is last
// does it.
type command struct {
	channel ssh.Channel
	process *process
	pipes   *pipes
	notice  string // for stderr, before the process's own output
	openSSH bool
	chunks  *sync.Pool

	copiers  sync.WaitGroup
	outputs  atomic.Int32  // stdout and stderr, until their end of file
	parts    atomic.Int32  // the process, its outputs as one, and the holder of the channel
	inputEnd atomic.Bool   // no more input is taken
	fed      chan struct{} // closed when all input is with the process, or refused
}

func newCommand(s *session, p *process, pipes *pipes, notice string) *command {
	c := &command{
		channel: s.channel,
		process: p,
		pipes:   pipes,
		notice:  notice,
		openSSH: s.openSSH,
		chunks:  &s.host.chunks,
		fed:     make(chan struct{}),
	}
	c.outputs.Store(2)
	c.parts.Store(2)
	return c
}

// run lets the bytes flow, in goroutines that hangUp waits for; the host waits
// for the process. It is called once.
func (c *command) run(h *Host) {
	c.copiers.Go(c.feed)
	c.copiers.Go(func() { c.drain(c.channel, c.pipes.stdout, "") })
	c.copiers.Go(func() { c.drain(c.channel.Stderr(), c.pipes.stderr, c.notice) })
	h.adopt(c.process, c.exited)
}

// hangUp lets go of the process, which goes on without us, once the channel
// has ended. Its output breaks at once; the input that the client sent before
// it closed the channel still goes in, unless the whole connection has ended.
func (c *command) hangUp(connectionEnded <-chan struct{}) {
	c.pipes.stdout.Close()
	c.pipes.stderr.Close()
	select {
	case <-c.fed:
	case <-connectionEnded:
	}
	c.pipes.stdin.Close()
	c.copiers.Wait()
}

// exited tells the client how the process ended. A child in the background may
// still write, but nobody feeds it any more, as with sshd.
func (c *command) exited(status syscall.WaitStatus, err error) {
	if err == nil {
		name, payload := exitRequest(status)
		c.channel.SendRequest(name, false, payload)
	}
	c.refuseInput()
	c.finishPart()
}

// hold keeps the channel open until release is called, if it is open still.
func (c *command) hold() (release func()) {
	for {
		parts := c.parts.Load()
		if parts == 0 {
			return func() {}
		}
		if c.parts.CompareAndSwap(parts, parts+1) {
			return c.finishPart
		}
	}
}

// signal sends a signal to the process group.
func (c *command) signal(sig syscall.Signal) error { return c.process.signal(sig) }

func (c *command) finishPart() {
	if c.parts.Add(-1) == 0 {
		c.channel.Close()
	}
}

// drain copies one output to the client until its end of file, after a notice.
// When the client has gone, the process is to notice: src is closed.
func (c *command) drain(dst io.Writer, src *os.File, notice string) {
	defer c.finishOutput()
	defer src.Close()
	chunk := c.chunks.Get().(*[chunkBytes]byte)
	defer c.chunks.Put(chunk)
	_, _ = io.WriteString(dst, notice) // an error comes again below
	for {
		n, err := src.Read(chunk[:])
		if n > 0 {
			if _, err := dst.Write(chunk[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (c *command) finishOutput() {
	if c.outputs.Add(-1) == 0 {
		c.channel.CloseWrite()
		c.finishPart()
	}
}

// feed copies the client's input to the process. Input that the process no
// longer takes is read and dropped, so that the client is not held up.
func (c *command) feed() {
	defer close(c.fed)
	chunk := c.chunks.Get().(*[chunkBytes]byte)
	defer c.chunks.Put(chunk)
	for {
		n, err := c.channel.Read(chunk[:])
		if n > 0 && !c.inputEnd.Load() {
			if _, err := c.pipes.stdin.Write(chunk[:n]); err != nil {
				c.refuseInput()
			}
		}
		if err != nil {
			c.inputEnd.Store(true)
			c.pipes.stdin.Close()
			return
		}
	}
}

// refuseInput closes stdin, which also ends a write to it, and tells OpenSSH's
// client to send no more (OpenSSH's PROTOCOL file, §2.1).
func (c *command) refuseInput() {
	ended := c.inputEnd.Swap(true)
	c.pipes.stdin.Close()
	if !ended && c.openSSH {
		c.channel.SendRequest("eow@openssh.com", false, nil)
	}
}
