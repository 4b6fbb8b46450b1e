package sshpool

import (
	"io"
	"sync"

	"sallyport/internal/limits"
)

// readAhead reads much at a time from a connection on which much comes. The SSH library reads
// the beginning of a packet into a buffer of 4 KiB, and then the rest of that one packet: each
// is a system call. Here the rest of a large packet takes along what has come behind it. The
// buffer for that comes from a pool, and goes back when all of it is taken: a connection on
// which nothing comes waits for the beginning of a packet, and so holds none.
type readAhead struct {
	buffers *sync.Pool // of *readBuffer
	buffer  *readBuffer
	left    []byte // of buffer, not taken yet
	err     error  // behind left
}

type readBuffer [limits.ReadAheadBytes]byte

// beginningBytes is the most that is asked for at once of the beginning of a packet.
const beginningBytes = 4 << 10

// read is Read of r, which has no other reader.
func (a *readAhead) read(r io.Reader, p []byte) (int, error) {
	if a.buffer == nil {
		if len(p) <= beginningBytes || len(p) >= limits.ReadAheadBytes {
			return r.Read(p)
		}
		a.borrow()
		var n int
		n, a.err = r.Read(a.buffer[:])
		a.left = a.buffer[:n]
	}
	n := copy(p, a.left)
	a.left = a.left[n:]
	if len(a.left) > 0 {
		return n, nil
	}
	a.buffers.Put(a.buffer)
	a.buffer, a.left = nil, nil
	return n, a.err
}

func (a *readAhead) borrow() {
	buffer, ok := a.buffers.Get().(*readBuffer)
	if !ok {
		buffer = new(readBuffer)
	}
	a.buffer = buffer
}
