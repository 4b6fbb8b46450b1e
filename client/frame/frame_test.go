package frame

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"sallyport/client/sallyport"
)

// line is a frame as any JSON reader sees it.
type line struct {
	Stream    string
	Data      string
	Truncated bool
	Encoding  string
}

func decode(t testing.TB, ndjson []byte) []line {
	t.Helper()
	var lines []line
	for _, text := range strings.Split(strings.TrimSuffix(string(ndjson), "\n"), "\n") {
		if text == "" {
			continue
		}
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("frame %q: %v", text, err)
		}
		if l.Encoding == "base64" {
			data, err := base64.StdEncoding.DecodeString(l.Data)
			if err != nil {
				t.Fatalf("frame %q: %v", text, err)
			}
			l.Data = string(data)
		}
		lines = append(lines, l)
	}
	return lines
}

func TestBufferCut(t *testing.T) {
	tests := []struct {
		name, in string
		max      int64
		want     line
	}{
		{"under the cap", "hello\n", 10, line{Stream: "stdout", Data: "hello\n"}},
		{"at the cap", "hello", 5, line{Stream: "stdout", Data: "hello"}},
		{"over the cap", "hello!", 5, line{"stdout", "hello\n[output truncated at 5 bytes]", true, ""}},
		{"a character on the border", "aé!", 2, line{"stdout", "a\n[output truncated at 2 bytes]", true, ""}},
		{"a character up to the border", "aé!", 3, line{"stdout", "aé\n[output truncated at 3 bytes]", true, ""}},
		{"nothing fits", "€", 2, line{"stdout", "\n[output truncated at 2 bytes]", true, ""}},
		{"binary is cut exactly", "\xff€", 2, line{"stdout", "\xff\xe2\n[output truncated at 2 bytes]", true, "base64"}},
		{"binary", "\xff\x00", 9, line{"stdout", "\xff\x00", false, "base64"}},
		{"half a character at the end", "a\xe2\x82", 9, line{"stdout", "a\xe2\x82", false, "base64"}},
		{"controls and quotes", "\x00\x1b\"\\\b\f\r\n\t\x7f\u2028", 99, line{Stream: "stdout", Data: "\x00\x1b\"\\\b\f\r\n\t\x7f\u2028"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := NewBuffer(NDJSON, sallyport.Stdout, tt.max)
			for _, c := range []byte(tt.in) {
				if n, err := b.Write([]byte{c}); n != 1 || err != nil {
					t.Fatalf("Write = %d, %v", n, err)
				}
			}
			got := decode(t, written(b))
			if len(got) != 1 || got[0] != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
			if b.Total() != int64(len(tt.in)) || b.Truncated() != tt.want.Truncated {
				t.Errorf("Total %d, Truncated %v", b.Total(), b.Truncated())
			}
		})
	}
}

func TestBufferEmpty(t *testing.T) {
	if got := written(NewBuffer(NDJSON, sallyport.Stderr, 5)); len(got) != 0 {
		t.Errorf("an empty stream has the frame %q", got)
	}
}

func TestStreamHoldsCutCharacters(t *testing.T) {
	s := NewStream(NDJSON, sallyport.Stdout, 100)
	if got := s.Append(nil, []byte("\xe2\x82")); len(got) != 0 {
		t.Fatalf("half a character was sent: %q", got)
	}
	got := decode(t, s.Append(nil, []byte("\xac!")))
	if len(got) != 1 || got[0].Data != "€!" || got[0].Encoding != "" {
		t.Errorf("got %+v", got)
	}
	if got := s.Finish(nil); len(got) != 0 {
		t.Errorf("Finish sent %q", got)
	}
}

func TestStreamFinishSendsWhatNeverCompleted(t *testing.T) {
	s := NewStream(NDJSON, sallyport.Stdout, 100)
	s.Append(nil, []byte("\xe2\x82"))
	got := decode(t, s.Finish(nil))
	if len(got) != 1 || got[0].Data != "\xe2\x82" || got[0].Encoding != "base64" {
		t.Errorf("got %+v", got)
	}
}

