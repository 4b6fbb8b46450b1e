package bus_test

import (
	"log/slog"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sallyport/internal/bus"
	"sallyport/internal/id"
	_ "sallyport/test/apart"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T) *bus.Bus {
	t.Helper()
	b, err := bus.Open(t.Context(), bus.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func listen(t *testing.T, b *bus.Bus, orgID string) (notices chan struct{}, stop func()) {
	t.Helper()
	notices = make(chan struct{}, 100)
	stop, err := b.OnActivity(orgID, func() { notices <- struct{}{} })
	if err != nil {
		t.Fatal(err)
	}
	return notices, stop
}

func wait(t *testing.T, notices <-chan struct{}, n int) {
	t.Helper()
	for range n {
		select {
		case <-notices:
		case <-time.After(30 * time.Second):
			t.Fatal("no notice")
		}
	}
}

// Every listener of an organisation is told of each change, and nobody else.
func TestNotices(t *testing.T) {
	b := open(t)
	org, other := id.New(), id.New()
	first, stop := listen(t, b, org)
	second, _ := listen(t, b, org)
	foreign, _ := listen(t, b, other)
	for range 3 {
		b.ActivityChanged(org)
	}
	wait(t, first, 3)
	wait(t, second, 3)
	stop()
	b.ActivityChanged(org)
	b.ActivityChanged(other)
	wait(t, second, 1)
	wait(t, foreign, 1)
	if len(first)+len(second)+len(foreign) != 0 {
		t.Errorf("%d, %d and %d notices too many", len(first), len(second), len(foreign))
	}
	if !b.Connected() {
		t.Error("not connected")
	}
}

// A closed bus takes notices and passes none on.
func TestClosed(t *testing.T) {
	b := open(t)
	notices, stop := listen(t, b, "o")
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b.ActivityChanged("o")
	stop()
	if b.Connected() {
		t.Error("connected")
	}
	if _, err := b.OnActivity("o", func() {}); err == nil {
		t.Error("a closed bus takes listeners")
	}
	if len(notices) != 0 {
		t.Error("a notice")
	}
}

func BenchmarkActivityChanged(b *testing.B) {
	o, err := bus.Open(b.Context(), bus.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer o.Close()
	for b.Loop() {
		o.ActivityChanged("01a214c3-c83a-76bc-9ec9-d66e50188087")
	}
}
