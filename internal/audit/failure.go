package audit

import (
	"log/slog"
	"time"

	"sallyport/internal/limits"
)

// failures are the commits that have failed one after another. Of a store that fails the
// log tells the first, now and then how many more, and when it is over.
type failures struct {
	count       int
	since, told time.Time
	last        error
	// well tells that the last commit didn't fail.
	well bool
}

// note takes note of a commit that has failed.
func (f *failures) note(log *slog.Logger, now time.Time, rows int, err error) {
	f.count++
	f.last, f.well = err, false
	switch {
	case f.count == 1:
		f.since, f.told = now, now
		log.Error("activity rows can't be committed; what completes rows is kept and tried again", "rows", rows, "error", err)
	case now.Sub(f.told) >= limits.FailureTellEvery:
		f.told = now
		log.Error("activity rows still can't be committed", "failures", f.count, "for", now.Sub(f.since), "error", err)
	}
}

// over takes note that nothing is kept any more.
func (f *failures) over(log *slog.Logger, now time.Time) {
	if f.count > 0 && f.well {
		log.Info("activity rows are committed again", "failures", f.count, "after", now.Sub(f.since))
		*f = failures{}
	}
}
