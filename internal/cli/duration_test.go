package cli

import (
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"30s": 30 * time.Second, "1h30m": 90 * time.Minute, "7d": 7 * day, "30d": 30 * day, "1w": 7 * day, "2w1d": 15 * day,
		"1d12h": 36 * time.Hour, "0s": 0, "0d": 0, "-1d": -day, "65535d": 65535 * day, "1.5h": 90 * time.Minute,
	} {
		if got, err := parseDuration(text); err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "-", "d", "1", "1.5d", "1d1w", "1d-1h", "--1d", "65536d", "1dd", "1d 1h", "99999w", "1day", "+1d", "1d1"} {
		if got, err := parseDuration(text); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}
