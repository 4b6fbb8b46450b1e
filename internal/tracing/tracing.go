// Package tracing tells where the time of requests went, as OpenTelemetry spans, to
// whoever collects them. It alone knows OpenTelemetry.
//
// A span holds ids of ours, codes, statuses and sizes: no argv, environment, output,
// token, nor a path as it was asked for.
package tracing

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
	otel "go.opentelemetry.io/otel/trace"

	"sallyport/client/sallyport"
	"sallyport/internal/limits"
)

// Options are what a Tracer is made from.
type Options struct {
	// Endpoint is the URL that spans are posted to, as OTLP in protobuf. What else
	// there is to say of the way there (headers, certificates, compression), of the
	// sampling and of the service's name, the standard variables of the environment
	// say.
	Endpoint string
	Version  string
	Log      *slog.Logger
}

// Tracer makes spans and sends them. It is safe for concurrent use.
type Tracer struct {
	tracer   otel.Tracer
	callers  propagation.TraceContext
	queue    trace.SpanProcessor
	exporter *exporter
}

// Open returns a tracer. It doesn't ask whether the endpoint answers: what can't be
// sent is told to the log, and dropped. Close it.
func Open(ctx context.Context, o Options) (*Tracer, error) {
	sender, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(o.Endpoint))
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	about, err := resource.New(ctx,
		resource.WithTelemetrySDK(),
		resource.WithAttributes(attribute.String("service.name", "sallyport"), attribute.String("service.version", o.Version)),
		resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("traces: OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	t := &Tracer{exporter: &exporter{SpanExporter: sender, log: o.Log, done: make(chan struct{})}}
	t.queue = trace.NewBatchSpanProcessor(t.exporter,
		trace.WithMaxQueueSize(limits.SpansMax), trace.WithMaxExportBatchSize(limits.SpansMax/4),
		trace.WithExportTimeout(limits.SpansSendTime))
	t.tracer = trace.NewTracerProvider(trace.WithResource(about), trace.WithSpanProcessor(t.queue)).Tracer("sallyport")
	return t, nil
}

// Close sends what is left until ctx ends, gives the rest up, and waits until
// nothing is on its way any more. It must be called once.
func (t *Tracer) Close(ctx context.Context) error {
	err := t.queue.Shutdown(ctx) // the provider's own does nothing where ctx has ended
	if err == nil {
		return nil
	}
	// What is being sent goes on until its own time is up, unless it is told.
	_ = t.exporter.SpanExporter.Shutdown(context.WithoutCancel(ctx)) // it waits for nothing
	<-t.exporter.done
	return fmt.Errorf("the last traces could not be sent: %w", err)
}

// Began begins the span of a request, within its caller's trace if there is one,
// and returns the context of all that belongs to it, and the trace's id. What only
// asks how the server is leaves no trace.
func (t *Tracer) Began(r *http.Request) (ctx context.Context, traceID string) {
	switch r.Pattern {
	case "/healthz", "/readyz", "/metrics":
		return r.Context(), ""
	}
	ctx = t.callers.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	ctx, span := t.tracer.Start(ctx, "request", otel.WithSpanKind(otel.SpanKindServer))
	return ctx, span.SpanContext().TraceID().String()
}

// Answered is what became of a request: see httpapi.Answered.
type Answered struct {
	Route, Method     string
	Status            int
	Bytes             int64
	Code              sallyport.Code
	RequestID, ExecID string
	Took              time.Duration
}

// Answered ends the span of a request that Began has returned ctx for.
func (t *Tracer) Answered(ctx context.Context, a Answered) {
	span := otel.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
	span.SetName(a.Method + " " + a.Route)
	span.SetAttributes(
		attribute.String("http.request.method", a.Method), attribute.String("http.route", a.Route),
		attribute.Int("http.response.status_code", a.Status), attribute.Int64("http.response.body.size", a.Bytes),
		attribute.String("sallyport.request_id", a.RequestID))
	if a.ExecID != "" {
		span.SetAttributes(attribute.String("sallyport.exec_id", a.ExecID))
	}
	if a.Code != "" {
		span.SetAttributes(attribute.String("error.type", string(a.Code)))
	}
	if a.Status < 100 || a.Status >= 500 { // what is wrong with a request is no error of its server
		span.SetStatus(codes.Error, string(a.Code))
	}
	span.End()
}
