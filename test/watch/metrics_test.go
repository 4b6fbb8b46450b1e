package watch

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"

	"sallyport/internal/config"
	"sallyport/internal/server"
	"sallyport/test/stack"
)

// TestMetricsOfExecs: each exec and each refusal counts where it belongs, once, and
// nothing that a caller said is to be found.
func TestMetricsOfExecs(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	before := scrapeOf(t, s)
	var planted flock
	ids := planted.runAll(t, s, func(*http.Request) {})
	// A request is counted when its answer has left, which its caller may see first.
	await(t, "all requests to be counted", func() bool { return scrapeOf(t, s).value("sallyport_http_requests_in_flight") == 1 })
	page := s.Do(t, http.MethodGet, "/metrics", "", "").Body
	after := parseScrape(t, page)
	grown := func(name string, labels ...string) float64 {
		return after.value(name, labels...) - before.value(name, labels...)
	}
	for _, outcome := range []string{"ok", "error", "timeout", "canceled", "invalid_cwd"} {
		if n := grown("sallyport_exec_duration_seconds", "outcome", outcome); n != 1 {
			t.Errorf("%v execs with outcome %s, want 1", n, outcome)
		}
	}
	for code, want := range map[string]float64{"scope_forbidden": 1, "workspace_has_no_host": 1, "workspace_not_found": 1, "unauthenticated": 0} {
		if n := grown("sallyport_exec_refusals_total", "code", code); n != want {
			t.Errorf("%v refusals with %s, want %v", n, code, want)
		}
	}
	exec := []string{"method", "POST", "route", "/workspaces/{workspace}/exec"}
	for status, want := range map[string]float64{"2xx": 2, "4xx": 5, "5xx": 1} {
		if n := grown("sallyport_http_requests_total", append(exec, "status", status)...); n < want || n > want+1 { // what the canceled one was told, nobody knows
			t.Errorf("%v requests answered %s, want %v", n, status, want)
		}
	}
	for name, want := range map[string]float64{
		"sallyport_ssh_dial_duration_seconds":   1,
		"sallyport_audit_commit_failures_total": 0,
		"sallyport_execs_running":               0,
		"sallyport_ssh_connections":             1,
		"sallyport_audit_queue_rows":            0,
		"sallyport_bus_connected":               0,
		"sallyport_feed_events_delivered_total": 0,
		"sallyport_audit_kept_rows":             0,
		"sallyport_store_up":                    0,
		"sallyport_ssh_waiters":                 0,
		"sallyport_feed_slow_readers_total":     0,
	} {
		if n := grown(name); n != want {
			t.Errorf("%s grew by %v, want %v", name, n, want)
		}
	}
	// invalid_cwd never started; of the canceled one the server may not have heard that.
	if n := grown("sallyport_exec_start_duration_seconds"); n != 4 && n != 3 {
		t.Errorf("%v execs have started, want 4 or 3", n)
	}
	reach := func(connection string) float64 {
		return grown("sallyport_exec_reach_duration_seconds", "connection", connection, "connector", "local")
	}
	if cold, warm := reach("cold"), reach("warm"); cold != 1 || warm != 4 {
		t.Errorf("%v cold and %v warm, want 1 and 4", cold, warm)
	}
	// Each of the four printed two canaries of 29 bytes with their newlines.
	if n := grown("sallyport_exec_output_bytes_total", "stream", "stdout"); n != 4*2*30 {
		t.Errorf("%v bytes of stdout, want %d", n, 4*2*30)
	}
	if n := grown("sallyport_audit_commit_rows"); n < 10 {
		t.Errorf("%v commits", n)
	}
	for _, id := range append([]string{s.OrgID, s.WorkspaceID, "127.0.0.1"}, ids["ok"], ids["timeout"], ids["canceled"]) {
		if strings.Contains(page, id) {
			t.Errorf("the scrape holds %s", id)
		}
	}
	planted.search(t, "the scrape", page)
}

