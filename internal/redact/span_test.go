package redact

import (
	"slices"
	"testing"
)

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
