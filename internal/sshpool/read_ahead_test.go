package sshpool

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	"sallyport/internal/limits"
)

// What is read ahead comes whole and in order, whatever is asked for and however it arrives,
// the error behind it; and the buffer is given back when all is taken.
func TestReadAhead(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	want := make([]byte, 5<<20)
	for i := range want {
		want[i] = byte(random.Uint32())
	}
	errEnd := errors.New("the end")
	from := &pieces{random: random, left: want, err: errEnd}
	a := readAhead{buffers: &sync.Pool{}}
	var got []byte
	for {
		size := beginningBytes
		if random.IntN(2) == 0 {
			size = 1 + random.IntN(2*limits.ReadAheadBytes)
		}
		p := make([]byte, size)
		n, err := a.read(from, p)
		got = append(got, p[:n]...)
		if (len(a.left) == 0) != (a.buffer == nil) {
			t.Fatalf("%d bytes are left, the buffer is %v", len(a.left), a.buffer != nil)
		}
		if err != nil {
			if !errors.Is(err, errEnd) {
				t.Fatal(err)
			}
			break
		}
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes of %d, or others", len(got), len(want))
	}
}

// pieces is a reader of pieces of any size, the last together with an error.
type pieces struct {
	random *rand.Rand
	left   []byte
	err    error
}

func (r *pieces) Read(p []byte) (int, error) {
	n := copy(p, r.left[:min(len(r.left), 1+r.random.IntN(200<<10))])
	r.left = r.left[n:]
	if len(r.left) == 0 {
		return n, r.err
	}
	return n, nil
}

// A connection that waits for the beginning of a packet holds no buffer.
func TestReadAheadIdle(t *testing.T) {
	t.Parallel()
	r, w := io.Pipe()
	a := readAhead{buffers: &sync.Pool{}}
	go func() {
		_, _ = w.Write(make([]byte, 10))
		_ = w.Close()
	}()
	if n, err := a.read(r, make([]byte, beginningBytes)); n != 10 || err != nil || a.buffer != nil {
		t.Errorf("%d, %v, a buffer: %v", n, err, a.buffer != nil)
	}
}
