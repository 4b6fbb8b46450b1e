package shell

import (
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
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
		"$(a b) `c d` (e)":     {"a b", "c d", "… …", "e"},
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
		script := Parse(source)
		for _, c := range script.Commands {
			words := slices.Clone(script.Texts(c))
			for i := range words {
				words[i] = strings.NewReplacer(" ", "·", "\x00", "…").Replace(words[i])
			}
			command := strings.Join(words, " ")
			if c.Piped {
				command += " |"
			}
			got = append(got, command)
		}
		if !slices.Equal(got, want) {
			t.Errorf("Parse(%q) = %q, want %q", source, got, want)
		}
	}
}

// TestSource masks bytes of the first word's text and looks at the source.
func TestSource(t *testing.T) {
	for _, c := range []struct {
		source   string
		from, to int
		want     string
	}{
		{"-psecret x", 2, 8, "-p# x"},
		{"-p'a b' x", 2, 5, "-p'#' x"},
		{"'-pa b' x", 2, 5, "'-p#' x"},
		{`-p"a"b x`, 2, 4, "-p# x"},
		{`-p'a'"b" x`, 2, 4, "-p# x"},
		{`-p\$a x`, 2, 4, "-p# x"},
		{`a"b c"d x`, 0, 2, `#"# c"d x`},
		{`a"b c"d x`, 1, 3, `a"#c"d x`},
		{`a"b c"d x`, 3, 5, `a"b #"# x`},
		{"é'ü b' x", 2, 6, "é'#' x"},
	} {
		script := Parse(c.source)
		if got := masked(c.source, &script.Words(script.Commands[len(script.Commands)-1])[0], c.from, c.to); got != c.want {
			t.Errorf("%q [%d:%d]: %q, want %q", c.source, c.from, c.to, got, c.want)
		}
	}
}

// masked puts # in place of what Source calls add for.
func masked(source string, w *Word, from, to int) string {
	var b strings.Builder
	done := 0
	w.Source(from, to, func(from, to int) {
		b.WriteString(source[done:from] + "#")
		done = to
	})
	return b.String() + source[done:]
}
