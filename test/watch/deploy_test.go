package watch

import (
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/VictoriaMetrics/metricsql"
	"go.yaml.in/yaml/v3"

	"sallyport/internal/config"
	"sallyport/internal/limits"
	"sallyport/test/stack"
)

const deployDir = "../../deploy"

// lived is the scrape of a server that has seen something of everything.
func lived(t *testing.T) scrape {
	t.Helper()
	s := stack.Start(t, stack.Options{Env: map[string]string{"SALLYPORT_EIC_REGION": "us-east-2", "SALLYPORT_LIMITS_CONNECT_TIMEOUT": "1s"}})
	var planted flock
	planted.runAll(t, s, func(*http.Request) {})
	// AWS is nowhere (TestMain).
	s.Do(t, http.MethodPost, "/workspaces", s.Token, `{"name":"ec2","tier":3,"connector":{"type":"eic","instance_id":"i-0123456789abcdef0"}}`)
	s.Do(t, http.MethodPost, "/workspaces/ec2/exec", s.Token, `{"cmd":["true"]}`)
	s.Do(t, http.MethodGet, "/workspaces/ec2/files", s.Token, "")
	s.Do(t, http.MethodPost, "/workspaces", s.Token, `{"name":"bare","tier":3}`)
	s.Do(t, http.MethodGet, "/workspaces/bare/files", s.Token, "")
	scrapeOf(t, s)
	return scrapeOf(t, s)
}

// TestReferenceIsExposed: the reference lists the series of a server that lives, and
// each of their labels, and nothing else.
func TestReferenceIsExposed(t *testing.T) {
	t.Parallel()
	now := lived(t)
	page := read(t, "../../docs/metrics.md")
	listed := map[string][]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| ([a-z]+) \\| (.*?) \\| (.*) \\|$").FindAllStringSubmatch(page, -1) {
		name, kind, labels, help := row[1], row[2], strings.NewReplacer("`", "", " ", "").Replace(row[3]), row[4]
		listed[name] = strings.Split(labels, ",")
		family := now[name]
		if family == nil {
			t.Errorf("%s is listed, and no server has it", name)
			continue
		}
		if got := strings.ToLower(family.GetType().String()); got != kind || family.GetHelp() != help {
			t.Errorf("%s is a %s (%s), and listed as a %s (%s)", name, got, family.GetHelp(), kind, help)
		}
		for _, m := range family.GetMetric() {
			var names []string
			for _, l := range m.GetLabel() {
				names = append(names, l.GetName())
			}
			if want := slices.DeleteFunc(slices.Sorted(slices.Values(listed[name])), func(l string) bool { return l == "" }); !slices.Equal(names, want) {
				t.Errorf("%s has labels %v, and is listed with %v", name, names, want)
			}
		}
	}
	if got, want := now.names(), slices.Sorted(maps.Keys(listed)); !slices.Equal(got, want) {
		t.Errorf("a server has\n%v\nlisted are\n%v", got, want)
	}
}

// checkQuery holds a query to the series and labels that there are, and to what
// Prometheus takes: the parser takes more.
func checkQuery(t *testing.T, now scrape, where, query string) {
	t.Helper()
	parsed, err := metricsql.Parse(query)
	if err != nil || metricsql.IsLikelyInvalid(parsed) {
		t.Errorf("%s: %s: %v", where, query, err)
		return
	}
	labels := map[string]bool{"job": true, "instance": true, "le": true}
	metricsql.VisitAll(parsed, func(e metricsql.Expr) {
		if selector, ok := e.(*metricsql.MetricExpr); ok {
			maps.Copy(labels, checkSelector(t, now, where, selector))
		}
	})
	metricsql.VisitAll(parsed, func(e metricsql.Expr) {
		switch e := e.(type) {
		case *metricsql.AggrFuncExpr:
			for _, label := range e.Modifier.Args {
				if !labels[label] {
					t.Errorf("%s: nothing that is summed has a label %s", where, label)
				}
			}
			if !slices.Contains([]string{"sum", "min", "max"}, e.Name) || e.Limit != 0 {
				t.Errorf("%s: is %s one of Prometheus's aggregations? Then add it here", where, e.Name)
			}
		case *metricsql.FuncExpr:
			_, overRange := e.Args[0].(*metricsql.RollupExpr)
			if want, ok := map[string]bool{"rate": true, "increase": true, "changes": true, "histogram_quantile": false}[e.Name]; !ok || want != overRange {
				t.Errorf("%s: is %s one of Prometheus's functions, and its argument right? Then add it here", where, e.Name)
			}
		case *metricsql.BinaryOpExpr:
			if !slices.Contains([]string{"==", ">", "*", "/", "and", "or"}, e.Op) {
				t.Errorf("%s: is %s one of Prometheus's operators? Then add it here", where, e.Op)
			}
		}
	})
}

