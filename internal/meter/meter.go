// Package meter counts a server's events, for Prometheus. It alone knows
// Prometheus: the rooms that it looks at tell numbers, or call a function of it.
//
// No series names a tenant. A scraper would learn from it which tenants
// there are, and how busy each is; their number has no bound, and that of the
// series must have one. An organisation's acts are in its activity log.
package meter

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"sallyport/client/sallyport"
	"sallyport/internal/audit"
	"sallyport/internal/gateway"
	"sallyport/internal/limits"
	"sallyport/internal/store"
)

// Meter is the series of one server, in a registry of its own. Make it with New.
// It is safe for concurrent use.
type Meter struct {
	registry *prometheus.Registry
	page     http.Handler
	turns    chan struct{} // holds one for each scrape that is being answered

	httpRequests  *prometheus.CounterVec
	httpDurations *prometheus.HistogramVec
	httpInFlight  prometheus.Gauge

	execDurations *prometheus.HistogramVec
	execRefusals  *prometheus.CounterVec
	execReach     *prometheus.HistogramVec
	execStart     prometheus.Observer
	stdout        prometheus.Counter
	stderr        prometheus.Counter

	actDurations *prometheus.HistogramVec
	actRefusals  *prometheus.CounterVec
	actBytes     *prometheus.CounterVec

	dialDurations prometheus.Observer
	dialFailures  *prometheus.CounterVec

	commitDurations *prometheus.HistogramVec
	commitRows      prometheus.Observer
	commitFailures  prometheus.Counter
}

// New returns the meter of a server of a version. What Watch is not told of yet
// is missing from them. log takes what a scrape could not find out.
func New(version string, log *slog.Logger) *Meter {
	m := &Meter{registry: prometheus.NewRegistry(), turns: make(chan struct{}, limits.ScrapesMax)}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.page = promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		// A store that fails is no reason to hide the other series.
		ErrorHandling: promhttp.ContinueOnError, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		EnableOpenMetrics: true,
	})
	t := &table{registry: m.registry}
	m.addHTTP(t)
	m.addExec(t)
	m.addActs(t)
	m.addSSH(t)
	m.addAudit(t)
	t.gauge(buildInfo).WithLabelValues(version, runtime.Version()).Set(1)
	return m
}

func (m *Meter) addHTTP(t *table) {
	m.httpRequests = t.counter(httpRequests)
	m.httpDurations = t.histogram(httpDurations)
	m.httpInFlight = t.gauge(httpInFlight).WithLabelValues()
}

func (m *Meter) addExec(t *table) {
	m.execDurations = t.histogram(execDurations)
	for _, outcome := range []string{sallyport.StatusOK, sallyport.StatusError, sallyport.StatusTimeout, sallyport.StatusCanceled} {
		m.execDurations.WithLabelValues(outcome) // outcomes that haven't occurred yet count 0
	}
	m.execRefusals = t.counter(execRefusals)
	m.execReach = t.histogram(execReach)
	m.execStart = t.histogram(execStart).WithLabelValues()
	output := t.counter(execOutput)
	m.stdout, m.stderr = output.WithLabelValues(sallyport.Stdout), output.WithLabelValues(sallyport.Stderr)
}

func (m *Meter) addActs(t *table) {
	m.actDurations, m.actRefusals, m.actBytes = t.histogram(actDurations), t.counter(actRefusals), t.counter(actBytes)
	for _, rowType := range []string{sallyport.ActivityTerminal, sallyport.ActivityForward} {
		m.carried(rowType, 0, 0) // what has not occurred yet counts 0
	}
}

// carried counts what a terminal or a forward has carried.
func (m *Meter) carried(rowType string, input, output int64) {
	m.actBytes.WithLabelValues(kindOf(rowType), "input").Add(float64(input))
	m.actBytes.WithLabelValues(kindOf(rowType), "output").Add(float64(output))
}

func kindOf(rowType string) string { return strings.TrimPrefix(rowType, "workspace_") }

func (m *Meter) addSSH(t *table) {
	m.dialDurations = t.histogram(dialDurations).WithLabelValues()
	m.dialFailures = t.counter(dialFailures)
	for _, code := range []sallyport.Code{sallyport.CodeConnectFailed, sallyport.CodeConnectTimeout, sallyport.CodeHostKeyMismatch} {
		m.dialFailures.WithLabelValues(string(code))
	}
}

func (m *Meter) addAudit(t *table) {
	m.commitDurations = t.histogram(commitDurations)
	for _, durable := range []bool{false, true} {
		m.commitDurations.WithLabelValues(strconv.FormatBool(durable))
	}
	m.commitRows = t.histogram(commitRows).WithLabelValues()
	m.commitFailures = t.counter(commitFailures).WithLabelValues()
}

