package cli

import (
	"bytes"
	"strings"
	"testing"
)

// What programs have changed of a terminal is taken back, and nothing else is; wherever the output
// is cut.
func TestScreenModes(t *testing.T) {
	t.Parallel()
	for shown, want := range map[string]string{
		"plain \x1b[1mbold\x1b[0m, é\x1b[2J\x1b[3;4H\x1b[K": "",
		"\x1b[31mred":                   "\x1b[0m",
		"\x1b[38;5;0m":                  "\x1b[0m",
		"\x1b[?2004h$ \x1b[?2004l":      "",
		"\x1b[?2004h$ ":                 "\x1b[?2004l",
		"\x1b[?25l":                     "\x1b[?25h",
		"\x1b[?25l\x1b[?12;25h":         "",
		"\x1b[?7l":                      "\x1b[?7h",
		"\x1b[?1049h\x1b[?1;1002;1006h": "\x1b[?1l\x1b[?1002l\x1b[?1006l\x1b[?1049l",
		"\x1b[?1049h\x1b[?1049l":        "",
		"\x1b[?1049h\x1bc":              "",
		"\x1b[?1049h\x1b[2;9r":          "\x1b[r\x1b[?1049l",
		"\x1b[2;9r":                     "\x1b7\x1b[r\x1b8",
		"\x1b[2;9r\x1b[r":               "",
		"\x1b=":                         "\x1b>",
		"\x1b=\x1b>":                    "",
		"\x1b(0":                        "\x1b(B",
		"\x1b(0qqq\x1b(B":               "",
		"\x0e":                          "\x0f",
		"\x0e\x0f":                      "",
		"\x1b[4h":                       "\x1b[4l",
		"\x1b[5 q":                      "\x1b[0 q",
		"\x1b[5 q\x1b[0 q":              "",
		"\x1b[>1u\x1b[>5u\x1b[<u":       "\x1b[<u",
		"\x1b[>1u\x1b[<9u":              "",
		"\x1b[=5;1u":                    "\x1b[=0u",
		"\x1b[>4;2m":                    "\x1b[>4m",
		"\x1b[>4;2m\x1b[>4;0m":          "",
		"\x1b=\x1b[1m\x1b[?25l\x1b[!p":  "",
		"\x1b]0;a title \x1b[?25l":      "\x1b[?25h", // ESC ends a string
		"\x1b]0;[?25l a title":          "\x1b\\",
		"\x1b]0;[?25l a title\a":        "",
		"\x1b[?2":                       "\x1b\\",
		"\x1b[?2\x1850h":                "",
		"\x1b[?9999h":                   "",
		"\x1b[?" + strings.Repeat("1;", 100) + "25l": "", // no program sends that
	} {
		for cut := range len(shown) + 1 {
			var to strings.Builder
			s := newScreenModes(&to)
			for _, p := range []string{shown[:cut], shown[cut:]} {
				if n, err := s.Write([]byte(p)); n != len(p) || err != nil {
					t.Fatalf("%q: %d, %v", p, n, err)
				}
			}
			s.reset()
			s.reset() // does nothing
			if got, ok := strings.CutPrefix(to.String(), shown); !ok || got != want {
				t.Errorf("%q, cut at %d: %q, want %q", shown, cut, got, want)
			}
		}
	}
}

// Whatever comes passes as it is, little of it is kept, and what takes it back changes nothing
// itself.
func FuzzScreenModes(f *testing.F) {
	f.Add([]byte("\x1b[?1049h\x1b[>1u\x1b[2;9r\x1b(0\x1b[31m\x0e"))
	f.Add([]byte("\x1b]0;title\x1b[?2"))
	f.Fuzz(func(t *testing.T, shown []byte) {
		var to bytes.Buffer
		s := newScreenModes(&to)
		if n, err := s.Write(shown); n != len(shown) || err != nil || !bytes.Equal(to.Bytes(), shown) {
			t.Fatalf("%q: %d, %v", to.Bytes(), n, err)
		}
		if len(s.sequence) > sequenceBytesMax || s.keyboards > keyboardsMax {
			t.Errorf("%d bytes and %d keyboards are kept", len(s.sequence), s.keyboards)
		}
		s.reset()
		undone := to.Bytes()[len(shown):]
		after := newScreenModes(&to)
		after.follow(undone)
		if again := after.takeBack(); again != "" {
			t.Errorf("%q is taken back by %q, and that by %q", shown, undone, again)
		}
	})
}
