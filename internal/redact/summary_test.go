package redact_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"sallyport/internal/limits"
	"sallyport/internal/redact"
)

func TestSummary(t *testing.T) {
	for _, c := range []struct {
		argv []string
		want string
	}{
		{nil, ""},
		{[]string{"/bin/true"}, "/bin/true"},
		{[]string{"echo", "a b", "c"}, "echo 'a b' c"},
		{[]string{"echo", "", "'"}, `echo '' ''\'''`},
		{[]string{"echo", "it's"}, `echo 'it'\''s'`},
		{[]string{"echo", `a\nb`}, `echo 'a\nb'`},
		{[]string{"echo", "a\nb"}, `echo $'a\nb'`},
		{[]string{"echo", "a\n\\'"}, `echo $'a\n\\\''`},
		{[]string{"echo", "\t\r\x00\x1b\x7f\u0085"}, `echo $'\t\r\x00\x1b\x7f\u0085'`},
		{[]string{"echo", "\u202e\u200b\ufeff\u2028\U000e0041"}, `echo $'\u202e\u200b\ufeff\u2028\U000e0041'`},
		{[]string{"echo", "\xff"}, `echo $'\xff'`},
		{[]string{"app", "--password=[redacted]"}, "app --password=[redacted]"},
		{[]string{"echo", "$HOME", "*", "~", "#", "a;b"}, `echo '$HOME' '*' '~' '#' 'a;b'`},
		{[]string{"echo", "naïve", "日本"}, "echo naïve 日本"},
	} {
		if got := redact.Summary(c.argv); got != c.want {
			t.Errorf("Summary(%q)\n got %s\nwant %s", c.argv, got, c.want)
		}
	}
}

func TestSummaryIsCut(t *testing.T) {
	const most = limits.SummaryCharsMax
	for _, c := range []struct {
		argv []string
		want string
	}{
		{[]string{strings.Repeat("a", most)}, strings.Repeat("a", most)},
		{[]string{strings.Repeat("a", most+1)}, strings.Repeat("a", most-1) + "…"},
		{[]string{strings.Repeat("é", most+1)}, strings.Repeat("é", most-1) + "…"},
		{[]string{strings.Repeat("a", most-1), "b"}, strings.Repeat("a", most-1) + "…"},
		// An escape is shown whole or not at all.
		{[]string{strings.Repeat("a", most-4) + "\x1b" + "b"}, "$'" + strings.Repeat("a", most-4) + "…"},
		{[]string{strings.Repeat("\u202e", most)}, "$'" + strings.Repeat(`\u202e`, 32) + "…"},
	} {
		got := redact.Summary(c.argv)
		if got != c.want {
			t.Errorf("Summary(%q)\n got %s\nwant %s", c.argv, got, c.want)
		}
		if utf8.RuneCountInString(got) > most {
			t.Errorf("%d characters", utf8.RuneCountInString(got))
		}
	}
}

func TestEscape(t *testing.T) {
	for in, want := range map[string]string{
		"":               "",
		"plain é 日本":     "plain é 日本",
		"a\nb\tc\rd":     `a\nb\tc\rd`,
		"\x1b[31mred":    `\x1b[31mred`,
		"\x00\x7f\u0085": `\x00\x7f\u0085`,
		"a\u202eb\u2066": `a\u202eb\u2066`,
		"\u200e\u200f":   `\u200e\u200f`,
		"\u2028\u2029":   `\u2028\u2029`,
		"\u200b\ufeff":   `\u200b\ufeff`,
		"\xff\xc3(":      `\xff\xc3(`,
		"\ufffd":         "\ufffd",
		`back\slash`:     `back\slash`,
	} {
		if got := redact.Escape(in); got != want {
			t.Errorf("Escape(%q) = %s, want %s", in, got, want)
		}
	}
}
