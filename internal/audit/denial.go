package audit

import (
	"context"
	"sync"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/limits"
	"sallyport/internal/store"
)

// denials coalesce a flood of refusals: of one actor, verb and code the first of a minute
// have a row each, and the others share one, which is written when the minute is over.
type denials struct {
	mu      sync.Mutex // guards the fields below
	windows map[denialKey]*denialWindow
	closed  bool
}

// denialKey is what is counted together.
type denialKey struct {
	orgID, actor, tried string
	code                sallyport.Code
}

// denialWindow is one minute of a key.
type denialWindow struct {
	// began is on the process's own clock: the other may be set.
	began time.Time
	// single is how many have a row each; shared is the row of the others, nil for none.
	single int
	shared *store.Activity
}

// Deny records the refusal of an authenticated caller, durably. Beyond the first
// limits.DenialRowsMax a minute it is only counted.
func (l *Log) Deny(ctx context.Context, d Denial) error {
	row := l.denialRow(d)
	counted, err := l.denials.count(row, d.Tried, time.Now())
	if counted || err != nil {
		return err
	}
	return l.record(ctx, row, "the refusal can't be recorded now")
}

// count tells whether the refusal shares a row, to which it is added then.
func (s *denials) count(row store.Activity, tried string, now time.Time) (counted bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false, nil // the log is, and says so
	}
	key := denialKey{row.OrgID, row.Actor, tried, row.Code}
	w := s.windows[key]
	switch {
	case w == nil && len(s.windows) >= limits.DenialsCountedMax:
		return false, unavailable("too many callers are refused at once; try again in a minute", nil)
	case w == nil:
		if s.windows == nil {
			s.windows = map[denialKey]*denialWindow{}
		}
		w = &denialWindow{began: now}
		s.windows[key] = w
	}
	if w.single < limits.DenialRowsMax {
		w.single++
		return false, nil
	}
	if w.shared == nil {
		w.shared = &row
	}
	w.add(row)
	return true, nil
}

// add counts a refusal into the shared row, which is of a workspace only if all are.
func (w *denialWindow) add(row store.Activity) {
	until := row.CreatedAt
	if until.Before(w.shared.CreatedAt) {
		until = w.shared.CreatedAt
	}
	w.shared.Count++
	w.shared.Until, w.shared.CompletedAt = &until, &until
	if w.shared.WorkspaceID != row.WorkspaceID {
		w.shared.WorkspaceID = ""
	}
}

// over takes away the windows whose minute is over, or all, and returns their shared rows.
func (s *denials) over(now time.Time, all bool) (rows []*store.Activity) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = s.closed || all
	for key, w := range s.windows {
		if !all && now.Sub(w.began) < limits.DenialTime {
			continue
		}
		delete(s.windows, key)
		if w.shared != nil {
			rows = append(rows, w.shared)
		}
	}
	return rows
}

// tellDenials sends the rows of refusals that shared one on their way, when their minute
// is over; with all, the others too. Nobody waits for them, so they are kept like
// completions.
func (l *Log) tellDenials(all bool) {
	for _, row := range l.denials.over(time.Now(), all) {
		l.send(&write{change: store.ActivityChange{Row: row}, durable: true, keep: true})
	}
}