// TestMetricsWhileRunning: what goes on is seen while it does.
func TestMetricsWhileRunning(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.Exec(t, `{"cmd":["sleep","1"]}`)
	}()
	await(t, "an exec to be seen", func() bool {
		now := scrapeOf(t, s)
		return now.value("sallyport_execs_running") == 1 && now.value("sallyport_ssh_sessions") == 1 &&
			now.value("sallyport_http_requests_in_flight") >= 2
	})
	<-ended
	await(t, "an exec to be gone", func() bool {
		now := scrapeOf(t, s)
		return now.value("sallyport_execs_running") == 0 && now.value("sallyport_ssh_sessions") == 0
	})
}

// TestMetricsOfUnreachable: a machine that can't be reached shows as such.
func TestMetricsOfUnreachable(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := stack.Start(t, stack.Options{DataDir: dir}).Stop(); err != nil {
		t.Fatal(err)
	}
	s := stack.Start(t, stack.Options{DataDir: dir, Env: map[string]string{"SALLYPORT_CONNECTORS_LOCAL_ENABLED": "false"}})
	if a := s.Exec(t, `{"cmd":["true"]}`); a.Status != http.StatusBadGateway {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	now := scrapeOf(t, s)
	for _, c := range []struct {
		name   string
		labels []string
		want   float64
	}{
		{"sallyport_exec_duration_seconds", []string{"outcome", "connect_failed"}, 1},
		{"sallyport_ssh_dial_failures_total", []string{"code", "connect_failed"}, 1},
		{"sallyport_ssh_dial_duration_seconds", nil, 0},
		{"sallyport_exec_reach_duration_seconds", []string{"connection", "cold", "connector", "local"}, 0},
		{"sallyport_exec_start_duration_seconds", nil, 0},
	} {
		if n := now.value(c.name, c.labels...); n != c.want {
			t.Errorf("%s%v is %v, want %v", c.name, c.labels, n, c.want)
		}
	}
}

// TestMetricsAreBounded: whatever paths and methods strangers ask for, no more
// series come of it than there are routes.
func TestMetricsAreBounded(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	ask := func(n int) {
		for i := range n {
			word := fmt.Sprintf("w%d-%d", i, rand.Int())
			for _, path := range []string{"/" + word, "/workspaces/" + word, "/workspaces/" + word + "/exec", "/orgs/" + word + "/tokens/" + word, "//" + word, "/workspaces/local/exec/" + word} {
				for _, method := range []string{http.MethodGet, http.MethodPost, "X" + strings.ToUpper(word), http.MethodConnect} {
					for _, token := range []string{"", s.Token} {
						s.Do(t, method, path, token, "{}")
					}
				}
			}
		}
	}
	ask(2)
	scrapeOf(t, s) // the next one knows of this one
	before := scrapeOf(t, s).size()
	ask(10)
	a := s.Do(t, http.MethodGet, "/metrics", "", "")
	after := parseScrape(t, a.Body)
	if after.size() != before {
		t.Errorf("%d lines, and %d after more of the same", before, after.size())
	}
	if after.value("sallyport_http_requests_total", "method", "other", "route", "none", "status", "4xx") == 0 {
		t.Error("requests of no route don't count")
	}
	if strings.Contains(a.Body, "w0-") || strings.Contains(a.Body, "W0-") {
		t.Error("the scrape holds a path or a method that a stranger made up")
	}
}

// TestMetricsListener: where the metrics have an address of their own, they are
// there alone, to the end of a drain.
func TestMetricsListener(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{Env: map[string]string{"SALLYPORT_METRICS_LISTEN": "127.0.0.1:0"}, Flags: map[string]string{"drain_timeout": "1m"}})
	for _, token := range []string{"", s.Token, s.AdminToken} {
		if a := s.Do(t, http.MethodGet, "/metrics", token, ""); a.Status != http.StatusNotFound || a.Code() != "not_found" {
			t.Errorf("on the server's own address: %d %s", a.Status, a.Body)
		}
	}
	address := strings.TrimSuffix(s.MetricsURL, "/metrics")
	own := func() scrape {
		t.Helper()
		status, page := ask(t, http.MethodGet, s.MetricsURL)
		if status != http.StatusOK {
			t.Fatalf("scrape: %d %s", status, page)
		}
		return parseScrape(t, page)
	}
	await(t, "the server's requests to be counted", func() bool {
		return own().value("sallyport_http_requests_total", "method", "GET", "route", "/metrics", "status", "4xx") == 3
	})
	for request, want := range map[string]int{"GET /": 404, "GET /healthz": 404, "GET /workspaces": 404, "GET /metrics/x": 404, "POST /metrics": 405} {
		method, path, _ := strings.Cut(request, " ")
		if status, _ := ask(t, method, address+path); status != want {
			t.Errorf("%s beside the metrics: %d, want %d", request, status, want)
		}
	}

	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.Exec(t, `{"cmd":["sleep","2"]}`)
	}()
	await(t, "an exec to run", func() bool { return own().value("sallyport_execs_running") == 1 })
	stopped := make(chan error, 1)
	go func() { stopped <- s.Stop() }()
	await(t, "a drain to be seen", func() bool {
		now := own()
		return now.value("sallyport_draining") == 1 && now.value("sallyport_execs_running") == 1
	})
	<-ended
	if err := <-stopped; err != nil {
		t.Errorf("stop: %v", err)
	}
	if conn, err := net.Dial("tcp", strings.TrimPrefix(address, "http://")); err == nil {
		conn.Close()
		t.Error("the metrics' address is still open")
	}
}

