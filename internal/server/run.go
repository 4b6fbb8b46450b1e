// Package server builds everything and wires it: it is the one place where the
// parts of a running Sallyport meet, are started, drained, and stopped in reverse.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/client/sallyport"
	"sallyport/internal/access"
	"sallyport/internal/administration"
	"sallyport/internal/audit"
	"sallyport/internal/bus"
	"sallyport/internal/config"
	"sallyport/internal/connector"
	"sallyport/internal/connector/eic"
	"sallyport/internal/connector/local"
	"sallyport/internal/connector/ssh"
	"sallyport/internal/datadir"
	"sallyport/internal/fairqueue"
	"sallyport/internal/feed"
	"sallyport/internal/gateway"
	"sallyport/internal/httpapi"
	"sallyport/internal/identity"
	"sallyport/internal/keys"
	"sallyport/internal/limits"
	"sallyport/internal/live"
	"sallyport/internal/policy"
	"sallyport/internal/quota"
	"sallyport/internal/replica"
	"sallyport/internal/sshpool"
	"sallyport/internal/store"
)

// RunOptions is what a run needs besides its configuration.
type RunOptions struct {
	Version string
	// ReadyFile appears, written whole, when the server can serve; empty for none.
	ReadyFile string
	// LogWriter takes the log; nil discards it. Whoever logs waits for it, so that it
	// must not wait for anybody itself: logqueue.Queue doesn't.
	LogWriter io.Writer
	// LogLost tells how many lines LogWriter has dropped; nil for none.
	LogLost func() uint64
	// Ready is called when the server can serve; it may be nil.
	Ready func(Ready)
	// Times bounds how long callers may take, for tests; zero is as limits has it.
	Times httpapi.Times
	// EndTime bounds how long an answer waits for the end of a command that is ended, for
	// tests; zero is limits.EndTimeMax.
	EndTime time.Duration
	// ForwardOpenTime is how long the target of a forward may take to take the connection, for
	// tests; zero is limits.ForwardOpenTime.
	ForwardOpenTime time.Duration
	// Interrupt, when closed, ends the server at once, also while it drains.
	Interrupt <-chan struct{}
	// SFTP is the argv of the embedded host's SFTP server, as sshhost.Config has it; nil is
	// none.
	SFTP []string
	// Home and LoginShell are those of the embedded host, for tests; empty is as the account of
	// this process has it.
	Home, LoginShell string
}

// Run serves until ctx is canceled, then drains: new execs are refused, running
// ones may end until the drain time-out, and the rest are canceled and recorded.
// It returns nil after that, and an error of one sentence when it could not start
// or had to stop. Everything it started has ended when it returns.
func Run(ctx context.Context, cfg config.Config, o RunOptions) (err error) {
	s := &server{cfg: cfg, options: o, log: NewLogger(cfg, o.LogWriter)}
	// Closed in reverse, whatever happens.
	defer func() { err = errors.Join(err, s.close()) }()
	s.onClose(raiseCollectorFloor())
	if err := s.open(ctx); err != nil {
		return err
	}
	ready, err := s.bootstrap(ctx)
	if err != nil {
		return err
	}
	recoverCtx, cancel := context.WithTimeout(ctx, limits.RecoverTime)
	defer cancel()
	if err := s.gateway.Recover(recoverCtx); err != nil {
		return err
	}
	if err := s.warnOfNobody(ctx); err != nil {
		return err
	}
	return s.serve(ctx, ready)
}

// warnOfNobody tells that nobody can use the server: only the admin makes the first
// organisation.
func (s *server) warnOfNobody(ctx context.Context) error {
	if s.auth.Admin != nil {
		return nil
	}
	orgs, err := s.store.Orgs(ctx, store.Page{Limit: 1})
	if err == nil && len(orgs) == 0 {
		s.log.Warn("there is no admin token and no organisation, so that nobody can do anything here: set admin_token_file and start again")
	}
	return err
}

