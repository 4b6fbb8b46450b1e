package contract

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"sallyport/client/sallyport"
	"sallyport/internal/httpapi"
	"sallyport/internal/limits"
	"sallyport/test/spec"
	"sallyport/test/stack"
)

// The header goes out when the command starts, each frame when its bytes come,
// and the end when the command has ended.
func TestFramesComeAsTheyAre(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	silent, out, errs := newGate(t), newGate(t), newGate(t)
	// That it returns says that the header came: the command is silent yet.
	l := openStream(t, s, "local", s.Token, sh(silent.wait()+"; echo one; "+out.wait()+"; echo two >&2; "+errs.wait()+"; printf three; exit 5"))
	if row := s.Execs(t)[0]; row.ID != l.execID || row.Status != "running" {
		t.Errorf("row %s", quote(row))
	}
	silent.open(t)
	l.wantData(t, "stdout", "one\n")
	out.open(t)
	l.wantData(t, "stderr", "two\n")
	errs.open(t)
	l.wantData(t, "stdout", "three")
	if last := l.next(t); last["exit_code"] != 5.0 || last["duration_ms"] == nil || last["stream"] != nil || last["error"] != nil {
		t.Errorf("last frame %v", last)
	}
	// The row is complete before the last frame leaves.
	if row := s.Execs(t)[0]; row.Status != "error" || row.ExitCode == nil || *row.ExitCode != 5 {
		t.Errorf("row %s", quote(row))
	}
	if more := l.next(t); more != nil {
		t.Errorf("behind the last frame: %v", more)
	}
}

// A frame leaves within 10 ms of its bytes. The way through pipes and a busy
// machine is in what is measured, so the best of many counts: a server that
// collects output for a while is late each time.
func TestFrameLatency(t *testing.T) {
	s := stack.Start(t, stack.Options{})
	g := newGate(t)
	l := openStream(t, s, "local", s.Token, sh("echo up; while "+g.wait()+"; do echo pong; done"))
	l.wantData(t, "stdout", "up\n")
	best := time.Hour
	for range 50 {
		began := time.Now()
		g.open(t)
		l.wantData(t, "stdout", "pong\n")
		best = min(best, time.Since(began))
	}
	if best > 10*time.Millisecond {
		t.Errorf("the fastest frame took %s", best)
	}
}

// split writes text in two parts, with time between them: the second comes once
// the first has been seen, or would have been.
func split(g *gate, first, second string) sallyport.ExecRequest {
	return sh("printf '" + octal(first) + "'; echo first >&2; " + g.wait() + "; printf '" + octal(second) + "'")
}

// octal is text as printf's format has it, byte for byte.
func octal(text string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		fmt.Fprintf(&b, `\%03o`, c)
	}
	return b.String()
}

// A character that a read has cut waits for its rest; all before it doesn't.
func TestCutCharacters(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	for _, char := range []string{"é", "☂", "😀"} {
		for cut := 1; cut < len(char); cut++ {
			for _, around := range []struct{ before, after string }{{"", ""}, {"a", "b"}, {"é☂😀", "é"}} {
				g := newGate(t)
				l := openStream(t, s, "local", s.Token, split(g, around.before+char[:cut], char[cut:]+around.after))
				stdout := ""
				for seen := false; !seen || len(stdout) < len(around.before); {
					f := l.next(t)
					if f["stream"] == "stderr" {
						seen = true
						continue
					}
					stdout += text(t, f)
				}
				if stdout != around.before {
					t.Errorf("%q cut after %d: %q came before the rest", char, cut, stdout)
				}
				g.open(t)
				for f := l.next(t); f["exit_code"] == nil; f = l.next(t) {
					stdout += text(t, f)
				}
				if want := around.before + char + around.after; stdout != want {
					t.Errorf("got %q, want %q", stdout, want)
				}
			}
		}
	}
}

// text is the data of a frame that must be text.
func text(t *testing.T, f map[string]any) string {
	t.Helper()
	data, ok := f["data"].(string)
	if !ok || f["encoding"] != nil || f["truncated"] != false || strings.Contains(data, "\ufffd") {
		t.Fatalf("frame %v", f)
	}
	return data
}