// ask asks another listener than the server's own, and reads what it says.
func ask(t *testing.T, method, url string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// TestMetricsListenerTaken: a taken port is an error of the start, before anything
// is served.
func TestMetricsListenerTaken(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	address := taken.Addr().String()
	loaded, err := config.Load(config.LoadOptions{
		Mode: config.ModeDev, Flags: map[string]string{"listen": "127.0.0.1:0", "data_dir": t.TempDir()},
		Env: func(name string) (string, bool) { return address, name == "SALLYPORT_METRICS_LISTEN" },
	})
	if err != nil {
		t.Fatal(err)
	}
	err = server.Run(t.Context(), loaded.Config, server.RunOptions{Ready: func(server.Ready) { t.Error("it serves") }})
	if err == nil || !strings.Contains(err.Error(), "listen on "+address) || !strings.Contains(err.Error(), "metrics.listen") {
		t.Errorf("start: %v", err)
	}
}

// TestMetricsOfEvents: who follows events is counted, and what is delivered.
func TestMetricsOfEvents(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	resp, err := client.Do(s.Request(t, http.MethodGet, "/workspaces/local/events", s.Token, ""))
	if err != nil {
		t.Fatal(err)
	}
	await(t, "a reader to be counted", func() bool {
		now := scrapeOf(t, s)
		return now.value("sallyport_feed_readers") == 1 && now.value("sallyport_feed_organisations") == 1
	})
	before := scrapeOf(t, s)
	s.Exec(t, `{"cmd":["true"]}`)
	await(t, "both events to be delivered", func() bool {
		return scrapeOf(t, s).value("sallyport_feed_events_delivered_total") == 2
	})
	after := scrapeOf(t, s)
	for _, name := range []string{"sallyport_bus_notices_sent_total", "sallyport_bus_notices_received_total"} {
		if after.value(name) <= before.value(name) {
			t.Errorf("%s did not grow", name)
		}
	}
	if n := after.value("sallyport_execs_running"); n != 0 {
		t.Errorf("a reader counts as %v execs", n)
	}
	if err := resp.Body.Close(); err != nil {
		t.Error(err)
	}
	await(t, "the reader to be gone", func() bool { return scrapeOf(t, s).value("sallyport_feed_readers") == 0 })
}
