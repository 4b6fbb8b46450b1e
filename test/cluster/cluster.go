//go:build linux

// Package cluster runs several real servers for tests: processes of the program itself
// on one PostgreSQL and a NATS cluster, all on loopback, behind a balancer.
package cluster

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"sallyport/client"
	"sallyport/client/sallyport"
	"sallyport/test/natsd"
	"sallyport/test/pg"
	"sallyport/test/sshd"
)

const (
	// startTime bounds the start of a server.
	startTime = 60 * time.Second
	// stopTime bounds its end.
	stopTime = 60 * time.Second
	// healthEvery is how often the balancer asks a server whether it serves, and
	// healthTime how long one may take to say so.
	healthEvery = 250 * time.Millisecond
	healthTime  = time.Second
	// answerTime is how long the balancer waits for an answer to begin.
	answerTime = 10 * time.Second
)

// Options change a cluster from what it is by default.
type Options struct {
	// Replicas is how many servers there are; 0 is three.
	Replicas int
	// Env is more of their environment.
	Env []string
	// Program is what they run; empty is this version.
	Program string
	// DrainTimeout is as in their configuration; empty is 5s.
	DrainTimeout string
	// Postgres are settings of PostgreSQL's, NAME=VALUE.
	Postgres []string
}

// Cluster is the servers and what they stand on. It ends with its test.
type Cluster struct {
	Replicas []*Replica
	Postgres *pg.Server
	NATS     *natsd.Cluster
	// Database is the URL that all have, AdminToken their admin's token.
	Database, AdminToken string

	dir      string
	drain    string
	env      []string
	balancer *balancer
}

