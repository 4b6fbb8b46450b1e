package tracing

import (
	"context"
	"log/slog"
	"sync/atomic"

	"go.opentelemetry.io/otel/sdk/trace"

	"sallyport/internal/redact"
)

// exporter sends spans, and tells the log when that fails, and when it works again:
// OpenTelemetry would tell a handler of the whole process, each time.
type exporter struct {
	trace.SpanExporter
	log     *slog.Logger
	failing atomic.Bool
	done    chan struct{} // closed when nothing is sent any more
}

// ExportSpans implements trace.SpanExporter. What can't be sent is given up.
func (e *exporter) ExportSpans(ctx context.Context, spans []trace.ReadOnlySpan) error {
	err := e.SpanExporter.ExportSpans(ctx, spans)
	switch was := e.failing.Swap(err != nil); {
	case err != nil && !was:
		e.log.Warn("traces can't be sent and are dropped", "spans", len(spans), "error", redact.Text(err.Error()))
	case err == nil && was:
		e.log.Info("traces are sent again")
	}
	return nil
}

// Shutdown implements trace.SpanExporter: the last call of it.
func (e *exporter) Shutdown(ctx context.Context) error {
	defer close(e.done)
	return e.SpanExporter.Shutdown(ctx)
}
