package redact

import (
	"slices"
	"strings"
	"testing"
)

func TestLex(t *testing.T) {
	for source, want := range map[string][]string{
		"":                     nil,
		"a b\tc":               {"a b c"},
		"a;b&&c|d||e&f\ng":     {"a", "b", "c |", "d", "e", "f", "g"},
		"a |& b":               {"a |", "b"},
		`a 'b c' "d e" f\ g`:   {"a b·c d·e f·g"},
		`a"b"'c'd`:             {"abcd"},
		`"a\"b\$c\d" 'e\f'`:    {`a"b$c\d e\f`},
		"a \\\n b":             {"a b"},
		"a\\\nb":               {"ab"},
		"$(a b) `c d` (e)":     {"a b", "c d", "e"},
		"a > f 2>&1 < g b >>h": {"a b"},
		"a &> f b":             {"a", "b"},
		"a <<< 'b c'":          {"a b·c"},
		"a # b c\nd":           {"a", "d"},
		"a#b":                  {"a#b"},
		"'a b":                 {"a·b"},
		`"a b`:                 {"a·b"},
		`a \`:                  {"a "},
		"a '' b":               {"a  b"},
	} {
		var got []string
		script := lex(source)
		for _, c := range script.commands {
			words := slices.Clone(script.texts[c.from:c.to])
			for i := range words {
				words[i] = strings.ReplaceAll(words[i], " ", "·")
			}
			command := strings.Join(words, " ")
			if c.piped {
				command += " |"
			}
			got = append(got, command)
		}
		if !slices.Equal(got, want) {
			t.Errorf("lex(%q) = %q, want %q", source, got, want)
		}
	}
}

// TestInSource masks bytes of the first word's text and looks at the source.
func TestInSource(t *testing.T) {
	for _, c := range []struct {
		source   string
		from, to int
		want     string
	}{
		{"-psecret x", 2, 8, "-p[redacted] x"},
		{"-p'a b' x", 2, 5, "-p'[redacted]' x"},
		{"'-pa b' x", 2, 5, "'-p[redacted]' x"},
		{`-p"a"b x`, 2, 4, "-p[redacted] x"},
		{`-p'a'"b" x`, 2, 4, "-p[redacted] x"},
		{`-p\$a x`, 2, 4, "-p[redacted] x"},
		{`a"b c"d x`, 0, 2, "[redacted] x"},
		{`a"b c"d x`, 1, 3, `a"[redacted]c"d x`},
		{`a"b c"d x`, 3, 5, "[redacted] x"},
		{"é'ü b' x", 2, 6, "é'[redacted]' x"},
	} {
		word := lex(c.source).words[0]
		if got := mask(c.source, []span{word.inSource(span{c.from, c.to})}); got != c.want {
			t.Errorf("%q [%d:%d]: %q, want %q", c.source, c.from, c.to, got, c.want)
		}
	}
}

func TestMaskMergesSpans(t *testing.T) {
	const text = "0123456789"
	for _, c := range []struct {
		spans []span
		want  string
	}{
		{nil, text},
		{[]span{{3, 3}}, text},
		{[]span{{2, 4}}, "01[redacted]456789"},
		{[]span{{4, 6}, {2, 4}}, "01[redacted]6789"},
		{[]span{{2, 6}, {3, 4}, {5, 8}}, "01[redacted]89"},
		{[]span{{0, 1}, {9, 10}}, "[redacted]12345678[redacted]"},
	} {
		if got := mask(text, slices.Clone(c.spans)); got != c.want {
			t.Errorf("%v: %q, want %q", c.spans, got, c.want)
		}
	}
}