// What a stream sends, chunked at random, is what a buffer would have sent: the
// same bytes up to the cap, the same cut, the same marker.
func TestStreamEqualsBuffer(t *testing.T) {
	eachRandom(t, func(t *testing.T, r *rand.Rand) {
		chunks := randomChunks(r, 12, 9)
		limit := 1 + r.Int64N(40)

		s, b := NewStream(NDJSON, "stdout", limit), NewBuffer(NDJSON, "stdout", limit)
		var frames []byte
		for _, c := range chunks {
			frames = s.Append(frames, c)
			b.Write(c)
		}
		frames = s.Finish(frames)

		var streamed line
		for i, l := range decodeWith(t, frames) {
			if i > 0 && streamed.Truncated {
				t.Fatalf("a frame after the cut: %q", frames)
			}
			if l.Encoding == "" && !utf8.ValidString(l.Data) {
				t.Fatalf("text that isn't: %q", frames)
			}
			streamed.Data += l.Data
			streamed.Truncated = l.Truncated
		}
		var buffered line
		for _, l := range decodeWith(t, written(b)) {
			buffered = l
		}
		if streamed.Data != buffered.Data || streamed.Truncated != buffered.Truncated {
			t.Fatalf("streamed %q %v, buffered %q %v", streamed.Data, streamed.Truncated, buffered.Data, buffered.Truncated)
		}
		if s.Total() != b.Total() || s.Truncated() != b.Truncated() {
			t.Fatalf("totals %d, %d", s.Total(), b.Total())
		}
	})
}

// eachRandom runs check with random numbers that are the same each time.
func eachRandom(t *testing.T, check func(t *testing.T, r *rand.Rand)) {
	const runs = 500
	for seed := range uint64(runs) {
		check(t, rand.New(rand.NewPCG(seed, seed)))
		if t.Failed() {
			t.Fatalf("with the seed %d", seed)
		}
	}
}

// randomChunks returns bytes, text, and parts of characters.
func randomChunks(r *rand.Rand, chunksMax, bytesMax int) (chunks [][]byte) {
	parts := []string{"€", "\xe2", "\x82", "\xac", "é", "a\"\\\n", "", "text", "日本"}
	for range r.IntN(chunksMax + 1) {
		if r.IntN(2) == 0 {
			chunks = append(chunks, []byte(parts[r.IntN(len(parts))]))
			continue
		}
		chunk := make([]byte, r.IntN(bytesMax+1))
		for i := range chunk {
			chunk[i] = byte(r.IntN(256))
		}
		chunks = append(chunks, chunk)
	}
	return chunks
}

func decodeWith(t *testing.T, ndjson []byte) (lines []line) {
	r := NewReader(bytes.NewReader(append(ndjson, `{"exit_code":0,"duration_ms":1}`+"\n"...)))
	for {
		f, err := r.Next()
		if err != nil {
			t.Fatalf("%q: %v", ndjson, err)
		}
		if f.Result != nil {
			return lines
		}
		l := line{Stream: f.Stream, Data: string(f.Data), Truncated: f.Truncated}
		if !utf8.Valid(f.Data) {
			l.Encoding = "base64"
		}
		lines = append(lines, l)
	}
}