// server is what Run has built, in the order in which it was.
type server struct {
	cfg     config.Config
	options RunOptions
	log     *slog.Logger

	closers  []func() error
	watch    watch
	listener net.Listener
	// connections counts those of listener.
	connections *httpapi.Connections
	// peerListener is for other servers, which reach it at peerURL; nil and empty for none.
	peerListener net.Listener
	peerURL      string
	bus          *bus.Bus
	store        engine
	// storeBytes tells the size of the store's files, where they are this server's own.
	storeBytes func() (map[string]int64, error)
	// replicaID is this run, among others on the same store; replica is nil where there
	// can be none.
	replicaID string
	replica   *replica.Replica
	ca        *keys.CA
	eic       *eic.Connector
	gateway   *gateway.Gateway
	// administration is the use cases that touch no machine.
	administration *administration.Administration
	auth           *identity.Authenticator
}

// open builds everything, from the ground up.
func (s *server) open(ctx context.Context) error {
	dir, err := datadir.Open(s.cfg.DataDir)
	if err != nil {
		return err
	}
	s.onClose(dir.Close)
	if err := s.listen(); err != nil {
		return err
	}
	if err := s.listenForPeers(); err != nil {
		return err
	}
	if err := s.openWatch(ctx); err != nil {
		return err
	}
	if err := removeReadyFile(s.options.ReadyFile); err != nil {
		return err // one of a server that was killed would tell of a dead one
	}
	if s.bus, err = bus.Open(ctx, bus.Options{URL: s.cfg.BusURL, Log: s.log}); err != nil {
		return err
	}
	s.onClose(s.bus.Close)
	if err := s.openStore(ctx, dir); err != nil {
		return err
	}
	if s.ca, err = s.openCA(ctx, dir); err != nil {
		return err
	}
	if err := s.resealKeys(ctx); err != nil {
		return err
	}
	events := feed.New(s.store, s.bus, s.log)
	s.onClose(events.Close)
	log := audit.New(s.watch.meter.Commits(s.store), s.log, now)
	s.onClose(log.Close)
	pool := &sshpool.Pool{Log: s.log, ConnectTime: s.cfg.Limits.ConnectTimeout, Dialed: s.watch.meter.Dialed}
	connectors, err := s.connectors(pool)
	if err != nil {
		return err
	}
	s.onClose(pool.Close)
	s.auth = &identity.Authenticator{Store: s.store, Admin: s.cfg.AdminTokenHash, AuthCacheTime: limits.AuthCacheTime}
	may := &access.Access{
		Orgs: s.store, Workspaces: s.store, OnlyOrg: s.cfg.OnlyOrg, Audit: log, Rules: policy.Rules(),
		Limits: &quota.Orgs{Store: s.store, Own: s.cfg.Limits.Orgs}, WorkspaceCacheTime: limits.WorkspaceCacheTime,
	}
	s.gateway = &gateway.Gateway{
		Access: may, Orgs: s.store, Workspaces: s.store, Tokens: s.store, Activities: s.store, Leases: s.store, Attachments: s.store,
		ClearAuthCache: s.auth.ClearCache, Sessions: s.store, Replica: s.replicaID, TokenPerRun: s.cfg.Mode == config.ModeDev,
		Starts:       fairqueue.New(limits.StartsPerCPU*runtime.GOMAXPROCS(0), limits.StartTime),
		RunningFiles: gateway.RunningLimits{PerWorkspace: s.cfg.Limits.RunningFilesPerWorkspace, PerOrg: s.cfg.Limits.RunningFiles},
		EventStreams: live.StreamLimits{PerToken: s.cfg.Limits.EventStreamsPerToken, PerOrg: s.cfg.Limits.EventStreams},
		Audit:        log, Feed: events, Pool: pool, Connectors: connectors, Log: s.log, Now: now,
		MAC: s.ca.Seal.MAC, Recordings: s.recordings(),
		ConnectTime: s.cfg.Limits.ConnectTimeout, OutputGrace: s.cfg.Limits.OutputGrace, EndTime: s.options.EndTime,
		ForwardOpenTime: s.options.ForwardOpenTime,
		TerminalResume:  s.cfg.Terminals.Resume,
		Watch:           s.watchAct,
	}
	s.administration = &administration.Administration{
		Access: may, Orgs: s.store, Workspaces: s.store, Tokens: s.store, CARecords: s.store,
		CA: s.ca, CAOverlap: s.cfg.Keys.CAOverlap, Connectors: connectors, ConnectTime: s.cfg.Limits.ConnectTimeout,
		SealKey: func(workspaceID string, key []byte) []byte { return s.ca.Seal.Seal(keyPurpose(workspaceID), key) },
		End:     s.gateway.EndEverywhere, Log: s.log, Now: now, RunsDetached: s.gateway.RunsDetached,
	}
	s.watchSources()
	s.watchExecs(ctx)
	s.expire(ctx)
	return s.joinPeers(ctx)
}