// checkSelector returns the labels of what is selected.
func checkSelector(t *testing.T, now scrape, where string, selector *metricsql.MetricExpr) map[string]bool {
	t.Helper()
	if len(selector.LabelFilterss) != 1 {
		t.Errorf("%s: %s: Prometheus takes one set of labels", where, selector.AppendString(nil))
		return nil
	}
	filters := selector.LabelFilterss[0]
	if len(filters) == 0 || filters[0].Label != "__name__" || filters[0].IsRegexp || filters[0].IsNegative {
		t.Errorf("%s: %s has no name", where, selector.AppendString(nil))
		return nil
	}
	name := filters[0].Value
	known := now.labelsOf(name)
	if known == nil && name != "up" { // Prometheus's own
		t.Errorf("%s: no server has %s", where, name)
		return nil
	}
	for _, f := range filters[1:] {
		if f.Label != "job" && f.Label != "instance" && !known[f.Label] {
			t.Errorf("%s: %s has no label %s", where, name, f.Label)
		}
	}
	return known
}

// labelsOf are the labels of what a query calls name; nil when there is no such
// series.
func (s scrape) labelsOf(name string) map[string]bool {
	family := s[name]
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if base, ok := strings.CutSuffix(name, suffix); ok && s[base].GetMetric() != nil && s[base].GetMetric()[0].Histogram != nil {
			family = s[base]
		}
	}
	if family == nil || family.GetName() == name && len(family.GetMetric()) > 0 && family.GetMetric()[0].Histogram != nil {
		return nil // a histogram has no series of its own name
	}
	labels := map[string]bool{}
	for _, m := range family.GetMetric() {
		for _, l := range m.GetLabel() {
			labels[l.GetName()] = true
		}
	}
	return labels
}

// dashboard is what the test asks of Grafana's.
type dashboard struct {
	Panels []struct {
		ID      int
		Type    string
		Title   string
		GridPos struct{ X, Y, W, H int }
		Targets []struct{ Expr string }
	}
	Templating struct {
		List []struct{ Name, Definition string }
	}
}

// TestDashboard: every query of the dashboard asks for what there is.
func TestDashboard(t *testing.T) {
	t.Parallel()
	now := lived(t)
	var board dashboard
	if err := json.Unmarshal([]byte(read(t, deployDir+"/grafana/dashboard.json")), &board); err != nil {
		t.Fatal(err)
	}
	variables := strings.NewReplacer("$__rate_interval", "5m", "$job", ".*", "$instance", ".*")
	ids, places, queries := map[int]bool{}, map[[2]int]bool{}, 0
	for _, p := range board.Panels {
		if at := [2]int{p.GridPos.X, p.GridPos.Y}; ids[p.ID] || places[at] {
			t.Errorf("panel %q has the number or the place of another", p.Title)
		} else {
			ids[p.ID], places[at] = true, true
		}
		if p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("panel %q is wider than the page", p.Title)
		}
		for _, target := range p.Targets {
			queries++
			checkQuery(t, now, "panel "+p.Title, variables.Replace(target.Expr))
		}
		if len(p.Targets) == 0 && p.Type != "row" {
			t.Errorf("panel %q asks for nothing", p.Title)
		}
	}
	for _, v := range board.Templating.List {
		if inner, ok := strings.CutPrefix(v.Definition, "label_values("); ok {
			selector, _, _ := strings.Cut(inner, ", ")
			checkQuery(t, now, "variable "+v.Name, variables.Replace(selector))
		}
	}
	if queries < 30 {
		t.Errorf("only %d queries were found", queries)
	}
}

// rules is a file of rules, as Prometheus has it.
type rules struct {
	Groups []struct {
		Name  string
		Rules []struct {
			Alert       string
			Expr        string
			For         string
			Labels      map[string]string
			Annotations map[string]string
		}
	}
}