// Bytes that are no text are neither replaced nor lost, however they are cut.
func TestBytesThatAreNoText(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	tests := []struct{ name, first, second string }{
		{"every byte", string(every), string(every)},
		{"half a character at the end", "a", "\xc3"},
		{"half a character, and another begins", "\xe2\x98", "é"},
		{"half a character, then text", "\xf0\x9f\x98", "a"},
		{"the rest of none", "\x98\x80", "a"},
		{"a surrogate", "\xed\xa0", "\x80"},
		{"beyond Unicode", "\xf4", "\x90\x80\x80"},
		{"overlong", "\xc0", "\xaf"},
		{"a replacement character is text", "\xef\xbf", "\xbd"},
		{"NUL is text", "\x00", "\x00"},
		{"text, then bytes, then text", "é", "\xff☂"},
	}
	for _, tt := range tests {
		g := newGate(t)
		l := openStream(t, s, "local", s.Token, split(g, tt.first, tt.second))
		g.open(t)
		stdout, stderr, last := l.rest(t)
		if stdout != tt.first+tt.second || stderr != "first\n" || last["exit_code"] != 0.0 {
			t.Errorf("%s: got %q %q %v", tt.name, stdout, stderr, last)
		}
		p := parse(t, s.Exec(t, quote(sh("printf '"+octal(tt.first+tt.second)+"'"))))
		isText := utf8.ValidString(tt.first + tt.second)
		if p.stdout != tt.first+tt.second || len(p.frames) != 2 || (p.frames[0]["encoding"] == nil) != isText {
			t.Errorf("%s, buffered: %v", tt.name, p.frames)
		}
	}
}

// Both streams come, each in its own order.
func TestBothStreamsInOrder(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	l := openStream(t, s, "local", s.Token, sh("i=0; while [ $i -lt 2000 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done"))
	stdout, stderr, last := l.rest(t)
	var out, errs strings.Builder
	for i := range 2000 {
		fmt.Fprintln(&out, "out", i)
		fmt.Fprintln(&errs, "err", i)
	}
	if stdout != out.String() || stderr != errs.String() || last["exit_code"] != 0.0 {
		t.Errorf("%d bytes of stdout, want %d; %d of stderr, want %d; last %v", len(stdout), out.Len(), len(stderr), errs.Len(), last)
	}
}

// A cap lets through what fits, to the byte; what is beyond is cut and marked,
// and the command goes on.
func TestCaps(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	const mib, buffered = limits.OutputBytesDefault, limits.OutputBytesBufferedMax
	tests := []struct {
		name    string
		limit   int64
		printed string // or "letters N"
		want    string
		cut     bool
	}{
		{"one below", 4, "abc", "abc", false},
		{"exactly", 4, "abcd", "abcd", false},
		{"one beyond", 4, "abcde", "abcd", true},
		{"far beyond", 1, strings.Repeat("ab", 1000), "a", true},
		{"a character ends at the cap", 4, "abé", "abé", false},
		{"a character ends at the cap, and more", 4, "abéc", "abé", true},
		{"a character goes over the cap", 4, "abcé", "abc", true},
		{"a character of four goes over", 4, "a😀b", "a", true},
		{"no character fits", 1, "é", "", true},
		{"no character fits, and more", 3, "😀😀", "", true},
		{"bytes exactly", 4, "\xff\xfe\xfd\xfc", "\xff\xfe\xfd\xfc", false},
		{"bytes beyond", 3, "\xff\xfe\xfd\xfc", "\xff\xfe\xfd", true},
		{"bytes, and a character goes over the cap", 3, "\xffaé", "\xffa\xc3", true},
		{"text up to the cap, bytes behind it", 3, "abc\xff", "abc", true},
		{"half a character at the cap, no text behind it", 3, "ab\xe2xx", "ab", true},
		{"no text at the cap", 3, "a\xc3b", "a\xc3b", false},
		{"default exactly", 0, fmt.Sprint("letters ", mib), long(mib), false},
		{"default and one", 0, fmt.Sprint("letters ", mib+1), long(mib), true},
		{"the most that is buffered", buffered, fmt.Sprint("letters ", buffered), long(buffered), false},
		{"the most that is buffered and one", buffered, fmt.Sprint("letters ", buffered+1), long(buffered), true},
	}
	for _, tt := range tests {
		printed, size := "printf '"+octal(tt.printed)+"'", int64(len(tt.printed))
		if n, ok := strings.CutPrefix(tt.printed, "letters "); ok {
			printed = "head -c " + n + " /dev/zero | tr '\\0' a"
			fmt.Sscan(n, &size)
		}
		want := tt.want
		if tt.cut {
			limit := tt.limit
			if limit == 0 {
				limit = mib
			}
			want += fmt.Sprintf("\n[output truncated at %d bytes]", limit)
		}
		for _, stream := range []bool{false, true} {
			if stream && tt.limit == buffered {
				continue // in a stream it is a cap like any other
			}
			e := sh(printed + "; printf x >&2; exit 9")
			e.MaxOutputBytes, e.Stream = tt.limit, stream
			p := parse(t, s.Exec(t, quote(e)))
			what := fmt.Sprintf("%s, stream %t", tt.name, stream)
			if p.stdout != want || p.stderr != "x" || p.exit == nil || *p.exit != 9 {
				t.Errorf("%s: got %d bytes %.60q stderr %q last %v, want %d bytes %.60q", what, len(p.stdout), p.stdout, p.stderr, p.last, len(want), want)
			}
			checkTruncated(t, what, p, tt.cut)
			row := s.Execs(t)[0]
			if *row.StdoutBytes != size || *row.StdoutTruncated != tt.cut || *row.StderrBytes != 1 || *row.StderrTruncated {
				t.Errorf("%s: row %s", what, quote(row))
			}
		}
	}
}

