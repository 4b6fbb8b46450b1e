package remote

import (
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"golang.org/x/crypto/ssh"

	"sallyport/internal/limits"
)

// inPieces reads r, some bytes at a time.
type inPieces struct {
	r io.Reader
	n int
}

func (p inPieces) Read(b []byte) (int, error) { return p.r.Read(b[:min(len(b), p.n)]) }

// read lets a pump read all that a machine sends on one stream, the other mark having come
// on the other.
func read(r io.Reader, word string) (p *pump, out string) {
	var written bytes.Buffer
	m := newMarks(word)
	m.seen[1] = true
	p = newPump(r, &written, m)
	p.release()
	p.run()
	return p, written.String()
}

// FuzzMark: whatever a machine sends, in whatever pieces, the command's output is
// what stands behind the mark's line, to the byte, or there is none.
func FuzzMark(f *testing.F) {
	const mark = "0123456789abcdef0123456789abcdef"
	for _, s := range []string{
		"MARK 1 started 4711\nhello\n", "Last login: today\nMARK 1 started 2\n", "MARK 1 cwd\n", "MARK 1", "MARK 1 started 4711", "\nMARK\n\n", "01234567MARK 1 started 3\nMARK 1 started 4\n",
		"0123456789abcdefMARK 1 x\n", "MARKMARK 1 started 1\nx", "MARK 1 started -1\r\n", "MARK 1 " + strings.Repeat("9", 40) + "\n", "\x00MARK\x00\n\x00", "+ printf MARK started\n", strings.Repeat("motd\n", 50) + "MARK 1 started 9\nout",
	} {
		f.Add(s, 1)
		f.Add(s, 1000)
	}
	f.Fuzz(func(t *testing.T, sent string, n int) {
		sent = strings.ReplaceAll(sent, "MARK", mark)
		p, out := read(inPieces{strings.NewReader(sent), max(1, n)}, mark)
		_, behind, found := strings.Cut(sent, mark)
		line, want, whole := strings.Cut(behind, "\n")
		number, line, _ := strings.Cut(strings.TrimSpace(line), " ")
		if !found || !whole || len(number)+1+len(line) > limits.MarkBytesMax-10 || number != markStdout {
			return // another test's
		}
		if p.marks.line != line || out != want {
			t.Errorf("%q: the mark says %q, wrote %q; want %q, %q", sent, p.marks.line, out, line, want)
		}
		if p.bytes.Load() != int64(len(want)) {
			t.Errorf("%q: counted %d bytes of %d", sent, p.bytes.Load(), len(want))
		}
	})
}

// Marks are taken out of the output wherever they stand, until both have come; what looks like
// half of one is output.
func TestStrip(t *testing.T) {
	const word = "0123456789abcdef0123456789abcdef"
	for sent, want := range map[string]string{
		"":                               "",
		"out":                            "out",
		"MARK 1 started 2\nout":          "out",
		"aMARK 1 x\nbMARK 1 y\nc":        "abc",
		"a\nMARK 1 x\nMARK 2 y\nMARK 1":  "a\nMARK 1",
		"a MARK 1 x":                     "a MARK 1 x",
		"MARK 1 x\nMARK 2 x\nMARK 1 x\n": "MARK 1 x\n",
		"0123456789abMARK 1 x\n":         "0123456789ab",
		"MARK " + strings.Repeat("x", limits.MarkBytesMax) + "\n": "MARK " + strings.Repeat("x", limits.MarkBytesMax) + "\n",
	} {
		as := strings.NewReplacer("MARK", word)
		if got := string(newMarks(word).strip([]byte(as.Replace(sent)))); got != as.Replace(want) {
			t.Errorf("%q: got %q, want %q", sent, got, want)
		}
	}
}

// A machine that sends its preamble byte by byte costs no more than one that sends
// it whole, and neither is listened to for ever.
func TestPreambleByteByByte(t *testing.T) {
	const mark, timeMax = "0123456789abcdef0123456789abcdef", 10 * time.Second
	preamble := strings.Repeat("x", limits.PreambleBytesMax-100)
	began := time.Now()
	p, out := read(iotest.OneByteReader(strings.NewReader(preamble+mark+" 1 started 2\nout")), mark)
	if p.marks.line != "started 2" || out != "out" {
		t.Errorf("the mark says %q, wrote %q", p.marks.line, out)
	}
	if took := time.Since(began); took > timeMax {
		t.Errorf("it took %s", took)
	}
	for _, more := range []string{strings.Repeat("x", 200), mark + strings.Repeat("x", 200)} {
		r := strings.NewReader(preamble + more + strings.Repeat("x", 1<<20))
		if p, out := read(r, mark); p.err == nil || out != "" || r.Len() < 1<<20-64<<10 {
			t.Errorf("%v, wrote %d bytes, left %d", p.err, len(out), r.Len())
		}
	}
}

// FuzzGroup: nothing but a number that may be a process group's goes into the line
// that ends it.
func FuzzGroup(f *testing.F) {
	for _, s := range []string{"4711", "0", "1", "-1", "01", "2", "99999999999", "4711 ", "4711;id", "$(id)", "４７", "", "1e3", "+5"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !isGroup(s) {
			return
		}
		var n int64
		if _, err := fmt.Sscanf(s, "%d", &n); err != nil || n < 2 || fmt.Sprint(n) != s {
			t.Errorf("%q may be ended", s)
		}
	})
}

