package watch

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"sallyport/internal/limits"
	"sallyport/test/stack"
)

// receiver takes traces as an OTLP collector does, over HTTP in protobuf.
type receiver struct {
	*httptest.Server

	mu       sync.Mutex // guards the fields below
	raw      bytes.Buffer
	paths    []string
	services []string
	spans    []*trace.Span
}

func newReceiver(t testing.TB) *receiver {
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if err := r.take(req); err != nil {
			t.Error(err)
			w.WriteHeader(http.StatusBadRequest)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) take(req *http.Request) error {
	body := io.Reader(req.Body)
	if req.Header.Get("Content-Encoding") == "gzip" {
		var err error
		if body, err = gzip.NewReader(body); err != nil {
			return err
		}
	}
	b, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	var batch collector.ExportTraceServiceRequest
	if err := proto.Unmarshal(b, &batch); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.raw.Write(b)
	r.paths = append(r.paths, req.Method+" "+req.URL.Path)
	for _, resource := range batch.ResourceSpans {
		r.services = append(r.services, attribute(resource.Resource.Attributes, "service.name"))
		for _, scope := range resource.ScopeSpans {
			r.spans = append(r.spans, scope.Spans...)
		}
	}
	return nil
}

// attribute is the value of a key, as text; "" for none.
func attribute(of []*common.KeyValue, key string) string {
	for _, a := range of {
		if a.Key != key {
			continue
		}
		switch v := a.Value.Value.(type) {
		case *common.AnyValue_StringValue:
			return v.StringValue
		case *common.AnyValue_IntValue:
			return fmt.Sprint(v.IntValue)
		case *common.AnyValue_BoolValue:
			return fmt.Sprint(v.BoolValue)
		}
		return "?"
	}
	return ""
}

// of are the spans of one trace.
func (r *receiver) of(traceID string) []*trace.Span {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []*trace.Span
	for _, s := range r.spans {
		if fmt.Sprintf("%x", s.TraceId) == traceID {
			found = append(found, s)
		}
	}
	return found
}

// tree draws the spans below a parent, earliest first: name, and ! where it failed.
func tree(spans []*trace.Span, parent string) string {
	spans = slices.Clone(spans)
	slices.SortStableFunc(spans, func(a, b *trace.Span) int {
		if a.StartTimeUnixNano == b.StartTimeUnixNano {
			return strings.Compare(a.Name, b.Name)
		}
		return int(int64(a.StartTimeUnixNano) - int64(b.StartTimeUnixNano))
	})
	var names []string
	for _, s := range spans {
		if fmt.Sprintf("%x", s.ParentSpanId) != parent {
			continue
		}
		name := s.Name
		if s.Status.GetCode() == trace.Status_STATUS_CODE_ERROR {
			name += "!"
		}
		if below := tree(spans, fmt.Sprintf("%x", s.SpanId)); below != "" {
			name += "(" + below + ")"
		}
		names = append(names, name)
	}
	return strings.Join(names, " ")
}

func named(t *testing.T, spans []*trace.Span, name string) *trace.Span {
	t.Helper()
	for _, s := range spans {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("no span %s", name)
	return nil
}

// TestTraces: each exec leaves the tree of its steps in its caller's own trace, and
// nothing of what a caller said.
func TestTraces(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	s := stack.Start(t, stack.Options{Env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": r.URL + "/otlp/"}})
	const caller = "00f067aa0ba902b7"
	var planted flock
	n := 0
	ids := planted.runAll(t, s, func(req *http.Request) {
		n++
		req.Header.Set("Traceparent", fmt.Sprintf("00-%032x-%s-01", n, caller))
		req.Header.Set("Baggage", "x="+planted.bird("baggage"))
	})
	s.Do(t, http.MethodGet, "/healthz", "", "")
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	const post = "POST /workspaces/{workspace}/exec"
	for i, want := range []string{
		post + "(exec(authorize audit begin reach start run audit finish))",
		post + "(exec(authorize audit begin reach start run audit finish))",
		post + "!(exec!(authorize audit begin reach start run audit finish))",
		post + "(exec!(authorize audit begin reach start! audit finish))",
		post + "(exec!(authorize!))",
		post + "(exec!(authorize!))",
		post + "(exec!(authorize!))",
		post,
		post + "!(exec(authorize audit begin reach start run audit finish))",
	} {
		if got := tree(r.of(fmt.Sprintf("%032x", i+1)), caller); got != want {
			t.Errorf("trace %d:\n got %s\nwant %s", i+1, got, want)
		}
	}
	ok := r.of(fmt.Sprintf("%032x", 1))
	checkOrder(t, ok)
	for key, want := range map[string]string{
		"sallyport.org_id": s.OrgID, "sallyport.workspace_id": s.WorkspaceID, "sallyport.exec_id": ids["ok"],
		"sallyport.status": "ok", "sallyport.exit_code": "0", "sallyport.stdout_bytes": "60", "sallyport.stderr_bytes": "0", "error.type": "",
	} {
		if got := attribute(named(t, ok, "exec").Attributes, key); got != want {
			t.Errorf("exec: %s is %q, want %q", key, got, want)
		}
	}
	timeout := r.of(fmt.Sprintf("%032x", 3))
	for key, want := range map[string]string{
		"http.response.status_code": "504", "http.route": "/workspaces/{workspace}/exec", "http.request.method": "POST",
		"error.type": "exec_timeout", "sallyport.exec_id": ids["timeout"],
	} {
		if got := attribute(named(t, timeout, post).Attributes, key); got != want {
			t.Errorf("request: %s is %q, want %q", key, got, want)
		}
	}
	for i, want := range map[int]string{1: "false", 2: "true"} {
		reach := named(t, r.of(fmt.Sprintf("%032x", i)), "reach")
		if got := attribute(reach.Attributes, "sallyport.warm"); got != want {
			t.Errorf("reach %d: warm is %q, want %q", i, got, want)
		}
	}
	checkReceived(t, r)
	planted.search(t, "the traces", r.raw.String())
	for id, n := range map[string]int{ids["ok"]: 1, ids["timeout"]: 3} {
		line := "exec_id=" + id + " trace_id=" + fmt.Sprintf("%032x", n)
		if !strings.Contains(s.Log.String(), line) {
			t.Errorf("no line of the log holds %s", line)
		}
	}
}

// checkOrder: steps lie within their exec, and the command begins behind the row.
func checkOrder(t *testing.T, spans []*trace.Span) {
	t.Helper()
	exec := named(t, spans, "exec")
	for _, s := range spans {
		if fmt.Sprintf("%x", s.ParentSpanId) == fmt.Sprintf("%x", exec.SpanId) &&
			(s.StartTimeUnixNano < exec.StartTimeUnixNano || s.EndTimeUnixNano > exec.EndTimeUnixNano || s.EndTimeUnixNano < s.StartTimeUnixNano) {
			t.Errorf("%s is not within its exec", s.Name)
		}
	}
	if named(t, spans, "run").StartTimeUnixNano < named(t, spans, "audit begin").EndTimeUnixNano {
		t.Error("the command ran before its row was on disk")
	}
}

func checkReceived(t *testing.T, r *receiver) {
	t.Helper()
	for _, path := range r.paths {
		if path != "POST /otlp/v1/traces" {
			t.Errorf("traces were sent by %s", path)
		}
	}
	for _, service := range r.services {
		if service != "sallyport" {
			t.Errorf("they are of service %q", service)
		}
	}
	for _, s := range r.spans {
		if strings.Contains(s.Name, "healthz") {
			t.Error("a probe left a trace")
		}
	}
}

// TestTracesOfOthers: a caller who doesn't sample isn't sampled, one who says nothing
// gets a trace of its own, and what isn't W3C's is nothing.
func TestTracesOfOthers(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	s := stack.Start(t, stack.Options{Env: map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": r.URL + "/custom"}})
	const unsampled = "000000000000000000000000000000aa"
	for _, parent := range []string{"", "garbage", "00-" + unsampled + "-00f067aa0ba902b7-00", "00-" + strings.Repeat("0", 32) + "-00f067aa0ba902b7-01"} {
		req := s.Request(t, http.MethodGet, "/session", s.Token, "")
		if parent != "" {
			req.Header.Set("Traceparent", parent)
		}
		s.Send(t, req)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if n := len(r.of(unsampled)); n != 0 {
		t.Errorf("%d spans of a caller who does not sample", n)
	}
	if len(r.spans) != 3 || len(r.paths) == 0 || r.paths[0] != "POST /custom" {
		t.Errorf("%d spans by %v", len(r.spans), r.paths)
	}
	for _, span := range r.spans {
		if len(span.ParentSpanId) != 0 || span.Name != "GET /session" {
			t.Errorf("span %s below %x", span.Name, span.ParentSpanId)
		}
	}
	if !strings.Contains(s.Log.String(), "trace_id="+unsampled) {
		t.Error("the log doesn't tell the caller's trace")
	}
}

// TestTracesNobodyTakes: a collector that is away, or answers nothing, costs
// neither execs nor more than a moment at the end.
func TestTracesNobodyTakes(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // it accepts, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	away, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	away.Close()
	for name, address := range map[string]string{"silent": silent.Addr().String(), "away": away.Addr().String()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := stack.Start(t, stack.Options{Env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://" + address}})
			for range 20 {
				if a := s.Exec(t, `{"cmd":["true"]}`); a.Status != http.StatusOK {
					t.Fatalf("%d %s", a.Status, a.Body)
				}
			}
			began := time.Now()
			if err := s.Stop(); err != nil {
				t.Errorf("stop: %v", err)
			}
			if took := time.Since(began); took > limits.SpansEndTime+2*time.Second {
				t.Errorf("the end took %s", took)
			}
			if !strings.Contains(s.Log.String(), "traces can't be sent") {
				t.Errorf("the log says nothing of it:\n%s", s.Log)
			}
		})
	}
}

// TestTracesOff: without an endpoint nobody's trace is followed.
func TestTracesOff(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	for _, env := range []map[string]string{
		{},
		{"OTEL_EXPORTER_OTLP_ENDPOINT": r.URL, "OTEL_SDK_DISABLED": "true"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT": r.URL, "OTEL_TRACES_EXPORTER": "none"},
	} {
		s := stack.Start(t, stack.Options{Env: env})
		req := s.Request(t, http.MethodGet, "/session", s.Token, "")
		req.Header.Set("Traceparent", "00-000000000000000000000000000000aa-00f067aa0ba902b7-01")
		s.Send(t, req)
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(s.Log.String(), "trace_id") || len(r.spans) > 0 {
			t.Errorf("%v: traced", env)
		}
	}
}
