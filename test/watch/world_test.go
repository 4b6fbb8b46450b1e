// Package watch holds what can be seen of a server from outside: its metrics, its
// traces, and what deploy/ makes of them.
package watch

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"go.uber.org/goleak"

	"sallyport/client/sallyport"
	_ "sallyport/test/apart"
	"sallyport/test/stack"
)

// scrape is the series of one moment.
type scrape map[string]*dto.MetricFamily

// parseScrape reads the text format.
func parseScrape(t testing.TB, text string) scrape {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatalf("scrape: %v", err)
	}
	return families
}

// scrapeOf asks a stack for its metrics, as anyone may.
func scrapeOf(t testing.TB, s *stack.Stack) scrape {
	t.Helper()
	a := s.Do(t, http.MethodGet, "/metrics", "", "")
	if a.Status != http.StatusOK {
		t.Fatalf("scrape: %d %s", a.Status, a.Body)
	}
	return parseScrape(t, a.Body)
}

// value is that of a counter or gauge with exactly these labels ("name", "value",
// …), or how often a histogram has observed. What isn't there is 0.
func (s scrape) value(name string, labels ...string) float64 {
	for _, m := range s[name].GetMetric() {
		if !slices.Equal(flat(m), labels) {
			continue
		}
		switch {
		case m.Counter != nil:
			return m.Counter.GetValue()
		case m.Gauge != nil:
			return m.Gauge.GetValue()
		}
		return float64(m.Histogram.GetSampleCount())
	}
	return 0
}

// flat is the labels of a metric, sorted by name.
func flat(m *dto.Metric) []string {
	var labels []string
	for _, l := range m.GetLabel() {
		labels = append(labels, l.GetName(), l.GetValue())
	}
	return labels
}

// size is how many lines there are of our own.
func (s scrape) size() int {
	n := 0
	for name, family := range s {
		if strings.HasPrefix(name, "sallyport_") {
			for _, m := range family.GetMetric() {
				n += 1 + len(m.GetHistogram().GetBucket())
			}
		}
	}
	return n
}

// names lists our own series, sorted.
func (s scrape) names() []string {
	return slices.Sorted(func(yield func(string) bool) {
		for name := range maps.Keys(s) {
			if strings.HasPrefix(name, "sallyport_") && !yield(name) {
				return
			}
		}
	})
}

// await waits until ok, which it asks again and again.
func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		case <-tick.C:
		}
	}
}

// create makes a resource as the admin.
func create[T any](t testing.TB, s *stack.Stack, path, body string) T {
	t.Helper()
	a := s.Do(t, http.MethodPost, path, s.AdminToken, body)
	if a.Status != http.StatusCreated {
		t.Fatalf("POST %s: %d %s", path, a.Status, a.Body)
	}
	var made T
	a.Decode(t, &made)
	return made
}

// flock is the canaries of one server: words that are to be found nowhere.
type flock struct {
	words map[string]string // by where each was planted
}

// bird is a new canary that was planted at a place.
func (f *flock) bird(place string) string {
	if f.words == nil {
		f.words = map[string]string{}
	}
	f.words[place] = "C4n" + rand.Text()
	return f.words[place]
}

// search fails for each canary that stands in text.
func (f *flock) search(t testing.TB, where, text string) {
	t.Helper()
	for place, word := range f.words {
		if strings.Contains(text, word) {
			t.Errorf("%s: the canary of %s is there", where, place)
		}
	}
}

