package terminals

import (
	"fmt"
	"image/color"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"
	"github.com/creack/pty"

	"sallyport/test/program"
	"sallyport/test/sshd"
	"sallyport/test/stack"
)

// programs has people sit at a bash on both kinds of machine, in a directory in which programs
// may write.
func programs(t *testing.T, test func(t *testing.T, m *machine, dir string)) {
	t.Parallel()
	for name, start := range map[string]func(*testing.T) (*machine, string){
		"embedded": func(t *testing.T) (*machine, string) {
			dir := t.TempDir()
			return embedded(t, stack.Options{Home: dir, LoginShell: program.Need(t, "bash")}), dir
		},
		"openssh": func(t *testing.T) (*machine, string) {
			m, server := onSSHD(t, stack.Start(t, stack.Options{}), "there", sshd.Options{LoginShell: "bash", RC: rcNoise})
			return m, server.Home
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, dir := start(t)
			test(t, m, dir)
		})
	}
}

// prompted sits down at a bash whose prompt is known.
func (m *machine) prompted(t *testing.T) *viewer {
	t.Helper()
	w := m.look(t, "-e", "PS1=ready> ", m.workspace, "--", "bash", "--norc")
	w.showsText(t, "ready>")
	return w
}

// vim shows a file on a screen of its own, is suspended and comes back, fills a window that
// changes its size, and writes what was typed.
func TestVim(t *testing.T) {
	program.Need(t, "vim")
	programs(t, func(t *testing.T, m *machine, dir string) {
		w := m.prompted(t)
		must(t, w.types("seq -f 'line %g' 3 >notes; TERM=screen vim notes\r"))
		opened := func(s screenful) bool {
			return s.isAlternate && s.rows[0] == "line 1" && s.rows[3] == "~" && strings.Contains(s.last(), "All")
		}
		w.shows(t, "vim with the file", opened)
		must(t, w.types("\x1a")) // ^Z
		w.shows(t, "the shell's screen", func(s screenful) bool { return !s.isAlternate && s.has("Stopped") && s.has("vim notes") })
		must(t, w.types("fg\r"))
		w.shows(t, "vim again", opened)
		w.resizes(t, 100, 40)
		w.shows(t, "vim in the larger window", func(s screenful) bool {
			return s.isAlternate && s.rows[0] == "line 1" && s.rows[38] == "~" && strings.Contains(s.rows[39], "All") && s.rows[23] == "~"
		})
		must(t, w.types("Goüber allem\x1b"))
		w.shows(t, "the line that was typed", func(s screenful) bool { return s.rows[3] == "über allem" })
		must(t, w.types(":wq\r"))
		w.shows(t, "the shell's screen", func(s screenful) bool { return !s.isAlternate && strings.Contains(s.String(), "ready>") })
		must(t, w.types("exit 3\r"))
		w.leaves(t, 3)
		if got, err := os.ReadFile(filepath.Join(dir, "notes")); err != nil || string(got) != "line 1\nline 2\nline 3\nüber allem\n" {
			t.Errorf("written %q, %v", got, err)
		}
	})
}

// less pages, searches, follows a new size, and leaves the screen as it was.
func TestLess(t *testing.T) {
	program.Need(t, "less")
	programs(t, func(t *testing.T, m *machine, _ string) {
		w := m.prompted(t)
		must(t, w.types("seq -f 'line %g' 200 | less\r"))
		top := func(n, rows int) func(screenful) bool {
			return func(s screenful) bool {
				return s.isAlternate && s.rows[0] == fmt.Sprint("line ", n) && s.rows[rows-2] == fmt.Sprint("line ", n+rows-2)
			}
		}
		w.shows(t, "the first page", top(1, 24))
		must(t, w.types(" "))
		w.shows(t, "the second page", top(24, 24))
		w.resizes(t, 60, 30)
		w.shows(t, "more of it", top(24, 30))
		must(t, w.types("/line 1[4]2\r"))
		w.shows(t, "what was looked for", top(142, 30))
		must(t, w.types("G"))
		w.shows(t, "the end", func(s screenful) bool { return s.rows[28] == "line 200" && s.last() == "(END)" })
		must(t, w.types("q"))
		w.shows(t, "the shell's screen", func(s screenful) bool { return !s.isAlternate && s.has("| less\nready>") })
		must(t, w.types("exit\r"))
		w.leaves(t, 0)
	})
}

// top shows what runs, over and over, and more of each command in a wider window.
func TestTop(t *testing.T) {
	program.Need(t, "top")
	programs(t, func(t *testing.T, m *machine, _ string) {
		w := m.look(t, m.workspace, "--", "sh", "-c", "exec top -c -d 0.2 -p $$") // it looks at itself
		header := func(s screenful) bool {
			return strings.HasPrefix(s.rows[0], "top - ") && strings.HasPrefix(s.rows[1], "Tasks:") && strings.HasPrefix(s.rows[2], "%Cpu") &&
				strings.HasPrefix(strings.TrimLeft(s.rows[6], " "), "PID USER") && strings.Contains(s.rows[7], " top -c")
		}
		w.shows(t, "top", func(s screenful) bool { return header(s) && !s.has(" -p ") })
		w.resizes(t, 120, 30)
		w.shows(t, "top in the wider window", func(s screenful) bool { return header(s) && s.has(" top -c -d 0.2 -p ") })
		must(t, w.types("q"))
		w.leaves(t, 0)
	})
}

