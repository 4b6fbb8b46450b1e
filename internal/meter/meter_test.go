package meter

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/bus"
	"sallyport/internal/connector/eic"
	"sallyport/internal/gateway"
	"sallyport/internal/limits"
)

// sources are asked, and answer when gate lets them.
func sources(gate <-chan struct{}) Sources {
	return Sources{
		Gateway:    func() gateway.Stats { <-gate; return gateway.Stats{} },
		Bus:        func() bus.Stats { return bus.Stats{} },
		EIC:        func() eic.Stats { return eic.Stats{} },
		PingStore:  func() error { return errors.New("away") },
		LogLost:    func() uint64 { return 0 },
		StoreBytes: func() (map[string]int64, error) { return nil, errors.New("no file") },
	}
}

// TestScrapesAreBounded: so many are answered at once, and who waits too long for
// its turn is told.
func TestScrapesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New("v", slog.New(slog.DiscardHandler))
		gate := make(chan struct{})
		m.Watch(sources(gate))
		answers := make(chan error, limits.ScrapesMax+1)
		for range limits.ScrapesMax + 1 {
			go func() {
				answers <- m.Serve(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/metrics", nil))
			}()
		}
		began := time.Now()
		if err := <-answers; sallyport.CodeOf(err) != sallyport.CodePlatformUnavailable || time.Since(began) != limits.ScrapeTime {
			t.Errorf("the one too many got %v after %s", err, time.Since(began))
		}
		close(gate)
		for range limits.ScrapesMax {
			if err := <-answers; err != nil {
				t.Error(err)
			}
		}
	})
}

// TestScrapeOfWhatFails: a store that is away is told, and hides nothing else.
func TestScrapeOfWhatFails(t *testing.T) {
	var log strings.Builder
	m := New("v1", slog.New(slog.NewTextHandler(&log, nil)))
	gate := make(chan struct{})
	close(gate)
	m.Watch(sources(gate))
	for accept, want := range map[string]string{
		"":                             "text/plain; version=0.0.4",
		"application/openmetrics-text": "application/openmetrics-text",
	} {
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/metrics", nil)
		r.Header.Set("Accept", accept)
		if err := m.Serve(w, r); err != nil {
			t.Fatal(err)
		}
		if w.Code != http.StatusOK || !strings.HasPrefix(w.Header().Get("Content-Type"), want) {
			t.Errorf("Accept %q: %d %s", accept, w.Code, w.Header())
		}
		for _, line := range []string{"sallyport_store_up 0", `version="v1"`, "sallyport_bus_connected 0"} {
			if !strings.Contains(w.Body.String(), line) {
				t.Errorf("Accept %q: no %s", accept, line)
			}
		}
	}
	if !strings.Contains(log.String(), "no file") {
		t.Errorf("the log doesn't tell: %s", log.String())
	}
}