// TestRules: every alert parses, asks for what there is, and tells what to do.
func TestRules(t *testing.T) {
	t.Parallel()
	now := lived(t)
	var file rules
	decoder := yaml.NewDecoder(strings.NewReader(read(t, deployDir+"/prometheus/rules.yaml")))
	decoder.KnownFields(true)
	if err := decoder.Decode(&file); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, group := range file.Groups {
		for _, rule := range group.Rules {
			if seen[rule.Alert] || !strings.HasPrefix(rule.Alert, "Sallyport") {
				t.Errorf("alert %q is there twice, or not ours by its name", rule.Alert)
			}
			seen[rule.Alert] = true
			checkQuery(t, now, rule.Alert, rule.Expr)
			if _, err := time.ParseDuration(rule.For); rule.For != "" && err != nil {
				t.Errorf("%s: for: %v", rule.Alert, err)
			}
			if s := rule.Labels["severity"]; s != "page" && s != "ticket" {
				t.Errorf("%s: severity %q", rule.Alert, s)
			}
			for _, name := range []string{"summary", "description"} {
				checkText(t, rule.Alert+" "+name, rule.Annotations[name])
			}
		}
	}
	if len(seen) < 10 {
		t.Errorf("only %d alerts were found", len(seen))
	}
}

// checkText expands the text of an alert as Prometheus would.
func checkText(t *testing.T, where, text string) {
	t.Helper()
	same := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	parsed, err := template.New("").Option("missingkey=error").
		Funcs(template.FuncMap{"humanize": same, "humanizeDuration": same}).
		Parse("{{$labels := .Labels}}{{$value := .Value}}" + text)
	var b strings.Builder
	if err == nil {
		err = parsed.Execute(&b, map[string]any{"Labels": map[string]string{"instance": "i", "job": "sallyport"}, "Value": 1.5})
	}
	if err != nil || b.Len() == 0 {
		t.Errorf("%s: %q: %v", where, text, err)
	}
}

// TestUnit: the unit starts the program as it is to be started, and gives it the
// time that its configuration asks for.
func TestUnit(t *testing.T) {
	t.Parallel()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(strings.Repeat("x", 40)), 0o600); err != nil {
		t.Fatal(err)
	}
	loaded, err := config.Load(config.LoadOptions{
		Mode: config.ModeServer, File: deployDir + "/systemd/server.yaml",
		Env: func(name string) (string, bool) { return token, name == "SALLYPORT_ADMIN_TOKEN_FILE" },
	})
	if err != nil {
		t.Fatal(err)
	}
	unit := read(t, deployDir+"/systemd/sallyport.service")
	for _, line := range []string{
		"ExecStart=/usr/local/bin/sallyport server --config /etc/sallyport/server.yaml",
		"Environment=SALLYPORT_ADMIN_TOKEN_FILE=%d/admin_token", "KillSignal=SIGTERM",
	} {
		if !strings.Contains(unit, "\n"+line+"\n") {
			t.Errorf("the unit lacks %s", line)
		}
	}
	stop, err := time.ParseDuration(regexp.MustCompile(`\nTimeoutStopSec=(\S+)\n`).FindStringSubmatch(unit)[1])
	if err != nil {
		t.Fatal(err)
	}
	if need := loaded.Config.DrainTimeout + limits.DrainEndTime + limits.ShutdownTime + limits.SpansEndTime; stop < need {
		t.Errorf("the unit kills after %s, and an end takes up to %s", stop, need)
	}
	if loaded.Config.DataDir != "/var/lib/sallyport" || !strings.Contains(unit, "\nStateDirectory=sallyport\n") {
		t.Errorf("data is kept in %s", loaded.Config.DataDir)
	}
	var job struct {
		Jobs []struct {
			Name    string                       `yaml:"job_name"`
			Targets []struct{ Targets []string } `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
	}
	if err := yaml.Unmarshal([]byte(read(t, deployDir+"/prometheus/scrape.yaml")), &job); err != nil {
		t.Fatal(err)
	}
	if len(job.Jobs) != 1 || job.Jobs[0].Name != "sallyport" || job.Jobs[0].Targets[0].Targets[0] != loaded.Config.MetricsListen {
		t.Errorf("the scrape %+v is not of %s", job, loaded.Config.MetricsListen)
	}
}

func read(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
