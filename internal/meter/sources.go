package meter

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sallyport/internal/bus"
	"sallyport/internal/connector/eic"
	"sallyport/internal/gateway"
)

// Sources are asked at each scrape. None of their functions may be nil.
type Sources struct {
	Gateway func() gateway.Stats
	Bus     func() bus.Stats
	EIC     func() eic.Stats
	// PingStore tells whether the store can answer and write, within a bounded time.
	PingStore func() error
	// StoreBytes is the size of each of the store's files, in bytes.
	StoreBytes func() (map[string]int64, error)
	// LogLost is how many lines of the log were dropped.
	LogLost func() uint64
}

// Watch has sources asked at every scrape from now on. It is called once.
func (m *Meter) Watch(from Sources) { m.registry.MustRegister(newAsked(from)) }

// asked is a collector of what is asked for at a scrape.
type asked struct {
	from  Sources
	descs map[string]*prometheus.Desc // by the series' name
}

func newAsked(from Sources) *asked {
	a := &asked{from: from, descs: map[string]*prometheus.Desc{}}
	for _, s := range []series{
		execsRunning, actsRunning, terminalWatchers, terminalResumes, recordingBytes, sshMachines, sshConnections, sshDialing, sshSessions, sshWaiters, auditQueue, auditKept, auditSetAside,
		eicTunnels, eicWaiters, eicFull, awsFailures,
		storeUp, storePing, storeSize, busConnected, busSent, busReceived,
		feedOrganisations, feedReaders, feedDelivered, feedSlow, draining, logLost,
	} {
		a.descs[s.name] = prometheus.NewDesc(s.name, s.help, s.labels, nil)
	}
	return a
}

// Describe implements prometheus.Collector.
func (a *asked) Describe(to chan<- *prometheus.Desc) {
	for _, d := range a.descs {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (a *asked) Collect(to chan<- prometheus.Metric) {
	tell := func(s series, value float64, labels ...string) {
		kind := prometheus.GaugeValue
		if s.kind == counter {
			kind = prometheus.CounterValue
		}
		to <- prometheus.MustNewConstMetric(a.descs[s.name], kind, value, labels...)
	}
	g := a.from.Gateway()
	tell(execsRunning, float64(g.Execs))
	tell(actsRunning, float64(g.Transfers), "file")
	tell(actsRunning, float64(g.Terminals), "terminal")
	tell(actsRunning, float64(g.Forwards), "forward")
	tell(terminalWatchers, float64(g.Watchers))
	tell(terminalResumes, float64(g.Resumes))
	tell(recordingBytes, float64(g.RecordedBytes))
	tell(draining, truth(g.Draining))
	tell(logLost, float64(a.from.LogLost()))
	tell(sshMachines, float64(g.Pool.Machines))
	tell(sshConnections, float64(g.Pool.Connections))
	tell(sshDialing, float64(g.Pool.Dialing))
	tell(sshSessions, float64(g.Pool.Sessions))
	tell(sshWaiters, float64(g.Pool.Waiters))
	tell(auditQueue, float64(g.Audit.Queued))
	tell(auditKept, float64(g.Audit.Kept))
	tell(auditSetAside, float64(g.Audit.SetAside))
	tell(feedOrganisations, float64(g.Feed.Organisations))
	tell(feedReaders, float64(g.Feed.Readers))
	tell(feedDelivered, float64(g.Feed.Delivered))
	tell(feedSlow, float64(g.Feed.Slow))
	e := a.from.EIC()
	tell(eicTunnels, float64(e.Tunnels))
	tell(eicWaiters, float64(e.Waiters))
	tell(eicFull, float64(e.EndpointsFull))
	for failure, n := range e.Failed {
		tell(awsFailures, float64(n), failure.Action, failure.Reason)
	}
	b := a.from.Bus()
	tell(busConnected, truth(b.Connected))
	tell(busSent, float64(b.Sent))
	tell(busReceived, float64(b.Received))
	a.collectStore(to, tell)
}

func (a *asked) collectStore(to chan<- prometheus.Metric, tell func(series, float64, ...string)) {
	began := time.Now()
	err := a.from.PingStore()
	tell(storeUp, truth(err == nil))
	tell(storePing, time.Since(began).Seconds())
	files, err := a.from.StoreBytes()
	if err != nil {
		to <- prometheus.NewInvalidMetric(a.descs[storeSize.name], err) // the log tells it
	}
	for file, size := range files {
		tell(storeSize, float64(size), file)
	}
}

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
