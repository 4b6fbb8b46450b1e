package meter

import (
	"fmt"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// series is one name of the metrics. The reference is made of all there are.
type series struct {
	name, kind string
	labels     []string
	help       string
	buckets    []float64
}

// Kinds of series.
const (
	counter   = "counter"
	gauge     = "gauge"
	histogram = "histogram"
)

// The series, in the order of the reference. Names of rooms are as in ARCHITECTURE.md.
var (
	httpRequests = series{name: "sallyport_http_requests_total", kind: counter, labels: []string{"route", "method", "status"},
		help: "HTTP requests that were answered, by the pattern of their route (none: of no route), method (other: one that the route does not take) and class of status (none: cut before it was sent)."}
	httpDurations = series{name: "sallyport_http_request_duration_seconds", kind: histogram, labels: []string{"route", "method"}, buckets: callSeconds(),
		help: "Time from a request's header to the end of its answer; a stream of events takes as long as it is followed."}
	httpInFlight = series{name: "sallyport_http_requests_in_flight", kind: gauge,
		help: "HTTP requests that are being answered."}

	execDurations = series{name: "sallyport_exec_duration_seconds", kind: histogram, labels: []string{"outcome"}, buckets: callSeconds(),
		help: "Time of the execs that left a row, from their request's body to the row's completion, by outcome: ok, error (an exit that is not 0, or a signal), timeout, canceled, a reason of the server's for canceling (revoked, workspace_deleted, draining), or the code of what failed."}
	execRefusals = series{name: "sallyport_exec_refusals_total", kind: counter, labels: []string{"code"},
		help: "Execs with a valid request that were refused before their row was on disk, by code."}
	execsRunning = series{name: "sallyport_execs_running", kind: gauge,
		help: "Execs on their way, from the decision to their row's completion."}
	execReach = series{name: "sallyport_exec_reach_duration_seconds", kind: histogram, labels: []string{"connector", "connection"}, buckets: stepSeconds(),
		help: "Time until an exec had a session on its machine, by the connector's type and by whether it was had at once (warm) or waited for a dial or for another session's end (cold)."}
	execStart = series{name: "sallyport_exec_start_duration_seconds", kind: histogram, buckets: stepSeconds(),
		help: "Time from an exec's request, its body read, to the start of its command on the machine."}
	execOutput = series{name: "sallyport_exec_output_bytes_total", kind: counter, labels: []string{"stream"},
		help: "What commands wrote, by stream (stdout, stderr), whatever the caps let through."}

	actDurations = series{name: "sallyport_act_duration_seconds", kind: histogram, labels: []string{"kind", "outcome"}, buckets: callSeconds(),
		help: "Time of the acts on machines that left a row, but for execs, by kind (file, terminal, forward, diagnosed) and outcome: ok, canceled, a reason of the server's for canceling, or the code of what failed. A transfer takes as long as its content, a terminal or a forward as long as it is used."}
	actRefusals = series{name: "sallyport_act_refusals_total", kind: counter, labels: []string{"kind", "code"},
		help: "Acts but for execs that were refused before their row was on disk, by kind and code."}
	actsRunning = series{name: "sallyport_acts_running", kind: gauge, labels: []string{"kind"},
		help: "Acts but for execs on their way, by kind (file, terminal, forward), from the decision to their row's completion: also terminals whose client is lost."}
	actBytes = series{name: "sallyport_act_bytes_total", kind: counter, labels: []string{"kind", "direction"},
		help: "What terminals and forwards have carried, by kind and direction (input, to the machine; output), counted when each is over."}
	terminalWatchers = series{name: "sallyport_terminal_watchers", kind: gauge,
		help: "Those who watch a terminal of this server."}
	terminalResumes = series{name: "sallyport_terminal_resumes_total", kind: counter,
		help: "How often a client came again to its terminal, also for its exit alone."}
	recordingBytes = series{name: "sallyport_recording_bytes_total", kind: counter,
		help: "What was recorded of terminals, in asciicast, before it is sealed."}

	sshMachines = series{name: "sallyport_ssh_machines", kind: gauge,
		help: "Machines that the pool has, dials or waits for connections to."}
	sshConnections = series{name: "sallyport_ssh_connections", kind: gauge,
		help: "SSH connections that are open, busy or idle."}
	sshDialing = series{name: "sallyport_ssh_dialing", kind: gauge,
		help: "SSH connections on their way."}
	sshSessions = series{name: "sallyport_ssh_sessions", kind: gauge,
		help: "Sessions on SSH connections that are busy."}
	sshWaiters = series{name: "sallyport_ssh_waiters", kind: gauge,
		help: "Callers that wait for a session."}
	dialDurations = series{name: "sallyport_ssh_dial_duration_seconds", kind: histogram, buckets: stepSeconds(),
		help: "Time of the dials that succeeded, until the connection was authenticated."}
	dialFailures = series{name: "sallyport_ssh_dial_failures_total", kind: counter, labels: []string{"code"},
		help: "Dials that failed, by code."}

	eicTunnels = series{name: "sallyport_eic_tunnels", kind: gauge,
		help: "Tunnels through EC2 Instance Connect Endpoints that are open, or being opened. An endpoint has 20 for all of its VPC."}
	eicWaiters = series{name: "sallyport_eic_tunnel_waiters", kind: gauge,
		help: "Connections that wait for a tunnel to be free."}
	eicFull = series{name: "sallyport_eic_endpoints_full", kind: gauge,
		help: "Endpoints that take no more tunnels of this server now."}
	awsFailures = series{name: "sallyport_aws_failures_total", kind: counter, labels: []string{"action", "reason"},
		help: "Requests to AWS that failed, those that were tried again too, by IAM action and by reason, as callers are told it."}

	commitDurations = series{name: "sallyport_audit_commit_duration_seconds", kind: histogram, labels: []string{"durable"}, buckets: commitSeconds(),
		help: "Time of the activity log's commits, failed ones too, by whether they waited for the disk (true: a row was begun) or not (false: completions alone)."}
	commitRows = series{name: "sallyport_audit_commit_rows", kind: histogram, buckets: prometheus.ExponentialBuckets(1, 2, 9),
		help: "Rows that were written or completed in one commit of the activity log."}
	commitFailures = series{name: "sallyport_audit_commit_failures_total", kind: counter,
		help: "Commits of the activity log that failed: rows to begin are refused, completions are kept and tried again."}
	auditQueue = series{name: "sallyport_audit_queue_rows", kind: gauge,
		help: "Rows, and completions of rows, that wait for a commit."}
	auditKept = series{name: "sallyport_audit_kept_rows", kind: gauge,
		help: "Completions of rows on which a commit has failed, and which are tried again."}
	auditSetAside = series{name: "sallyport_audit_rows_set_aside_total", kind: counter,
		help: "Rows, and ends of rows, that the store refuses for what is in them. The log says which."}

	storeUp = series{name: "sallyport_store_up", kind: gauge,
		help: "Whether the store answered and could write when this was asked (1), or not (0)."}
	storePing = series{name: "sallyport_store_ping_duration_seconds", kind: gauge,
		help: "Time that the store took to answer when this was asked."}
	storeSize = series{name: "sallyport_store_size_bytes", kind: gauge, labels: []string{"file"},
		help: "Size of the store on the disk, by file: database, or log (the write-ahead log)."}

	busConnected = series{name: "sallyport_bus_connected", kind: gauge,
		help: "Whether notices between those who change something and those who wait for it arrive (1), or not (0)."}
	busSent = series{name: "sallyport_bus_notices_sent_total", kind: counter,
		help: "Notices that this process gave."}
	busReceived = series{name: "sallyport_bus_notices_received_total", kind: counter,
		help: "Notices that reached a listener in this process."}

	feedOrganisations = series{name: "sallyport_feed_organisations", kind: gauge,
		help: "Organisations whose events are followed."}
	feedReaders = series{name: "sallyport_feed_readers", kind: gauge,
		help: "Readers that follow events."}
	feedDelivered = series{name: "sallyport_feed_events_delivered_total", kind: counter,
		help: "Events that readers were given; one that two readers get counts twice."}
	feedSlow = series{name: "sallyport_feed_slow_readers_total", kind: counter,
		help: "Readers that were cut because they fell too far behind."}

	logLost = series{name: "sallyport_log_lines_lost_total", kind: counter,
		help: "Lines of the log that were dropped, since the log's reader was too slow or could not be written to."}
	draining = series{name: "sallyport_draining", kind: gauge,
		help: "Whether the server is ending and takes no new execs (1), or not (0)."}
	buildInfo = series{name: "sallyport_build_info", kind: gauge, labels: []string{"version", "go_version"},
		help: "Always 1; the labels tell which program this is."}
)

// all lists the series above.
func all() []series {
	return []series{
		httpRequests, httpDurations, httpInFlight,
		execDurations, execRefusals, execsRunning, execReach, execStart, execOutput,
		actDurations, actRefusals, actsRunning, actBytes, terminalWatchers, terminalResumes, recordingBytes,
		sshMachines, sshConnections, sshDialing, sshSessions, sshWaiters, dialDurations, dialFailures,
		eicTunnels, eicWaiters, eicFull, awsFailures,
		commitDurations, commitRows, commitFailures, auditQueue, auditKept, auditSetAside,
		storeUp, storePing, storeSize,
		busConnected, busSent, busReceived,
		feedOrganisations, feedReaders, feedDelivered, feedSlow,
		draining, logLost, buildInfo,
	}
}

// callSeconds reach from a warm exec to the longest time-out.
func callSeconds() []float64 {
	return []float64{.0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 125}
}

// stepSeconds reach from a session on a warm connection to the budget for reaching
// a machine.
func stepSeconds() []float64 {
	return []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 15}
}

