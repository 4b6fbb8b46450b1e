package redact

import (
	"iter"
	"slices"
	"strings"
)

// A span is a range of bytes of a text, to be masked.
type span struct {
	from, to int
}

// A hit is a span of one word of a command.
type hit struct {
	word int
	span span
}

// byWord groups hits by their word; its spans are merged.
func byWord(hits []hit) iter.Seq2[int, []span] {
	return func(yield func(int, []span) bool) {
		slices.SortFunc(hits, func(a, b hit) int { return a.word - b.word })
		var spans []span
		for i, h := range hits {
			spans = append(spans, h.span)
			if i+1 < len(hits) && hits[i+1].word == h.word {
				continue
			}
			if !yield(h.word, merge(spans)) {
				return
			}
			spans = spans[:0]
		}
	}
}

// merge sorts spans in place and makes one of those that touch.
func merge(spans []span) []span {
	slices.SortFunc(spans, func(a, b span) int { return a.from - b.from })
	merged := spans[:0]
	for _, s := range spans {
		last := len(merged) - 1
		switch {
		case s.from >= s.to:
		case last >= 0 && s.from <= merged[last].to:
			merged[last].to = max(merged[last].to, s.to)
		default:
			merged = append(merged, s)
		}
	}
	return merged
}

// mask returns text with Mark in place of each of its spans.
func mask(text string, spans []span) string {
	spans = merge(spans)
	if len(spans) == 0 {
		return text
	}
	var b strings.Builder
	done := 0
	for _, s := range spans {
		b.WriteString(text[done:s.from])
		b.WriteString(Mark)
		done = s.to
	}
	b.WriteString(text[done:])
	return b.String()
}
