package cli

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// duration is the value of a flag that is a time: Go's, and days and weeks before it.
type duration time.Duration

// Set takes a value of the flag.
func (d *duration) Set(s string) error {
	parsed, err := parseDuration(s)
	*d = duration(parsed)
	return err
}

func (d *duration) String() string {
	if *d == 0 {
		return ""
	}
	return time.Duration(*d).String()
}

// Type is what the help text calls the value.
func (d *duration) Type() string { return "TIME" }

// errDuration says what a duration looks like.
var errDuration = errors.New("it is a number with a unit, such as 30s, 5m, 2h or 7d")

// parseDuration reads what time.ParseDuration does, with w for seven days and d for 24
// hours before it: 1w, 30d, 1d12h.
func parseDuration(s string) (time.Duration, error) {
	const day = 24 * time.Hour
	rest, isNegative := strings.CutPrefix(s, "-")
	total, isTold := time.Duration(0), false
	for _, unit := range []struct {
		letter string
		length time.Duration
	}{{"w", 7 * day}, {"d", day}} {
		number, after, found := strings.Cut(rest, unit.letter)
		if !found {
			continue
		}
		n, err := strconv.ParseUint(number, 10, 16) // up to 65,535: no sum overflows
		if err != nil {
			return 0, errDuration
		}
		total, rest, isTold = total+time.Duration(n)*unit.length, after, true
	}
	if rest != "" || !isTold {
		finer, err := time.ParseDuration(rest)
		if err != nil || finer < 0 || total+finer < total {
			return 0, errDuration
		}
		total += finer
	}
	if isNegative {
		total = -total
	}
	return total, nil
}