// commitSeconds reach from a commit in memory to the time at which one is given up.
func commitSeconds() []float64 {
	return []float64{.00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10}
}

// table makes series in a registry.
type table struct{ registry *prometheus.Registry }

func (t *table) counter(s series) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: s.name, Help: s.help}, s.labels)
	t.registry.MustRegister(v)
	return v
}

func (t *table) gauge(s series) *prometheus.GaugeVec {
	v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: s.name, Help: s.help}, s.labels)
	t.registry.MustRegister(v)
	return v
}

func (t *table) histogram(s series) *prometheus.HistogramVec {
	v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: s.name, Help: s.help, Buckets: s.buckets}, s.labels)
	t.registry.MustRegister(v)
	return v
}

const referenceIntro = `# Metrics

<!-- Made from the table of series in internal/meter/series.go: go test ./internal/meter -run Reference -update -->

` + "`GET /metrics`" + ` tells them to Prometheus, on the address that everything is served on and to anyone who can reach it,
or on an address of their own where ` + "`metrics.listen`" + ` names one. A dashboard and alerts are in [deploy](../deploy).

- No series names an organisation, a workspace, a token, a machine, a path as it was asked for, or anything else that
  a caller chose: what a tenant did is in its activity log. So the number of series has a bound.
- Durations are in seconds, sizes in bytes. A histogram has a ` + "`_bucket`, a `_sum` and a `_count`" + `.
- All of it is about this process since its start, but for the store's, which its replicas share.
- ` + "`go_*` and `process_*`" + ` besides are the runtime's and the process's own, as the Go client of Prometheus has them.

| series | type | labels | meaning |
|---|---|---|---|
`

// Reference returns the reference of every series, in Markdown.
func Reference() string {
	var b strings.Builder
	b.WriteString(referenceIntro)
	for _, s := range all() {
		labels := make([]string, len(s.labels))
		for i, label := range s.labels {
			labels[i] = "`" + label + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", s.name, s.kind, strings.Join(labels, ", "), s.help)
	}
	return b.String()
}
