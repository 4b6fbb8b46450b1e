package tracing

import (
	"context"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	otel "go.opentelemetry.io/otel/trace"

	"sallyport/client/sallyport"
	"sallyport/internal/gateway"
)

// Act makes the spans of an act that is over, below that of ctx: one for the whole
// and one for each of its steps. The row goes to disk while the machine is reached,
// so that those two overlap.
func (t *Tracer) Act(ctx context.Context, r *gateway.ActReport) {
	ctx, span := t.tracer.Start(ctx, actName(r), otel.WithTimestamp(r.Began))
	if !span.IsRecording() {
		return
	}
	e := &actSpans{t, ctx, r}
	e.steps()
	span.SetAttributes(e.attributes()...)
	if r.Code != "" {
		span.SetStatus(codes.Error, string(r.Code))
	}
	span.End(otel.WithTimestamp(r.Finished))
}

// actName is the name of an act's span: exec, file, terminal.
func actName(r *gateway.ActReport) string { return strings.TrimPrefix(r.Type, "workspace_") }

type actSpans struct {
	t   *Tracer
	ctx context.Context
	r   *gateway.ActReport
}

func (e *actSpans) steps() {
	r := e.r
	e.step("authorize", r.Began, r.Authorized, r.Finished)
	if r.Authorized.IsZero() {
		return
	}
	e.step("audit begin", r.Authorized, r.Recorded, r.Finished)
	e.step("reach", r.Authorized, r.Reached, r.Ended,
		attribute.String("sallyport.connector", r.Connector), attribute.Bool("sallyport.warm", r.Warm))
	if !r.Reached.IsZero() {
		e.step("start", r.Reached, r.Started, r.Ended)
	}
	if !r.Started.IsZero() {
		e.step("run", r.Started, r.Ended, r.Ended)
	}
	if r.Status != "" {
		e.step("audit finish", later(r.Ended, r.Recorded), r.Finished, r.Finished)
	}
}

// step makes the span of a step that was done, or that failed at the time failed.
func (e *actSpans) step(name string, began, done, failed time.Time, about ...attribute.KeyValue) {
	_, span := e.t.tracer.Start(e.ctx, name, otel.WithTimestamp(began), otel.WithAttributes(about...))
	if done.IsZero() {
		done = failed
		span.SetStatus(codes.Error, string(e.r.Code))
	}
	span.End(otel.WithTimestamp(done))
}

func (e *actSpans) attributes() []attribute.KeyValue {
	r := e.r
	var about []attribute.KeyValue
	if r.Type == sallyport.ActivityExec {
		about = append(about, attribute.Int64("sallyport.stdout_bytes", r.Exec.StdoutBytes), attribute.Int64("sallyport.stderr_bytes", r.Exec.StderrBytes))
	}
	for name, value := range map[string]string{
		"sallyport.org_id": r.OrgID, "sallyport.workspace_id": r.WorkspaceID, "sallyport." + actName(r) + "_id": r.RowID,
		"sallyport.connector": r.Connector, "sallyport.status": r.Status, "sallyport.reason": r.Reason,
		"error.type": string(r.Code),
	} {
		if value != "" {
			about = append(about, attribute.String(name, value))
		}
	}
	if r.Exec.ExitCode != nil {
		about = append(about, attribute.Int("sallyport.exit_code", *r.Exec.ExitCode))
	}
	return about
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