// Start starts a cluster, and waits until every server can serve.
func Start(t testing.TB, o Options) *Cluster {
	t.Helper()
	c := &Cluster{Postgres: pg.StartOwn(t, o.Postgres...), NATS: natsd.Start(t, 3), dir: t.TempDir(), drain: o.DrainTimeout, AdminToken: "admin-" + random()}
	c.Database = c.Postgres.Database(t)
	seal := filepath.Join(c.dir, "seal.key")
	if err := os.WriteFile(seal, []byte(random()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.env = append(append(os.Environ(),
		"SALLYPORT_STORE_URL="+c.Database, "SALLYPORT_BUS_URL="+c.NATS.URL(), "SALLYPORT_ADMIN_TOKEN="+c.AdminToken,
		"SALLYPORT_REPLICA_LISTEN=127.0.0.1:0", "SALLYPORT_REPLICA_URL=https://127.0.0.1:0", "SALLYPORT_KEYS_SEAL_FILE="+seal, "SALLYPORT_CONNECTORS_SSH_ALLOW=127.0.0.0/8", "AWS_EC2_METADATA_DISABLED=true"), o.Env...)
	program := o.Program
	if program == "" {
		program = build(t)
	}
	n := o.Replicas
	if n == 0 {
		n = 3
	}
	c.balancer = balance(t, c)
	for i := range n {
		c.Replicas = append(c.Replicas, c.newReplica(t, strconv.Itoa(i), program))
	}
	var all sync.WaitGroup
	for _, r := range c.Replicas {
		all.Go(func() { r.run(t) }) // together, as they are deployed
	}
	all.Wait()
	for _, r := range c.Replicas {
		r.await(t)
	}
	return c
}

func (c *Cluster) newReplica(t testing.TB, name, program string) *Replica {
	r := &Replica{Name: "replica-" + name, program: program, dir: filepath.Join(c.dir, name), env: c.env, drain: cmp.Or(c.drain, "5s")}
	t.Cleanup(func() { r.end(t) })
	return r
}

// Add starts one more server, of this version, and waits until it can serve. The balancer
// passes nothing on to it.
func (c *Cluster) Add(t testing.TB) *Replica {
	t.Helper()
	r := c.newReplica(t, "added", build(t))
	r.Start(t)
	return r
}

// URL is the balancer's: it takes the servers in turn, and one that is gone not at all.
func (c *Cluster) URL() string { return c.balancer.url }

// Use has the balancer pass new requests to the first n servers alone.
func (c *Cluster) Use(n int) { c.balancer.used.Store(int64(n)) }

// Client speaks to a server, or with an empty URL to the balancer, with a token.
func (c *Cluster) Client(t testing.TB, serverURL, token string) *client.Client {
	t.Helper()
	if serverURL == "" {
		serverURL = c.URL()
	}
	api := client.New(serverURL, token)
	t.Cleanup(api.Close)
	return api
}

// Machine makes a workspace of an organisation that is reached at a real sshd.
func (c *Cluster) Machine(t testing.TB, orgID, name string) sallyport.Workspace {
	t.Helper()
	machine := sshd.Start(t, sshd.Options{MaxStartups: "1000"})
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	machine.Authorize(t, key)
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	host, portText, err := net.SplitHostPort(machine.Addr)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		t.Fatal(err)
	}
	ws, err := c.Client(t, "", c.AdminToken).CreateWorkspace(t.Context(), sallyport.WorkspaceCreate{
		OrgID: orgID, Name: name, Tier: sallyport.TierFullHost,
		Connector: &sallyport.Connector{
			Type: sallyport.ConnectorSSH, Host: host, Port: port, User: machine.User,
			HostKey: string(ssh.MarshalAuthorizedKey(machine.HostKey)),
			Auth:    &sallyport.ConnectorAuth{Type: sallyport.AuthKey, PrivateKey: string(pem.EncodeToMemory(block))},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return ws
}

// Replica is one server. Its methods are for one goroutine at a time, URL for many.
type Replica struct {
	// Name is that of its directory.
	Name string

	program, dir string
	drain        string
	env          []string
	url          atomic.Pointer[string]
	well         atomic.Bool // as the balancer sees it
	cmd          *exec.Cmd
	ended        chan error
}

// URL is where it serves; empty while it doesn't run.
func (r *Replica) URL() string {
	if u := r.url.Load(); u != nil {
		return *u
	}
	return ""
}

// Start starts a server that was killed or stopped, and waits until it can serve.
func (r *Replica) Start(t testing.TB) {
	t.Helper()
	r.run(t)
	r.await(t)
}

// Upgrade starts a server that was killed or stopped as one of this version, and waits until
// it can serve.
func (r *Replica) Upgrade(t testing.TB) {
	t.Helper()
	r.program = build(t)
	r.Start(t)
}

// Stop tells the server to end in order. It returns a function that waits until it has.
func (r *Replica) Stop(t testing.TB) (wait func()) {
	t.Helper()
	r.url.Store(nil)
	_ = r.cmd.Process.Signal(syscall.SIGTERM)
	return func() {
		t.Helper()
		if err := r.wait(); err != nil {
			t.Errorf("%s ended with %v\n%s", r.Name, err, r.Log())
		}
		r.cmd = nil
	}
}

// Kill ends the server at once, as a power cut does.
func (r *Replica) Kill() {
	r.url.Store(nil)
	_ = r.cmd.Process.Kill()
	_ = r.wait() // it was killed
	r.cmd = nil
}

// wait waits until the server has ended, and says how.
func (r *Replica) wait() error { return <-r.ended }

// Pause halts the server, as a machine that is swapped out does.
func (r *Replica) Pause() { _ = r.cmd.Process.Signal(syscall.SIGSTOP) }

// Resume lets a server go on that was halted, and does nothing to others.
func (r *Replica) Resume() { _ = r.cmd.Process.Signal(syscall.SIGCONT) }

// Log is what the server has said.
func (r *Replica) Log() string {
	text, _ := os.ReadFile(r.dir + ".log") // none is nothing said
	return string(text)
}

func (r *Replica) ready() string { return r.dir + ".ready" }

func (r *Replica) run(t testing.TB) {
	log, err := os.OpenFile(r.dir+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Error(err)
		return
	}
	defer log.Close()
	_ = os.Remove(r.ready()) // the server does so too
	r.cmd = exec.Command(r.program, "server", "--listen", "127.0.0.1:0", "--data-dir", r.dir, "--ready-file", r.ready(), "--drain-timeout", r.drain)
	r.cmd.Env, r.cmd.Stdout, r.cmd.Stderr = r.env, log, log
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := r.cmd.Start(); err != nil {
		t.Error(err)
		return
	}
	ended := make(chan error, 1)
	cmd := r.cmd
	go func() { ended <- cmd.Wait() }()
	r.ended = ended
}

func (r *Replica) await(t testing.TB) {
	t.Helper()
	deadline := time.After(startTime)
	for {
		text, err := os.ReadFile(r.ready())
		var ready struct{ URL string }
		if err == nil && json.Unmarshal(text, &ready) == nil {
			r.url.Store(&ready.URL)
			r.well.Store(true)
			return
		}
		select {
		case err := <-r.ended:
			r.cmd = nil
			t.Fatalf("%s did not start: %v\n%s", r.Name, err, r.Log())
		case <-deadline:
			t.Fatalf("%s is not ready\n%s", r.Name, r.Log())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// end stops the server in order.
func (r *Replica) end(t testing.TB) {
	if r.cmd == nil {
		return
	}
	r.url.Store(nil)
	r.Resume()
	_ = r.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-r.ended:
		if err != nil {
			t.Errorf("%s ended with %v\n%s", r.Name, err, r.Log())
		}
	case <-time.After(stopTime):
		_ = r.cmd.Process.Kill()
		_ = r.wait() // it was killed
		t.Errorf("%s did not end\n%s", r.Name, r.Log())
	}
	r.cmd = nil
	if t.Failed() {
		t.Logf("%s said:\n%s", r.Name, tail(r.Log()))
	}
}

func tail(text string) string {
	const most = 4000
	if len(text) > most {
		return "…" + text[len(text)-most:]
	}
	return text
}

// balancer passes requests on to the servers in turn.
type balancer struct {
	url  string
	next atomic.Uint64
	used atomic.Int64 // how many of the servers; 0 is all
}

func balance(t testing.TB, c *Cluster) *balancer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &balancer{url: "http://" + listener.Addr().String()}
	transport := &http.Transport{MaxIdleConnsPerHost: 256, ResponseHeaderTimeout: answerTime}
	proxy := &httputil.ReverseProxy{
		Transport: transport, FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			if target := b.pick(c.Replicas); target != nil {
				r.SetURL(target)
			}
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
		ErrorLog:     log.New(io.Discard, "", 0), // of servers that are killed
	}
	server := &http.Server{Handler: proxy, ReadHeaderTimeout: time.Minute}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var watching sync.WaitGroup
	watching.Go(func() { watch(ctx, c) })
	t.Cleanup(func() {
		cancel()
		watching.Wait()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
		transport.CloseIdleConnections()
	})
	return b
}

// watch asks every server again and again whether it can serve, until ctx ends.
func watch(ctx context.Context, c *Cluster) {
	web := &http.Client{Timeout: healthTime, Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(healthEvery):
		}
		for _, r := range c.Replicas {
			if u := r.URL(); u != "" {
				resp, err := web.Get(u + "/healthz")
				r.well.Store(err == nil)
				if err == nil {
					_ = resp.Body.Close() // nothing of it matters
				}
			}
		}
	}
}

// pick returns the next server that runs.
func (b *balancer) pick(replicas []*Replica) *url.URL {
	if used := int(b.used.Load()); used > 0 {
		replicas = replicas[:used]
	}
	for range replicas {
		r := replicas[b.next.Add(1)%uint64(len(replicas))]
		if !r.well.Load() {
			continue
		}
		if u, err := url.Parse(r.URL()); err == nil && u.Host != "" {
			return u
		}
	}
	return nil
}

// built is the program, made once for a test binary.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "sallyport-")
	if err != nil {
		return "", err
	}
	program := filepath.Join(dir, "sallyport")
	cmd := exec.Command("go", "build", "-trimpath", "-o", program, "sallyport/cmd/sallyport")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return program, nil
})

func build(t testing.TB) string {
	t.Helper()
	program, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return program
}

// Clean removes what was built; it is for TestMain.
func Clean() error {
	program, err := built()
	if err != nil {
		return nil // there is nothing
	}
	return os.RemoveAll(filepath.Dir(program))
}

// random is 32 random bytes as a seal file has them.
func random() string {
	b := make([]byte, 32)
	rand.Read(b)
	return base64.StdEncoding.EncodeToString(b)
}
