package frame

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"sallyport/client/sallyport"
)

// What is written in Raw is read again, a byte at a time, keep-alives between.
func TestRawRoundTrip(t *testing.T) {
	eachRandom(t, func(t *testing.T, r *rand.Rand) {
		chunks := randomChunks(r, 10, 50)
		s := NewStream(Raw, sallyport.Stderr, 1<<20)
		var wire []byte
		for _, c := range chunks {
			wire = Raw.AppendKeepalive(s.Append(wire, c))
		}
		wire = Raw.AppendLast(s.Finish(wire), sallyport.ExecResult{ExitCode: 7})
		reader := NewRawReader(iotest.OneByteReader(bytes.NewReader(wire)))
		var got []byte
		for {
			f, err := reader.Next()
			if err != nil {
				t.Fatalf("%q: %v", wire, err)
			}
			if f.Result != nil {
				if f.Result.ExitCode != 7 {
					t.Fatalf("result %+v", f.Result)
				}
				break
			}
			got = append(got, f.Data...)
		}
		if want := bytes.Join(chunks, nil); !bytes.Equal(got, want) {
			t.Fatalf("got %q, want %q", got, want)
		}
		if _, err := reader.Next(); !errors.Is(err, io.EOF) {
			t.Fatalf("after the last: %v", err)
		}
	})
}

// An answer that is cut at any byte is never taken for a whole one.
func TestRawCut(t *testing.T) {
	wire := NewStream(Raw, sallyport.Stdout, 100).Append(nil, []byte("hello"))
	wire = Raw.AppendLast(wire, sallyport.Errorf(sallyport.CodeExecTimeout, "too long"))
	for n := range len(wire) {
		r := NewRawReader(bytes.NewReader(wire[:n]))
		var err error
		for err == nil {
			var f Frame
			if f, err = r.Next(); f.Err != nil || f.Result != nil {
				t.Fatalf("a last frame in the first %d of %d bytes", n, len(wire))
			}
		}
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut at %d: %v", n, err)
		}
	}
}

func TestRawTakesLongPieces(t *testing.T) {
	data := strings.Repeat("long\xff", 200_000)
	b := NewBuffer(Raw, sallyport.Stdout, 2<<20)
	io.WriteString(b, data)
	f, err := NewRawReader(bytes.NewReader(written(b))).Next()
	if err != nil || string(f.Data) != data {
		t.Errorf("%d bytes, %v", len(f.Data), err)
	}
}

func FuzzRawReader(f *testing.F) {
	f.Add(Raw.AppendLast(NewStream(Raw, "stdout", 9).Append(nil, []byte("hello")), sallyport.ExecResult{}))
	f.Add([]byte{1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{4, 0, 0, 0, 0, 0, 0, 2, '{', '}'})
	f.Fuzz(func(t *testing.T, wire []byte) {
		r := NewRawReader(bytes.NewReader(wire))
		total := 0
		for {
			f, err := r.Next()
			if err != nil {
				return
			}
			if total += len(f.Data); total > len(wire) {
				t.Fatalf("%d bytes out of %d", total, len(wire))
			}
		}
	})
}

func BenchmarkRawReader(b *testing.B) {
	wire := NewStream(Raw, "stdout", 1<<40).Append(nil, text(64<<10))
	b.SetBytes(64 << 10)
	r := NewRawReader(nil)
	in := bytes.NewReader(nil)
	for b.Loop() {
		in.Reset(wire)
		r.r.Reset(in)
		r.seen = 0
		if _, err := r.Next(); err != nil {
			b.Fatal(err)
		}
	}
}
