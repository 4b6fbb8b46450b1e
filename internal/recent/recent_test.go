package recent_test

import (
	"errors"
	"testing"
	"time"

	"sallyport/internal/recent"
)

// store answers with how often it was asked.
type store struct {
	asked int
	err   error
}

func (s *store) ask() (int, error) {
	s.asked++
	return s.asked, s.err
}

func look(t *testing.T, c *recent.Cache[string, int], key string, life time.Duration, s *store) int {
	t.Helper()
	got, err := c.Look(key, life, 2, s.ask)
	if !errors.Is(err, s.err) {
		t.Errorf("%s: %v", key, err)
	}
	return got
}

// An answer is told again while it is young, and asked for anew once it isn't, or where
// nothing is to be kept.
func TestLook(t *testing.T) {
	var c recent.Cache[string, int]
	s := &store{}
	for _, tt := range []struct {
		key  string
		life time.Duration
		want int
	}{
		{"a", time.Hour, 1}, {"a", time.Hour, 1}, {"b", time.Hour, 2}, {"a", time.Hour, 1}, {"a", time.Nanosecond, 3},
		{"a", time.Hour, 3}, {"a", 0, 4}, {"a", time.Hour, 3},
	} {
		if got := look(t, &c, tt.key, tt.life, s); got != tt.want {
			t.Errorf("%s for %v: answer %d, want %d", tt.key, tt.life, got, tt.want)
		}
	}
}

// What isn't there is asked for each time.
func TestErrorsAreNotKept(t *testing.T) {
	var c recent.Cache[string, int]
	s := &store{err: errors.New("absent")}
	look(t, &c, "a", time.Hour, s)
	s.err = nil
	if got := look(t, &c, "a", time.Hour, s); got != 2 {
		t.Errorf("answer %d, want the second", got)
	}
}

// The cache holds as many answers as it may; one more drops them.
func TestMost(t *testing.T) {
	var c recent.Cache[string, int]
	s := &store{}
	for _, key := range []string{"a", "b", "c"} {
		look(t, &c, key, time.Hour, s)
	}
	if got := look(t, &c, "c", time.Hour, s); got != 3 {
		t.Errorf("c: answer %d, want the third", got)
	}
	if got := look(t, &c, "a", time.Hour, s); got != 4 {
		t.Errorf("a: answer %d, want a new one", got)
	}
}

// After Clear nothing is told that was asked before, also what was on its way.
func TestClear(t *testing.T) {
	var c recent.Cache[string, int]
	s := &store{}
	look(t, &c, "a", time.Hour, s)
	c.Clear()
	got, err := c.Look("a", time.Hour, 2, func() (int, error) {
		c.Clear() // the store has answered, and then it changes
		return s.ask()
	})
	if err != nil || got != 2 {
		t.Errorf("answer %d, %v, want the second", got, err)
	}
	if got := look(t, &c, "a", time.Hour, s); got != 3 {
		t.Errorf("answer %d, want the third", got)
	}
}
