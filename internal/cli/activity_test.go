package cli

import (
	"testing"
	"time"
)

func TestReadTime(t *testing.T) {
	now := time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"":                          {},
		"1h":                        now.Add(-time.Hour),
		"0s":                        now,
		"2026-11-24T07:00:00Z":      now.Add(-time.Hour),
		"2026-11-24T08:00:00+01:00": now.Add(-time.Hour),
	} {
		if got, err := readTime("since", text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"yesterday", "-1h", "1", "2026-11-24"} {
		if got, err := readTime("since", text, now); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}