// FuzzExit: whatever a machine says of a command's end, what is taken of it is a
// code and at most the name of a signal.
func FuzzExit(f *testing.F) {
	type signalled struct {
		Signal     string
		CoreDumped bool
		Message    string
		Language   string
	}
	for _, code := range []uint32{0, 1, 255, 256, 1<<31 - 1, 1 << 31, 1<<32 - 1} {
		f.Add("exit-status", ssh.Marshal(struct{ Status uint32 }{code}))
	}
	for _, name := range []string{"KILL", "SIGTERM", "RTMIN+5", "XCPU@openssh.com", "", "\x1b[2J", "kill", "RTMIN+99", "RTMIN+-1", strings.Repeat("A", 17), "SIGSIGHUP", "HUP\n"} {
		f.Add("exit-signal", ssh.Marshal(signalled{name, true, "\x1b]0;owned\a", "en"}))
	}
	f.Add("exit-status", []byte{})
	f.Add("exit-status", []byte{0, 0, 0, 0, 0})
	f.Add("exit-signal", []byte{0xff, 0xff, 0xff, 0xff})
	f.Add("keepalive@openssh.com", []byte{})
	f.Fuzz(func(t *testing.T, kind string, payload []byte) {
		e, ok := parseExit(&ssh.Request{Type: kind, Payload: payload})
		switch {
		case !ok && e != exit{}:
			t.Errorf("%s %q: %+v of nothing", kind, payload, e)
		case !ok:
		case e.signal == "" && (kind != "exit-status" || e.code < 0 || len(payload) != 4):
			t.Errorf("%s %q: %+v", kind, payload, e)
		case e.signal != "" && (kind != "exit-signal" || len(e.signal) > 16 || strings.Trim(e.signal, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-") != ""):
			t.Errorf("%s %q: %+v", kind, payload, e)
		case e.signal != "" && (e.code < 128 || e.code > 128+64):
			t.Errorf("%s %q: %+v", kind, payload, e)
		}
	})
}

// posixShells are what /bin/sh may be on a machine.
func posixShells(t testing.TB) []string {
	var found []string
	for _, name := range []string{"dash", "bash", "busybox", "zsh", "ksh", "mksh"} {
		if path, err := exec.LookPath(name); err == nil {
			found = append(found, path)
		}
	}
	if len(found) < 2 {
		t.Fatalf("only %v of the shells are here", found)
	}
	return found
}

// FuzzHeader: whatever text stands in an argv and a variable, and whatever bytes in
// stdin, each POSIX shell hands it over byte for byte. What is no UTF-8 is refused
// before it gets here: bash loses a \x01 behind half a character.
func FuzzHeader(f *testing.F) {
	for _, s := range []string{
		"a\x00b c\x00'\n\\", "-x\x00\x00!\x00$(id)", "`id`", "\n", "\n\n\x00\n", "'", "''\x00'\"'", "\\", "\\\n", "$'x'", "*\x00?\x00~\x00[a-z]", "é€😀\u2028", "\x01\x7f\x1b[2J", " \t\r", "-oProxyCommand=id", "--",
		"\xff\xfe", "\xc3", "a\xe2\x80", "%s%n", "{a,b}", "#", "; exit 3", "$SALLYPORT_H", "$1", "\"$1\"", "'\"$1\"'",
	} {
		f.Add(s, s, "in")
		f.Add("x", s, s)
	}
	shells := posixShells(f)
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, joined, value, stdin string) {
		args := strings.Split(strings.ToValidUTF8(joined, "?"), "\x00")
		value = strings.ReplaceAll(strings.ToValidUTF8(value, "?"), "\x00", "")
		cmd := Command{
			Argv: append([]string{"/bin/sh", "-c", `printf '%s\0' "$V" "$PWD" "$SALLYPORT_EXEC_ID" "$@"; cat`, "sh"}, args...),
			Env:  []Var{{"V", value}}, Dir: dir, ExecID: "the-id",
		}
		want := strings.Join(append([]string{value, dir, "the-id"}, args...), "\x00") + "\x00" + stdin
		for _, shell := range shells {
			if got, errs := throughShell(t, shell, cmd, stdin); got != want || errs != "" {
				t.Errorf("%s: got %q, want %q; stderr %q", shell, got, want, errs)
			}
		}
	})
}

// throughShell runs a command as a machine does whose login shell and /bin/sh are
// shell, and returns what comes behind the marks.
func throughShell(t *testing.T, shell string, cmd Command, stdin string) (stdout, stderr string) {
	t.Helper()
	sh := []string{shell}
	if filepath.Base(shell) == "busybox" {
		sh = append(sh, "sh")
	}
	w := newWrapper()
	as := strings.NewReplacer("/bin/sh", strings.Join(sh, " "))
	cmd.Stdin = []byte(stdin)
	header := w.header(cmd)
	if hasStdin(cmd) {
		header = append(header, stdinGuard+stdinGo...)
	}
	run := exec.CommandContext(t.Context(), sh[0], slices.Concat(sh[1:], []string{"-c", as.Replace(w.line(cmd))})...)
	run.Stdin = io.MultiReader(bytes.NewReader(header), strings.NewReader(stdin))
	var out, errs bytes.Buffer
	run.Stdout, run.Stderr = &out, &errs
	if err := run.Run(); err != nil {
		t.Fatalf("%s: %v: %q", shell, err, errs.String())
	}
	first, stdout, _ := strings.Cut(out.String(), "\n")
	second, stderr, _ := strings.Cut(errs.String(), "\n")
	if !strings.HasPrefix(first, w.mark+" 1 "+markStarted+" ") || !strings.HasPrefix(second, w.mark+" 2 "+markStarted+" ") {
		t.Fatalf("%s: marks %q and %q", shell, first, second)
	}
	return stdout, stderr
}
