package frame

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"sallyport/client/sallyport"
)

// decodeAll reads frames to the last.
func decodeAll(t interface{ Fatal(...any) }, wire []byte) []Frame {
	r := NewReader(bytes.NewReader(NDJSON.AppendLast(wire, sallyport.ExecResult{})))
	var all []Frame
	for {
		f, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if f.Result != nil {
			return all
		}
		f.Data = bytes.Clone(f.Data)
		all = append(all, f)
	}
}

// wanted is what an excerpt keeps of a stream, by another way than the product's.
func wanted(all []byte, head, tail int) (first, last []byte, omitted int) {
	if len(all) <= head+tail {
		return all, nil, 0
	}
	first, last = all[:head], all[len(all)-tail:]
	for cut := range min(4, len(first)+1) { // a character is cut, or nothing is
		if utf8.Valid(first[:len(first)-cut]) && !utf8.FullRune(first[len(first)-cut:]) || utf8.Valid(first) {
			first = first[:len(first)-cut]
			break
		}
	}
	for cut := range min(4, len(last)+1) {
		if utf8.Valid(last[cut:]) && !slices.ContainsFunc(last[:cut], utf8.RuneStart) {
			last = last[cut:]
			break
		}
	}
	return first, last, len(all) - len(first) - len(last)
}

// Whatever a stream writes, in whatever pieces: an excerpt has its first and its newest bytes
// to the character, and says exactly how many are missing; one that fits comes whole.
func TestExcerpt(t *testing.T) {
	letters := []string{"a", "é", "€", "😀", "\n", "\xff"}
	for i := range 2_000 {
		var b strings.Builder
		kinds := letters[:len(letters)-i%3/2] // a third isn't UTF-8
		for range rand.IntN(40) {
			b.WriteString(kinds[rand.IntN(len(kinds))])
		}
		all, head, tail := []byte(b.String()), rand.IntN(40), rand.IntN(40)
		whole := NewExcerpt(NDJSON, sallyport.Stdout, int64(head), int64(tail))
		going := NewExcerpt(NDJSON, sallyport.Stdout, int64(head), int64(tail))
		var wire []byte
		for rest := all; len(rest) > 0; {
			n := 1 + rand.IntN(len(rest))
			_, _ = whole.Write(rest[:n])
			wire, rest = going.Append(wire, rest[:n]), rest[n:]
		}
		first, last, omitted := wanted(all, head, tail)
		var buffered bytes.Buffer
		if err := whole.WriteFrame(&buffered); err != nil {
			t.Fatal(err)
		}
		want := bytes.Clone(first)
		if omitted > 0 {
			want = fmt.Appendf(want, "\n[%d bytes omitted]\n", omitted)
		}
		frames := decodeAll(t, buffered.Bytes())
		switch {
		case len(all) == 0 && len(frames) == 0:
		case len(frames) != 1 || string(frames[0].Data) != string(want)+string(last) || frames[0].Omitted != int64(omitted) || frames[0].Truncated != (omitted > 0):
			t.Fatalf("got %+v, want %q and %q", frames, want, last)
		}
		rest := bytes.NewBuffer(wire)
		if err := going.WriteRest(rest); err != nil {
			t.Fatal(err)
		}
		checkStreamed(t, decodeAll(t, rest.Bytes()), first, last, omitted)
		if going.Total() != int64(len(all)) || going.Truncated() != (omitted > 0) {
			t.Fatalf("%d bytes of %d", going.Total(), len(all))
		}
	}
}

func checkStreamed(t *testing.T, frames []Frame, first, last []byte, omitted int) {
	var got []byte
	seen := false
	for _, f := range frames {
		if f.Omitted > 0 {
			if seen = true; f.Offset != int64(len(first)) || f.Omitted != int64(omitted) || len(got) != len(first) || len(f.Data) > 0 {
				t.Fatalf("behind %d bytes: %+v, want %d from %d", len(got), f, omitted, len(first))
			}
		}
		got = append(got, f.Data...)
	}
	if string(got) != string(first)+string(last) || seen != (omitted > 0) {
		t.Fatalf("got %q, want %q and %q, %d omitted", got, first, last, omitted)
	}
}

// Raw encodings say in the output what is left out, and large parts travel in pieces.
func TestExcerptRaw(t *testing.T) {
	all := make([]byte, 1<<20)
	for i := range all {
		all[i] = byte(rand.Int())
	}
	e := NewExcerpt(Raw, sallyport.Stderr, 1000, 300_000)
	wire := e.Append(nil, all)
	out := bytes.NewBuffer(wire)
	if err := e.WriteRest(out); err != nil {
		t.Fatal(err)
	}
	var got []byte
	r := NewRawReader(bytes.NewReader(Raw.AppendLast(out.Bytes(), sallyport.ExecResult{})))
	for {
		f, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if f.Result != nil {
			break
		}
		got = append(got, f.Data...)
	}
	want := fmt.Sprintf("%s\n[%d bytes omitted]\n%s", all[:1000], len(all)-301_000, all[len(all)-300_000:])
	if string(got) != want {
		t.Errorf("got %d bytes, want %d", len(got), len(want))
	}
	if held := e.Held(); held > 2*301_000 {
		t.Errorf("%d bytes are held", held)
	}
}
