package connectortest

import (
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

const (
	// patience is how long anything at all may take.
	patience = 20 * time.Second
	// atOnce is how long may take what has nothing to wait for, on a machine
	// that is busy with other tests.
	atOnce = 2 * time.Second
)

// await returns what comes, which has to be at once.
func await(t *testing.T, done <-chan error, what string) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(atOnce):
		t.Fatalf("waited in vain for %s", what)
		return nil
	}
}

// eventually waits until ok is true.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// checkLeaks compares goroutines and descriptors of now with those of the
// test's end, after all cleanups that are registered later.
func checkLeaks(t *testing.T) {
	t.Helper()
	goroutines, descriptors := goleak.IgnoreCurrent(), countDescriptors()
	t.Cleanup(func() {
		goleak.VerifyNone(t, goroutines)
		eventually(t, "descriptors to be closed", func() bool { return countDescriptors() <= descriptors })
	})
}

// countDescriptors is 0 where the system does not tell.
func countDescriptors() int {
	// The poller's own descriptors are opened with the first pipe.
	if r, w, err := os.Pipe(); err == nil {
		r.Close()
		w.Close()
	}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(entries)
}