// watchExecs ends what runs under tokens that expire, and tells how detached execs end.
func (s *server) watchExecs(ctx context.Context) {
	s.beside(ctx, s.gateway.WatchExpiry)
	s.beside(ctx, s.gateway.WatchDetached)
}

// listen takes the address before anything is served, so that a taken port is an
// error of the start.
func (s *server) listen() error {
	taken, err := s.take(s.cfg.Listen, "choose another address with --listen")
	if err != nil {
		return err
	}
	most, err := connectionsMax()
	if err != nil {
		return err
	}
	s.connections = &httpapi.Connections{Most: most, Log: s.log}
	listener := s.connections.Listen(taken)
	if s.cfg.TLS.CertFile != "" {
		cert, err := openCertificate(s.cfg.TLS, s.log)
		if err != nil {
			return err
		}
		s.listener = tls.NewListener(listener, &tls.Config{
			GetCertificate: cert.get, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		})
		return nil
	}
	s.listener = listener
	return nil
}

// connectionsMax is how many connections of callers the process's descriptors allow.
func connectionsMax() (int, error) {
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		return 0, fmt.Errorf("read the limit on open files: %w", err)
	}
	return int(min(files.Cur/limits.ConnectionsShare, limits.ConnectionsMax)), nil
}

// take listens on address until the server is closed.
func (s *server) take(address, remedy string) (net.Listener, error) {
	config := net.ListenConfig{KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: limits.ProbeAfter, Interval: limits.ProbeEvery, Count: limits.ProbesMax,
	}}
	listener, err := config.Listen(context.Background(), "tcp", address)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) {
			err = op.Err
		}
		return nil, fmt.Errorf("listen on %s: %w: %s", address, err, remedy)
	}
	s.onClose(func() error {
		if err := listener.Close(); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	})
	return listener, nil
}

func (s *server) connectors(pool *sshpool.Pool) (map[string]connector.Connector, error) {
	connectors := map[string]connector.Connector{}
	if s.cfg.LocalEnabled {
		c, err := local.New(local.Config{Home: s.options.Home, Shell: s.options.LoginShell, SFTP: s.options.SFTP, Log: s.log})
		if err != nil {
			return nil, fmt.Errorf("embedded SSH host: %w", err)
		}
		s.onClose(c.Close)
		connectors[sallyport.ConnectorLocal] = c
	}
	connectors[sallyport.ConnectorSSH] = &ssh.Connector{
		Rules:   ssh.Rules{Allow: s.cfg.SSHAllow, Loopback: s.cfg.Mode == config.ModeDev},
		Certify: s.ca.Certify,
		OpenKey: func(workspaceID string, sealed []byte) ([]byte, error) {
			return s.ca.Seal.Open(keyPurpose(workspaceID), sealed)
		},
	}
	s.eic = eic.New(eic.Options{
		Region: s.cfg.EIC.Region, TunnelEndpoint: s.cfg.EIC.TunnelEndpoint, TunnelDuration: s.cfg.EIC.TunnelDuration,
		EvictIdle: pool.EvictIdle, Log: s.log,
	})
	s.onClose(s.eic.Close)
	connectors[sallyport.ConnectorEIC] = s.eic
	return connectors, nil
}

// keyPurpose is what a workspace's private key is sealed for: in another's row it
// opens nothing.
func keyPurpose(workspaceID string) string { return "workspace/" + workspaceID }