// checkTruncated: the last frame of a cut stream says so, and no other frame.
func checkTruncated(t *testing.T, what string, p parsed, cut bool) {
	t.Helper()
	var told []bool
	for _, f := range p.frames {
		if f["stream"] == "stdout" {
			told = append(told, f["truncated"] == true)
		} else if f["truncated"] == true {
			t.Errorf("%s: %v says that it was cut", what, f["stream"])
		}
	}
	for i, is := range told {
		if want := cut && i == len(told)-1; is != want {
			t.Errorf("%s: frame %d of %d: truncated %t", what, i, len(told), is)
		}
	}
	if len(told) == 0 {
		t.Errorf("%s: no frame", what)
	}
}

// Each stream has the cap for itself, and the marker comes when the cap is passed,
// not when the command ends.
func TestCapOfEachStream(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	g := newGate(t)
	e := sh("printf abcd; printf 1234 >&2; " + g.wait() + "; printf e; " + g.wait() + "; printf 567 >&2; printf ghi; exit 1")
	e.MaxOutputBytes = 4
	l := openStream(t, s, "local", s.Token, e)
	seen := map[any]any{}
	for range 2 {
		f := l.next(t)
		seen[f["stream"]] = f["data"]
		if f["truncated"] != false {
			t.Errorf("cut at exactly the cap: %v", f)
		}
	}
	if seen["stdout"] != "abcd" || seen["stderr"] != "1234" {
		t.Errorf("got %v", seen)
	}
	g.open(t)
	l.wantData(t, "stdout", "\n[output truncated at 4 bytes]")
	g.open(t)
	l.wantData(t, "stderr", "\n[output truncated at 4 bytes]")
	if last := l.next(t); last["exit_code"] != 1.0 {
		t.Errorf("last %v", last)
	}
}

// What fails once the header is out is told in the last frame, without an exit code.
func TestErrorInTheLastFrame(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	e := sh("printf out; printf err >&2; sleep 600")
	e.TimeoutS = 1
	began := time.Now()
	l := openStream(t, s, "local", s.Token, e)
	stdout, stderr, last := l.rest(t)
	if took := time.Since(began); took < time.Second {
		t.Errorf("ended after %s", took)
	}
	if stdout != "out" || stderr != "err" {
		t.Errorf("got %q %q", stdout, stderr)
	}
	raw, err := json.Marshal(last)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(keysOf(t, raw), " "); got != "code error timeout_s" || last["code"] != "exec_timeout" || last["timeout_s"] != 1.0 || last["error"] == "" {
		t.Errorf("last frame %s", raw)
	}
}