// Colours of 24 bits arrive byte for byte, and the terminal shows them.
func TestColours(t *testing.T) {
	programs(t, func(t *testing.T, m *machine, _ string) {
		const script = `i=0; while [ $i -lt 64 ]; do printf '\033[38;2;%d;%d;7m\033[48;2;7;%d;%dm#' $((i*4)) $((255-i*4)) $i $((i*3)); i=$((i+1)); done; printf '\033[0m\n%s' "$TERM $COLORTERM"; read -r x`
		w := m.look(t, m.workspace, "--", "sh", "-c", script)
		w.showsText(t, "xterm-256color truecolor")
		var want strings.Builder
		for i := range 64 {
			fmt.Fprintf(&want, "\x1b[38;2;%d;%d;7m\x1b[48;2;7;%d;%dm#", i*4, 255-i*4, i, i*3)
		}
		if !strings.Contains(w.text(), want.String()+"\x1b[0m\r\nxterm-256color truecolor") {
			t.Errorf("shown %q", w.text())
		}
		w.view.mu.Lock()
		for i := range 64 {
			style := w.view.emulator.CellAt(i, 0).Style
			if !isColour(style.Fg, i*4, 255-i*4, 7) || !isColour(style.Bg, 7, i, i*3) {
				t.Errorf("cell %d is %v on %v", i, style.Fg, style.Bg)
			}
		}
		w.view.mu.Unlock()
		must(t, w.types("\r"))
		w.leaves(t, 0)
	})
}

func isColour(c color.Color, red, green, blue int) bool {
	if c == nil {
		return false
	}
	r, g, b, _ := c.RGBA()
	return int(r>>8) == red && int(g>>8) == green && int(b>>8) == blue
}

// What is pasted into a shell that knows of it is run when Enter is pressed, and not before.
func TestBracketedPaste(t *testing.T) {
	programs(t, func(t *testing.T, m *machine, dir string) {
		w := m.prompted(t)
		until(t, "the shell asks for it", func() bool { return w.isSet(ansi.ModeBracketedPaste) }, func() any { return w.text() })
		w.pastes("touch ran\necho pas''ted\n: end")
		w.showsText(t, ": end")
		w.sends("\x03") // ^C
		w.shows(t, "the line is dropped", func(s screenful) bool { return strings.Contains(s.String(), ": end^C\nready>") })
		must(t, w.types("ls; echo looked''\r"))
		w.showsText(t, "\nlooked\n")
		if _, err := os.Stat(filepath.Join(dir, "ran")); err == nil || w.screen().has("pasted") {
			t.Errorf("it was run: %s", w.screen())
		}
		w.pastes("touch ran\necho pas''ted")
		w.showsText(t, "echo pas''ted\n")
		w.sends("\r")
		w.showsText(t, "\npasted\n")
		if _, err := os.Stat(filepath.Join(dir, "ran")); err != nil {
			t.Error(err)
		}
		must(t, w.types("exit\r"))
		w.leaves(t, 0)
		if w.isSet(ansi.ModeBracketedPaste) {
			t.Error("the terminal still brackets what is pasted")
		}
	})
}

// A program that asks for no echo gets none, and the modes are a login's.
func TestModes(t *testing.T) {
	programs(t, func(t *testing.T, m *machine, _ string) {
		w := m.prompted(t)
		must(t, w.types("stty -a\r"))
		for _, mode := range []string{"rows 24", "columns 80", "intr = ^C", "erase = ^?", "eof = ^D", "susp = ^Z", " icrnl", " ixon", " iutf8", "\nisig icanon iexten echo "} {
			w.showsText(t, mode)
		}
		must(t, w.types("read -rsp 'Pass''word: ' x; echo \"le''ngth ${#x}\"\r"))
		w.showsText(t, "Password:")
		must(t, w.types("hunter2\r"))
		w.showsText(t, "ready>")
		w.showsText(t, "ngth 7")
		if strings.Contains(w.text(), "hunter2") {
			t.Error("what was typed without echo is shown")
		}
		must(t, w.types("exit\r"))
		w.leaves(t, 0)
	})
}

// Output that is under way while the window changes its size, again and again, loses nothing, and
// the program is told of the last size.
func TestResizeAmidOutput(t *testing.T) {
	programs(t, func(t *testing.T, m *machine, _ string) {
		const script = `trap 's=$(stty size)' WINCH; i=0; while [ "$s" != "33 77" ]; do i=$((i+1)); echo "$i"; done; echo "last $i"`
		w := sitBefore(t, io.Discard, &pty.Winsize{Cols: 80, Rows: 24}, []string{"SALLYPORT_URL=" + m.URL, "SALLYPORT_TOKEN=" + m.Token},
			"shell", m.workspace, "--", "sh", "-c", script)
		for i := range 20 {
			from := len(w.text())
			until(t, "output goes on", func() bool { return len(w.text()) > from+2000 }, func() any { return len(w.text()) })
			must(t, pty.Setsize(w.master, &pty.Winsize{Cols: uint16(81 + i), Rows: uint16(25 + i)}))
		}
		must(t, pty.Setsize(w.master, &pty.Winsize{Cols: 77, Rows: 33}))
		w.sees(t, "last ")
		w.leftAs(t, "exit", 0, "")
		text := w.text()
		numbers, rest, _ := strings.Cut(text, "last ")
		last, err := strconv.Atoi(strings.TrimSpace(rest))
		must(t, err)
		var want strings.Builder
		for i := 1; i <= last; i++ {
			fmt.Fprintf(&want, "%d\r\n", i)
		}
		if numbers != want.String() {
			t.Errorf("%d bytes, want %d: %.100q", len(numbers), want.Len(), text)
		}
	})
}
