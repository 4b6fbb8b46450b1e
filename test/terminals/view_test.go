package terminals

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/vt"
	"github.com/creack/pty"
)

// viewer is somebody at a terminal emulator, in which `sallyport shell` runs.
type viewer struct {
	*sitter
	view *view
}

// view is the screen of a terminal emulator.
type view struct {
	mu       sync.Mutex // guards the fields below
	emulator *vt.Emulator
	modes    map[ansi.Mode]bool // those that are known
}

func newView(cols, rows int) *view {
	v := &view{emulator: vt.NewEmulator(cols, rows), modes: map[ansi.Mode]bool{}}
	v.emulator.SetCallbacks(vt.Callbacks{
		EnableMode:  func(mode ansi.Mode) { v.modes[mode] = true },
		DisableMode: func(mode ansi.Mode) { v.modes[mode] = false },
	})
	return v
}

// Write shows what a program prints.
func (v *view) Write(p []byte) (int, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.emulator.Write(p)
}

// close ends answer.
func (v *view) close() { _ = v.emulator.InputPipe().(io.Closer).Close() }

// look starts a program of the workspace at an emulator of 80 columns and 24 rows. It ends with
// its test.
func (m *machine) look(t *testing.T, args ...string) *viewer {
	t.Helper()
	v := newView(80, 24)
	var answering sync.WaitGroup
	t.Cleanup(func() {
		v.close()
		answering.Wait()
	})
	w := &viewer{view: v, sitter: sitBefore(t, v, &pty.Winsize{Cols: 80, Rows: 24}, []string{
		"SALLYPORT_URL=" + m.URL, "SALLYPORT_TOKEN=" + m.Token, "TERM=xterm-256color", "COLORTERM=truecolor", "LC_ALL=C.UTF-8",
	}, append([]string{"shell"}, args...)...)}
	answering.Go(func() { v.answer(w.master) })
	return w
}

// answer answers what a terminal is asked, until the view is closed. What nobody waits for any
// more is dropped, so that a question keeps nobody waiting.
func (v *view) answer(keyboard io.Writer) {
	buffer := make([]byte, 4096)
	for {
		n, err := v.emulator.Read(buffer)
		_, _ = keyboard.Write(buffer[:n])
		if err != nil {
			return
		}
	}
}

// pastes pastes text, as the terminal's modes are.
func (w *viewer) pastes(text string) {
	w.view.mu.Lock()
	defer w.view.mu.Unlock()
	w.view.emulator.Paste(text)
}

// sends types keys behind what was pasted: who passes that on may not have written its end yet.
func (w *viewer) sends(keys string) {
	w.view.mu.Lock()
	defer w.view.mu.Unlock()
	w.view.emulator.SendText(keys)
}

// resizes gives the window another size.
func (w *viewer) resizes(t *testing.T, cols, rows int) {
	t.Helper()
	w.view.mu.Lock()
	w.view.emulator.Resize(cols, rows)
	w.view.mu.Unlock()
	must(t, pty.Setsize(w.master, &pty.Winsize{Cols: uint16(cols), Rows: uint16(rows)}))
}

// screenful is what is on the screen at one time.
type screenful struct {
	rows []string // without the blanks at their ends
	// isAlternate tells that it is the screen of a program that has one of its own.
	isAlternate bool
}

func (s screenful) String() string { return strings.Join(s.rows, "\n") }

func (s screenful) has(text string) bool { return strings.Contains(s.String(), text) }

// last is the row at the bottom.
func (s screenful) last() string { return s.rows[len(s.rows)-1] }

func (w *viewer) screen() (s screenful) {
	w.view.mu.Lock()
	defer w.view.mu.Unlock()
	e := w.view.emulator
	s.isAlternate = e.IsAltScreen()
	for y := range e.Height() {
		var row strings.Builder
		for x := range e.Width() {
			if cell := e.CellAt(x, y); cell != nil {
				row.WriteString(cell.Content)
			}
		}
		s.rows = append(s.rows, strings.TrimRight(row.String(), " "))
	}
	return s
}

// shows waits until the screen is as it should be.
func (w *viewer) shows(t *testing.T, what string, holds func(screenful) bool) {
	t.Helper()
	until(t, what, func() bool { return holds(w.screen()) }, func() any { return w.screen() })
}

// showsText waits until text is on the screen.
func (w *viewer) showsText(t *testing.T, text string) {
	t.Helper()
	w.shows(t, fmt.Sprintf("%q on the screen", text), func(s screenful) bool { return s.has(text) })
}

// isSet tells whether the terminal has a mode.
func (w *viewer) isSet(mode ansi.Mode) bool {
	w.view.mu.Lock()
	defer w.view.mu.Unlock()
	return w.view.modes[mode]
}

// leaves demands that the program ends with an exit code, and leaves the terminal as it was before.
func (w *viewer) leaves(t *testing.T, code int) {
	t.Helper()
	w.leftAs(t, "exit", code, "")
	w.shows(t, "the screen isn't the program's", func(s screenful) bool { return !s.isAlternate })
}