func TestReaderEnds(t *testing.T) {
	const out = `{"stream":"stdout","data":"x","truncated":false}` + "\n"
	const end = `{"exit_code":3,"duration_ms":12,"signal":"KILL","output_open":true}` + "\n"
	tests := []struct {
		name, in string
		want     error
	}{
		{"whole", out + "\n" + end, io.EOF},
		{"an error last", out + `{"error":"gone","code":"exec_transport","started":true}` + "\n", io.EOF},
		{"empty", "", io.ErrUnexpectedEOF},
		{"no last frame", out, io.ErrUnexpectedEOF},
		{"cut in the last frame", out + end[:len(end)-1], io.ErrUnexpectedEOF},
		{"cut in output", out[:20], io.ErrUnexpectedEOF},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := NewReader(iotest.OneByteReader(strings.NewReader(tt.in)))
			var err error
			for err == nil {
				_, err = r.Next()
			}
			if !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func TestReaderRefuses(t *testing.T) {
	for _, in := range []string{
		"{}\n", "[]\n", "x\n", "null\n",
		`{"stream":"stdin","data":""}` + "\n",
		`{"stream":"stdout","data":"!","encoding":"base64"}` + "\n",
		`{"stream":"stdout","data":"x","encoding":"gzip"}` + "\n",
		`{"stream":"stdout","data":"a"b","truncated":false}` + "\n",
	} {
		if f, err := NewReader(strings.NewReader(in)).Next(); err == nil {
			t.Errorf("%q: %+v", in, f)
		}
	}
	in := `{"exit_code":0,"duration_ms":1}` + "\n"
	r := NewReader(strings.NewReader(in + in))
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Next(); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("a frame after the last: %v", err)
	}
}

func TestReaderTakesLongLines(t *testing.T) {
	data := strings.Repeat("long \n", 200_000)
	b := NewBuffer(NDJSON, sallyport.Stdout, 2<<20)
	io.WriteString(b, data)
	f, err := NewReader(bytes.NewReader(written(b))).Next()
	if err != nil || string(f.Data) != data {
		t.Errorf("%d bytes, %v", len(f.Data), err)
	}
}

// The hand-written parser says what encoding/json says, or leaves it to it.
func FuzzReader(f *testing.F) {
	f.Add([]byte(`{"stream":"stdout","data":"a\n\u00e9\ud83d\ude00","truncated":false}`))
	f.Add([]byte(`{"stream":"stderr","data":"/w==","truncated":true,"encoding":"base64"}`))
	f.Add([]byte(`{"stream":"stdout","data":"\","truncated":false}`))
	f.Add([]byte(`{"exit_code":0,"duration_ms":12}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if bytes.IndexByte(text, '\n') >= 0 {
			return
		}
		byHand, ok := NewReader(nil).parseOutput(text)
		if !ok {
			return
		}
		byJSON, err := parseAny(text)
		if err != nil {
			t.Fatalf("%q: by hand %+v, by encoding/json %v", text, byHand, err)
		}
		if byHand.Stream != byJSON.Stream || !bytes.Equal(byHand.Data, byJSON.Data) || byHand.Truncated != byJSON.Truncated {
			t.Fatalf("%q: by hand %+v, by encoding/json %+v", text, byHand, byJSON)
		}
	})
}

// Whatever a command writes, in whatever chunks, a reader gets it back.
func FuzzStream(f *testing.F) {
	f.Add([]byte("hello\n\xff€"), 3, 100)
	f.Fuzz(func(t *testing.T, out []byte, chunk, limit int) {
		if chunk < 1 || limit < 1 {
			return
		}
		s := NewStream(NDJSON, sallyport.Stderr, int64(limit))
		var frames []byte
		for p := out; len(p) > 0; {
			n := min(chunk, len(p))
			frames = s.Append(frames, p[:n])
			p = p[n:]
		}
		frames = NDJSON.AppendLast(s.Finish(frames), sallyport.ExecResult{ExitCode: 7})
		var got []byte
		for r := NewReader(bytes.NewReader(frames)); ; {
			f, err := r.Next()
			if err != nil {
				t.Fatalf("%q: %v", frames, err)
			}
			if f.Result != nil {
				break
			}
			got = append(got, f.Data...)
		}
		if !s.Truncated() && !bytes.Equal(got, out) {
			t.Fatalf("got %q, want %q", got, out)
		}
		if s.Truncated() != (len(out) > limit) {
			t.Fatalf("Truncated = %v", s.Truncated())
		}
	})
}

func text(n int) []byte {
	const l = "2026-11-24T08:00:00Z INFO \"GET /index.html\" 200 1534 - some words of a log line\n"
	return []byte(strings.Repeat(l, n/len(l)+1)[:n])
}

func BenchmarkStream(b *testing.B) {
	p := text(64 << 10)
	dst := make([]byte, 0, 1<<20)
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		dst = NewStream(NDJSON, "stdout", 1<<30).Append(dst[:0], p)
	}
}

func BenchmarkReader(b *testing.B) {
	p := text(64 << 10)
	frames := NewStream(NDJSON, "stdout", 1<<30).Append(nil, p)
	r := NewReader(nil)
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		if _, ok := r.parseOutput(frames[:len(frames)-1]); !ok {
			b.Fatal("not parsed by hand")
		}
	}
}

// written is the frame of a Buffer.
func written(b *Buffer) []byte {
	var out bytes.Buffer
	_ = b.WriteFrame(&out) // a bytes.Buffer takes all
	return out.Bytes()
}

// parts keeps how large the largest Write was.
type parts struct {
	bytes.Buffer
	largest int
}

func (p *parts) Write(b []byte) (int, error) {
	p.largest = max(p.largest, len(b))
	return p.Buffer.Write(b)
}

// A frame of any size is written in parts, and reads as if it had been one.
func TestFrameInParts(t *testing.T) {
	inputs := map[string][]byte{
		"text":     []byte(strings.Repeat("Grüße \x01\n", 40_000)),
		"zeros":    make([]byte, 300_001),
		"binary":   bytes.Repeat([]byte{0xff, 0x00, 0x41}, 70_001),
		"one part": bytes.Repeat([]byte("x"), partBytes),
		"a byte":   {0xff},
	}
	for name, input := range inputs {
		for _, as := range []Encoding{NDJSON, SSE, Raw, Docker} {
			for _, max := range []int64{1 << 30, int64(len(input)), int64(len(input)) - 1} {
				b := NewBuffer(as, sallyport.Stdout, max)
				_, _ = b.Write(input)
				var got parts
				if err := b.WriteFrame(&got); err != nil {
					t.Fatal(err)
				}
				kept := input[:min(max, int64(len(input)))]
				if b.Truncated() {
					kept = border(kept, false)
				}
				want := as.appendOutput(nil, sallyport.Stdout, kept, utf8.Valid(kept), max, b.Truncated())
				if !bytes.Equal(got.Bytes(), want) {
					t.Errorf("%s, encoding %d, cap %d: %d bytes, want %d", name, as, max, got.Len(), len(want))
				}
				if got.largest > 6*partBytes+512 {
					t.Errorf("%s: a part of %d bytes", name, got.largest)
				}
			}
		}
	}
}

// FuzzEscape: what is escaped is what encoding/json reads, wherever in a word of eight bytes a
// special one stands, and a special byte is found where it is.
func FuzzEscape(f *testing.F) {
	for i := range 17 {
		for _, c := range []string{"\"", "\\", "\n", "\x1f", "\x00", " ", "\x7f", "é", "\"!", "\\]", "\x00\x01"} {
			f.Add(strings.Repeat("a", i) + c + strings.Repeat("\xc2\x80", 16-i))
		}
	}
	f.Fuzz(func(t *testing.T, s string) {
		want := strings.IndexFunc(s, func(c rune) bool { return c < 0x20 || c == '"' || c == '\\' })
		if want < 0 {
			want = len(s)
		}
		if got := plain([]byte(s)); got != want {
			t.Errorf("%q: the first %d bytes are plain, want %d", s, got, want)
		}
		s = strings.ToValidUTF8(s, "?")
		var got string
		escaped := appendEscaped([]byte{'"'}, []byte(s))
		if err := json.Unmarshal(append(escaped, '"'), &got); err != nil || got != s {
			t.Errorf("%q is escaped as %s: %v, %q", s, escaped, err, got)
		}
	})
}
