package gateway_test

import (
	"errors"
	"log/slog"
	"testing"

	"sallyport/client/sallyport"
	"sallyport/internal/bus"
	"sallyport/internal/feed"
	"sallyport/internal/gateway"
	"sallyport/internal/id"
	"sallyport/internal/limits"
	"sallyport/internal/store"
)

// A reader whose store stops answering is told so, and may come again: it has not gone.
func TestEventsOfStoreThatStops(t *testing.T) {
	w := newWorld(t)
	quiet := slog.New(slog.DiscardHandler)
	b, err := bus.Open(t.Context(), bus.Options{Log: quiet})
	must(t, err)
	w.Feed = feed.New(w.db, b, quiet)
	t.Cleanup(func() {
		must(t, w.Feed.Close())
		must(t, b.Close())
	})
	org := w.org(t, "acme")
	var rows []store.ActivityChange
	for range limits.EventPageMax { // with the organisation's own more than are read at once
		rows = append(rows, store.ActivityChange{Row: &store.Activity{Activity: sallyport.Activity{ID: id.New(), OrgID: org.ID, CreatedAt: now()}}})
	}
	must(t, w.db.CommitActivity(t.Context(), rows, false))
	err = w.OrgEvents(t.Context(), w.admin, org.ID, 0, gateway.EventSink{
		Opened: func(int64) error { return nil },
		Events: func([]gateway.Event) error { return w.db.Close() },
		Idle:   func() error { return errors.New("idle beside events") },
	})
	var known *sallyport.Error
	if !errors.As(err, &known) || known.Code != sallyport.CodePlatformUnavailable {
		t.Errorf("the stream ended with %v", err)
	}
}