// exec is the body of an exec whose every part holds a canary, and which runs
// script.
func (f *flock) exec(t testing.TB, script string, timeoutS int) string {
	t.Helper()
	body, err := json.Marshal(map[string]any{
		"cmd":       []string{"sh", "-c", "cat; echo $PLANTED; : " + f.bird("argv") + "; " + script},
		"env":       map[string]string{"PLANTED": f.bird("env value"), f.bird("env name"): "x"},
		"stdin":     f.bird("stdin") + "\n",
		"timeout_s": timeoutS,
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// runAll has a stack live through every outcome that an exec can have here, and
// through refusals, with canaries in all that a caller may say. It returns the ids
// of the rows, by outcome or code.
func (f *flock) runAll(t testing.TB, s *stack.Stack, decorate func(*http.Request)) map[string]string {
	t.Helper()
	none := create[sallyport.Workspace](t, s, "/workspaces", `{"org_id":"`+s.OrgID+`","name":"`+strings.ToLower(f.bird("workspace's name"))+`"}`)
	f.words["workspace's name"] = none.Name
	weak := create[sallyport.Token](t, s, "/orgs/"+s.OrgID+"/tokens", `{"name":"`+f.bird("token's name")+`","scopes":["audit:read"]}`)
	f.words["token"], f.words["token's prefix"] = weak.Secret, weak.Prefix
	f.words["stack's token"], f.words["admin token"] = s.Token, s.AdminToken
	ids := map[string]string{}
	run := func(outcome, workspace, token, body string, status int) {
		t.Helper()
		req := s.Request(t, http.MethodPost, "/workspaces/"+workspace+"/exec?x="+f.bird("query"), token, body)
		req.Header.Set("X-Planted", f.bird("header"))
		req.Header.Set("User-Agent", f.bird("user agent"))
		decorate(req)
		a := s.Send(t, req)
		if a.Status != status {
			t.Fatalf("%s: %d %s", outcome, a.Status, a.Body)
		}
		ids[outcome] = a.Header.Get(sallyport.HeaderExecID)
	}
	run("ok", "local", s.Token, f.exec(t, "true", 0), http.StatusOK)
	run("error", "local", s.Token, f.exec(t, "exit 3", 0), http.StatusOK)
	run("timeout", "local", s.Token, f.exec(t, "exec sleep 600", 1), http.StatusGatewayTimeout)
	run("invalid_cwd", "local", s.Token, `{"cmd":["true"],"cwd":"/`+f.bird("cwd")+`"}`, http.StatusUnprocessableEntity)
	run("scope_forbidden", "local", weak.Secret, f.exec(t, "true", 0), http.StatusForbidden)
	run("workspace_has_no_host", none.Name, s.Token, f.exec(t, "true", 0), http.StatusBadRequest)
	run("workspace_not_found", f.bird("path"), s.Token, f.exec(t, "true", 0), http.StatusNotFound)
	run("unauthenticated", "local", "sp_org_"+f.bird("bad token"), f.exec(t, "true", 0), http.StatusUnauthorized)
	ids["canceled"] = f.cancel(t, s, decorate)
	return ids
}

// cancel runs a command whose caller goes away.
func (f *flock) cancel(t testing.TB, s *stack.Stack, decorate func(*http.Request)) (id string) {
	t.Helper()
	marker := filepath.Join(t.TempDir(), "up")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req := s.Request(t, http.MethodPost, "/workspaces/local/exec", s.Token, f.exec(t, "touch "+marker+"; exec sleep 600", 60)).WithContext(ctx)
	decorate(req)
	answered := make(chan error, 1)
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	go func() {
		resp, err := client.Do(req)
		if err == nil {
			err = resp.Body.Close()
		}
		answered <- err
	}()
	await(t, "a command to run", func() bool { matches, _ := filepath.Glob(marker); return matches != nil })
	cancel()
	if err := <-answered; err == nil {
		t.Error("the canceled exec was answered")
	}
	await(t, "a row to be canceled", func() bool {
		rows := s.Rows(t, "type=workspace_exec&status=canceled")
		if len(rows) > 0 {
			id = rows[0].ID
		}
		return id != ""
	})
	return id
}

// AWS's SDK reads the environment of the process: for every test here AWS is where
// nobody listens.
func TestMain(m *testing.M) {
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "none", "AWS_EC2_METADATA_DISABLED": "true",
	} {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m)
}
