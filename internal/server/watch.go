package server

import (
	"context"
	"net"
	"net/http"

	"sallyport/internal/gateway"
	"sallyport/internal/httpapi"
	"sallyport/internal/limits"
	"sallyport/internal/meter"
	"sallyport/internal/tracing"
)

// watch holds the meter and the tracer of a server.
type watch struct {
	meter *meter.Meter
	// listener is that of the metrics alone; nil where they share the server's.
	listener net.Listener
	// tracer is nil where nobody collects traces.
	tracer *tracing.Tracer
}

// openWatch makes what watches. It comes before all that is watched, and so ends
// behind it.
func (s *server) openWatch(ctx context.Context) error {
	s.watch.meter = meter.New(s.options.Version, s.log)
	if s.cfg.MetricsListen != "" {
		listener, err := s.take(s.cfg.MetricsListen, "choose another address for "+"metrics.listen")
		if err != nil {
			return err
		}
		s.watch.listener = listener
	}
	if s.cfg.TracesEndpoint == "" {
		return nil
	}
	tracer, err := tracing.Open(ctx, tracing.Options{Endpoint: s.cfg.TracesEndpoint, Version: s.options.Version, Log: s.log})
	if err != nil {
		return err
	}
	s.watch.tracer = tracer
	s.onClose(s.closeTracer)
	return nil
}

// closeTracer sends the last spans. That nobody takes them is no fault of a server
// that has ended well.
func (s *server) closeTracer() error {
	ctx, cancel := context.WithTimeout(context.Background(), limits.SpansEndTime)
	defer cancel()
	if err := s.watch.tracer.Close(ctx); err != nil {
		s.log.Warn("traces", "error", err)
	}
	return nil
}

// watchAct is told of each act on a machine.
func (s *server) watchAct(ctx context.Context, r *gateway.ActReport) {
	s.watch.meter.Act(r)
	if s.watch.tracer != nil {
		s.watch.tracer.Act(ctx, r)
	}
}

// watchRequests is told of each request.
func (s *server) watchRequests() httpapi.Watch {
	m, tracer := s.watch.meter, s.watch.tracer
	return httpapi.Watch{
		Began: func(r *http.Request) (context.Context, string) {
			m.RequestBegan()
			if tracer == nil {
				return r.Context(), ""
			}
			return tracer.Began(r)
		},
		Answered: func(ctx context.Context, a httpapi.Answered) {
			m.RequestAnswered(a.Route, a.Method, a.Status, a.Took)
			if tracer != nil {
				tracer.Answered(ctx, tracing.Answered(a))
			}
		},
	}
}

// watchSources has the metrics ask what was built.
func (s *server) watchSources() {
	s.watch.meter.Watch(meter.Sources{
		Gateway: s.gateway.Stats, Bus: s.bus.Stats, EIC: s.eic.Stats, StoreBytes: s.storeBytes, LogLost: s.logLost,
		PingStore: func() error {
			ctx, cancel := context.WithTimeout(context.Background(), limits.ReadyTime)
			defer cancel()
			return s.store.Ping(ctx)
		},
	})
}

// sharedMetrics answers GET /metrics where everything is served; nil where the
// metrics have a listener of their own.
func (s *server) sharedMetrics() func(http.ResponseWriter, *http.Request) error {
	if s.watch.listener != nil {
		return nil
	}
	return s.watch.meter.Serve
}

// serveMetrics answers scrapes on their own listener, if they have one, until the
// server is closed: while it drains, too. It returns the URL.
func (s *server) serveMetrics() string {
	if s.watch.listener == nil {
		return ""
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		if err := s.watch.meter.Serve(w, r); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
	web := httpapi.Server(mux, s.log, httpapi.Times{})
	connections := &httpapi.Connections{Most: limits.ScrapeConnectionsMax, Log: s.log}
	web.ConnState = connections.State
	listener := connections.Listen(s.watch.listener)
	web.WriteTimeout = limits.ScrapeTime + limits.AnswerWriteTime
	ended := make(chan error, 1)
	go func() {
		err := served(web.Serve(listener))
		if err != nil {
			s.log.Error("the metrics are not served any more", "error", err)
		}
		ended <- err
	}()
	s.onClose(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), limits.ShutdownTime)
		defer cancel()
		if err := web.Shutdown(ctx); err != nil {
			_ = web.Close() // the listener is closed; the connections are given up
		}
		return <-ended
	})
	return "http://" + s.watch.listener.Addr().String() + "/metrics"
}