// RequestBegan counts a request in.
func (m *Meter) RequestBegan() { m.httpInFlight.Inc() }

// RequestAnswered counts a request out. Route and method must be of closed lists.
// Status is 0 for a request that got no answer.
func (m *Meter) RequestAnswered(route, method string, status int, took time.Duration) {
	m.httpInFlight.Dec()
	m.httpRequests.WithLabelValues(route, method, statusClass(status)).Inc()
	m.httpDurations.WithLabelValues(route, method).Observe(took.Seconds())
}

func statusClass(status int) string {
	if status < 100 || status > 599 {
		return "none"
	}
	return strconv.Itoa(status/100) + "xx"
}

// Act counts an act on a machine that is over.
func (m *Meter) Act(r *gateway.ActReport) {
	kind := kindOf(r.Type)
	switch {
	case r.Type == sallyport.ActivityExec:
		m.exec(r)
	case r.Status == "":
		m.actRefusals.WithLabelValues(kind, string(r.Code)).Inc()
	default:
		m.actDurations.WithLabelValues(kind, r.Outcome()).Observe(r.Finished.Sub(r.Began).Seconds())
	}
	if r.Type == sallyport.ActivityTerminal || r.Type == sallyport.ActivityForward {
		m.carried(r.Type, r.InputBytes, r.OutputBytes)
	}
}

func (m *Meter) exec(r *gateway.ActReport) {
	if r.Status == "" {
		m.execRefusals.WithLabelValues(string(r.Code)).Inc()
		return
	}
	m.execDurations.WithLabelValues(r.Outcome()).Observe(r.Finished.Sub(r.Began).Seconds())
	if !r.Reached.IsZero() {
		m.execReach.WithLabelValues(r.Connector, connection(r.Warm)).Observe(r.Reached.Sub(r.Authorized).Seconds())
	}
	if !r.Started.IsZero() {
		m.execStart.Observe(r.Started.Sub(r.Began).Seconds())
	}
	m.stdout.Add(float64(r.Exec.StdoutBytes))
	m.stderr.Add(float64(r.Exec.StderrBytes))
}

func connection(warm bool) string {
	if warm {
		return "warm"
	}
	return "cold"
}

// Dialed counts a connection that was tried; see sshpool.Pool.
func (m *Meter) Dialed(took time.Duration, err error) {
	if err != nil {
		m.dialFailures.WithLabelValues(string(sallyport.CodeOf(err))).Inc()
		return
	}
	m.dialDurations.Observe(took.Seconds())
}

// Commits returns a store that does what s does, and counts it.
func (m *Meter) Commits(s audit.Store) audit.Store { return &countedStore{s, m} }

type countedStore struct {
	audit.Store
	m *Meter
}

// CommitActivity implements audit.Store.
func (s *countedStore) CommitActivity(ctx context.Context, changes []store.ActivityChange, durable bool) error {
	began := time.Now()
	err := s.Store.CommitActivity(ctx, changes, durable)
	s.m.commitDurations.WithLabelValues(strconv.FormatBool(durable)).Observe(time.Since(began).Seconds())
	s.m.commitRows.Observe(float64(len(changes)))
	if err != nil {
		s.m.commitFailures.Inc()
	}
	return err
}

// Serve answers a scrape in the format that it asks for. It returns
// platform_unavailable, before anything is written, when too many others are being
// answered, and nothing where the caller has gone.
func (m *Meter) Serve(w http.ResponseWriter, r *http.Request) error {
	answer, err := m.scrape(r)
	if err != nil {
		return err
	}
	for name, values := range answer.header {
		w.Header().Set(name, strings.Join(values, ", ")) // Vary comes in pieces
	}
	w.WriteHeader(answer.status)
	_, _ = w.Write(answer.body.Bytes()) // a reader that has gone needs no answer
	return nil
}

// scrape makes the whole answer before any of it is sent: a reader that stops
// reading takes no turn from others.
func (m *Meter) scrape(r *http.Request) (*answer, error) {
	limit := time.NewTimer(limits.ScrapeTime)
	defer limit.Stop()
	select {
	case m.turns <- struct{}{}:
		defer func() { <-m.turns }()
	case <-limit.C:
		return nil, sallyport.Errorf(sallyport.CodePlatformUnavailable, "too many ask for the metrics; try again in a moment")
	case <-r.Context().Done():
		return nil, context.Cause(r.Context())
	}
	a := &answer{header: http.Header{}, status: http.StatusOK}
	m.page.ServeHTTP(a, r)
	return a, nil
}

// answer is an http.ResponseWriter in memory.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(p []byte) (int, error) { return a.body.Write(p) }