// A quiet stream says something that means nothing now and then, in each framing its own.
// That it is every 15 seconds, and not when something else was said, TestKeepalive of
// internal/httpapi says.
func TestKeepalives(t *testing.T) {
	t.Parallel()
	const every = time.Second
	s := stack.Start(t, stack.Options{Times: httpapi.Times{Keepalive: every}})
	for accept, want := range map[string]string{
		"application/x-ndjson": "\n", mediaSSE: ":\n\n", mediaFrames: "\x01\x00\x00\x00\x00\x00\x00\x00", mediaDocker: "\x01\x00\x00\x00\x00\x00\x00\x00",
	} {
		t.Run(strings.ReplaceAll(accept, "/", " "), func(t *testing.T) {
			t.Parallel()
			g := newGate(t)
			e := sh(g.wait() + "; echo end")
			e.Stream, e.TimeoutS = true, 120
			req := s.Request(t, http.MethodPost, "/workspaces/local/exec", s.Token, quote(e))
			req.Header.Set("Accept", accept)
			transport := &http.Transport{}
			t.Cleanup(transport.CloseIdleConnections)
			resp, err := (&http.Client{Transport: spec.Watch(t, transport)}).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			began := time.Now()
			got := make([]byte, len(want))
			if _, err := io.ReadFull(resp.Body, got); err != nil {
				t.Fatal(err)
			}
			// The header may have been on its way for a moment when the clock began.
			if took := time.Since(began); string(got) != want || took < every/2 {
				t.Errorf("got %q after %s, want %q", got, took, want)
			}
			g.open(t)
			if rest, err := io.ReadAll(resp.Body); err != nil || !bytes.Contains(rest, []byte("end")) {
				t.Errorf("the rest is %q, %v", rest, err)
			}
		})
	}
}

// A reader that stops holds the command up, and when it reads on it misses
// nothing, nor is that held against the command.
func TestBackPressure(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	const chunks, chunk = 512, 64 << 10
	const heldMax = 24 << 20 // what sockets, pipes and windows hold on the way
	progress := filepath.Join(t.TempDir(), "progress")
	e := sh(fmt.Sprintf("i=0; while [ $i -lt %d ]; do head -c %d /dev/zero | tr '\\0' x; i=$((i+1)); echo $i >%s; done; echo end", chunks, chunk, progress))
	e.Stream, e.TimeoutS, e.MaxOutputBytes = true, 120, 1<<30
	req := s.Request(t, http.MethodPost, "/workspaces/local/exec", s.Token, quote(e))
	req.Header.Set("Accept", mediaFrames)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	resp, err := (&http.Client{Transport: spec.Watch(t, transport)}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	last, since := "", time.Now()
	await(t, "the command to be held up", func() bool {
		now, err := os.ReadFile(progress)
		if err != nil || string(now) != last {
			last, since = string(now), time.Now()
		}
		return last != "" && time.Since(since) > time.Second
	})
	done := 0
	if fmt.Sscan(last, &done); done*chunk > heldMax {
		t.Errorf("%d chunks were written while nobody read", done)
	}
	wantAnswer(t, "others", s.Exec(t, `{"cmd":["true"]}`), 200, "")
	stdout, end := hashPieces(t, resp.Body)
	want := sha256.New()
	for range chunks {
		want.Write(bytes.Repeat([]byte("x"), chunk))
	}
	io.WriteString(want, "end\n")
	if stdout != [32]byte(want.Sum(nil)) || !strings.HasPrefix(end, `{"exit_code":0,`) || strings.Contains(end, "output_open") {
		t.Errorf("the output is another; the end is %s", end)
	}
}

// hashPieces reads our framing to its end: the hash of stdout, and the last frame.
func hashPieces(t *testing.T, body io.Reader) (stdout [32]byte, end string) {
	t.Helper()
	hash, in := sha256.New(), bufio.NewReader(body)
	for {
		var header [8]byte
		if _, err := io.ReadFull(in, header[:]); err == io.EOF {
			return [32]byte(hash.Sum(nil)), end
		} else if err != nil {
			t.Fatal(err)
		}
		data := make([]byte, int(header[4])<<24|int(header[5])<<16|int(header[6])<<8|int(header[7]))
		if _, err := io.ReadFull(in, data); err != nil {
			t.Fatal(err)
		}
		switch header[0] {
		case 1:
			hash.Write(data)
		case 4:
			end = string(data)
		}
	}
}
