package shell

import (
	"strings"
	"testing"
)

// FuzzParse: any text can be split, and all that is told of it lies within it.
func FuzzParse(f *testing.F) {
	for _, source := range []string{
		"", "a 'b c' \"d $(e f) `g`\" h", "$(case x in a) b;; esac)", "cat <<EOF\na $(b) \\$c\nEOF\nd", "a <<-'E'\n\tb\n\tE\nc",
		"$((1 << 2)) ${a:-$(b)}", "x=$'a\\'b' # c", "`a \\` b`", "\"${a:-'}\"", "<(a) >(b) <<< c", "a\\\nb", "$(a <<E)\nb\nE",
	} {
		f.Add(source)
	}
	f.Fuzz(func(t *testing.T, source string) {
		script := Parse(source)
		for _, c := range script.Commands {
			for i, w := range script.Words(c) {
				checkWord(t, source, script.Texts(c)[i], &w)
			}
		}
		for _, d := range script.Documents {
			checkWord(t, source, d.Text, &d.Word)
		}
		for _, r := range script.Comments {
			if r.From < 0 || r.To < r.From || r.To > len(source) {
				t.Fatalf("comment %v of %q", r, source)
			}
		}
		if script.Unread < 0 || script.Unread > len(source) {
			t.Fatalf("%q is unread from %d", source, script.Unread)
		}
		script.Clip(0, len(source), func(from, to int) {
			if from < 0 || to <= from || to > len(source) {
				t.Fatalf("clip to %d:%d of %q", from, to, source)
			}
		})
	})
}

// checkWord looks at where the halves of a word stand.
func checkWord(t *testing.T, source, text string, w *Word) {
	t.Helper()
	if w.From < 0 || w.To < w.From || w.To > len(source) {
		t.Fatalf("word %d:%d of %q", w.From, w.To, source)
	}
	last := w.From
	check := func(from, to int) {
		if from < last || to < from || to > w.To {
			t.Fatalf("%d:%d of the word %q in %q, after %d", from, to, text, source, last)
		}
		if w.quoting == nil {
			return
		}
		for _, h := range w.quoting.holes {
			if from < h.To && h.From < to {
				t.Fatalf("%d:%d is in the hole %v of %q", from, to, h, source)
			}
		}
	}
	w.Source(0, len(text), check)
	for i := range min(len(text), 64) {
		w.Source(i, len(text), check)
		w.Source(0, i+1, check)
	}
	if strings.IndexByte(text, 0) < 0 && w.quoting != nil && len(w.quoting.holes) > 0 {
		t.Fatalf("no byte for the holes of %q", source)
	}
}
