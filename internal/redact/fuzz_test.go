package redact_test

import (
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"sallyport/internal/limits"
	"sallyport/internal/redact"
)

// addCorpora seeds a fuzz target with argvs, joined by NUL bytes.
func addCorpora(f *testing.F) {
	for _, name := range []string{"hits.txt", "plain.txt", "acts.txt", "programs.txt"} {
		for _, argv := range readCorpus(f, name) {
			f.Add(unmarked.Replace(strings.Join(argv, "\x00")))
		}
	}
	for _, part := range hostile {
		f.Add(strings.Repeat(part, 8))
	}
}

func FuzzArgv(f *testing.F) {
	addCorpora(f)
	f.Fuzz(func(t *testing.T, joined string) {
		argv := strings.Split(joined, "\x00")
		before := slices.Clone(argv)
		got := redact.Argv(argv)
		if !slices.Equal(argv, before) {
			t.Fatalf("the input was changed: %q", argv)
		}
		checkArgv(t, argv, got)
		if text := redact.Text(joined); redact.Text(text) != text || utf8.ValidString(joined) && !utf8.ValidString(text) {
			t.Fatalf("Text(%q) = %q, then %q", joined, text, redact.Text(text))
		}
		checkLinear(t, joined)
	})
}

// checkLinear repeats a short input until its work would show as quadratic.
func checkLinear(t *testing.T, joined string) {
	const inputMax, timeMax = 40, time.Second
	if len(joined) == 0 || len(joined) > inputMax {
		return
	}
	long := strings.Repeat(joined, limits.ArgvBytesMax/4/len(joined))
	start := time.Now()
	redact.Argv(strings.Split(long, "\x00"))
	if took := time.Since(start); took > timeMax {
		t.Fatalf("%q: %v", joined, took)
	}
}

func FuzzSummary(f *testing.F) {
	addCorpora(f)
	f.Add("\x1b[31m\x7f\u0085\u202e\u2066\u200e\u2028\u200b\ufeff\U000e0041\xff")
	f.Fuzz(func(t *testing.T, joined string) {
		argv := strings.Split(joined, "\x00")
		checkLine(t, redact.Escape(joined))
		summary := redact.Summary(argv)
		checkLine(t, summary)
		if n := utf8.RuneCountInString(summary); n > limits.SummaryCharsMax {
			t.Fatalf("%d characters: %q", n, summary)
		}
	})
}

// checkLine checks that a line is fit for display.
func checkLine(t *testing.T, line string) {
	t.Helper()
	if !utf8.ValidString(line) {
		t.Fatalf("invalid UTF-8: %q", line)
	}
	for _, r := range line {
		if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) {
			t.Fatalf("%U in %q", r, line)
		}
	}
}
