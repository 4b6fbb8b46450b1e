package tracing

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/gateway"
	_ "sallyport/test/apart"
)

// BenchmarkExec is all that a warm exec pays for its spans, while nobody takes them.
func BenchmarkExec(b *testing.B) {
	t, err := Open(b.Context(), Options{Endpoint: "http://127.0.0.1:9/v1/traces", Version: "bench", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = t.Close(ctx) // nobody takes the last ones
	})
	r := httptest.NewRequest(http.MethodPost, "/workspaces/w/exec", nil)
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		ctx, _ := t.Began(r)
		t.Act(ctx, &gateway.ActReport{
			Type:      sallyport.ActivityExec,
			Connector: sallyport.ConnectorLocal, Status: sallyport.StatusOK, Warm: true,
			Began: now, Authorized: now, Recorded: now, Reached: now, Started: now, Ended: now, Finished: now,
		})
		t.Answered(ctx, Answered{Route: "/workspaces/{workspace}/exec", Method: http.MethodPost, Status: 200})
	}
}