// serve answers requests until ctx is canceled and everything has drained.
func (s *server) serve(ctx context.Context, ready Ready) error {
	api := &httpapi.API{
		Access: s.gateway.Access, Administration: s.administration, Gateway: s.gateway, Auth: s.auth, Ready: s.ready, Degraded: s.degraded, Log: s.log,
		Turns:        fairqueue.New(max(1, runtime.GOMAXPROCS(0)/limits.CPUsPerTurn), limits.StartTime),
		Memory:       quota.NewMemory(s.memoryBudget()),
		OpenRequests: s.connections.Most, Times: s.options.Times,
		LoopbackOnly: s.cfg.Mode == config.ModeDev, TrustedProxies: s.cfg.ProxiesTrusted,
		Watch: s.watchRequests(), Metrics: s.sharedMetrics(), Version: s.options.Version,
	}
	web := httpapi.Server(api.Handler(), s.log, s.options.Times)
	web.ConnState, web.ConnContext = s.connections.State, s.connections.Context
	failed := make(chan error, 1)
	go func() { failed <- web.Serve(s.listener) }()
	ready.URL, ready.MetricsURL = s.url(), s.serveMetrics()
	if err := s.announce(ready); err != nil {
		return errors.Join(err, web.Close(), served(<-failed))
	}
	s.log.Info("serving", "url", ready.URL, "metrics_url", ready.MetricsURL, "version", s.options.Version)
	select {
	case err := <-failed:
		return served(err)
	case <-ctx.Done():
	}
	s.drain(web)
	if err := served(<-failed); err != nil {
		return err
	}
	s.log.Info("ended")
	return nil
}

// degraded tells that the server serves, but slower or later than it should: its bus is down,
// or it shares its store with others that can't ask it for what it holds.
func (s *server) degraded() bool {
	return !s.bus.Connected() || s.cfg.Store.URL != "" && s.peerURL == ""
}

// memoryBudget is what may wait in memory for callers: what the configuration says, or half of
// what Go may take of memory (GOMEMLIMIT) where that is less.
func (s *server) memoryBudget() int64 {
	budget := s.cfg.Limits.BufferedOutputBytes
	if half := debug.SetMemoryLimit(-1) / 2; half < budget {
		s.log.Info("less memory for what waits for callers, since GOMEMLIMIT is low", "bytes", half)
		return half
	}
	return budget
}

// served is what Serve came back with: nil when it was told to end.
func served(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve: %w", err)
}

// drain refuses new execs while the listener stays open, waits for the running
// ones, ends the rest, and closes the listener and what is left of connections.
func (s *server) drain(web *http.Server) {
	s.log.Info("draining", "timeout", s.cfg.DrainTimeout)
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.DrainTimeout)
	defer cancel()
	stop := make(chan struct{})
	go func() {
		defer close(stop)
		select {
		case <-s.options.Interrupt:
			cancel()
		case <-ctx.Done():
		}
	}()
	s.gateway.Drain(ctx)
	cancel()
	<-stop
	// What was answered may still be on its way out.
	ctx, cancel = context.WithTimeout(context.Background(), limits.ShutdownTime)
	defer cancel()
	if err := web.Shutdown(ctx); err != nil {
		_ = web.Close() // the listener is closed; the connections are given up
	}
	s.gateway.AwaitIdle()
}

// ready tells why the server can't serve now.
func (s *server) ready(r *http.Request) error {
	if s.gateway.Draining() {
		return sallyport.Errorf(sallyport.CodeDraining, "the server is ending")
	}
	ctx, cancel := context.WithTimeout(r.Context(), limits.ReadyTime)
	defer cancel()
	if err := s.store.Ping(ctx); err != nil {
		return sallyport.Errorf(sallyport.CodePlatformUnavailable, "the store does not answer").Because(err)
	}
	return nil
}

func (s *server) url() string {
	scheme := "http"
	if s.cfg.TLS.CertFile != "" {
		scheme = "https"
	}
	return scheme + "://" + s.listener.Addr().String()
}

// now is the clock of records: as fine as the store keeps it, so that a record
// reads the same when it is made and ever after.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

func (s *server) onClose(f func() error) { s.closers = append(s.closers, f) }

func (s *server) close() error {
	var all []error
	for i := len(s.closers) - 1; i >= 0; i-- {
		all = append(all, s.closers[i]())
	}
	return errors.Join(all...)
}

func (s *server) logLost() uint64 {
	if s.options.LogLost == nil {
		return 0
	}
	return s.options.LogLost()
}

// NewLogger returns a log in the configuration's format. Nil discards it.
func NewLogger(cfg config.Config, w io.Writer) *slog.Logger {
	if w == nil {
		return slog.New(slog.DiscardHandler)
	}
	options := &slog.HandlerOptions{Level: cfg.Log.Level, ReplaceAttr: withUnit}
	if cfg.Log.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// withUnit shows a duration as 30s: in JSON it would be a number of nanoseconds.
func withUnit(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}
