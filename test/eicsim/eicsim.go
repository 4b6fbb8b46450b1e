// Package eicsim simulates what EC2 Instance Connect Endpoints need of AWS: the EC2
// query API, SendSSHPublicKey, AssumeRole, and the tunnel itself. It takes nothing on
// trust: signatures are computed again (with an implementation of its own, so that a
// mistake of the product's isn't made twice), every field is checked, a key opens an
// instance for 60 seconds by a clock that tests drive, and behind a tunnel is whatever
// really listens, such as an sshd of test/sshd whose AuthorizedKeysCommand asks the
// simulator at each login.
//
// What AWS doesn't document can be set: close codes, and what a full endpoint answers.
package eicsim

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Options of a simulator; zero values are AWS's own.
type Options struct {
	// AccessKey and SecretKey are what requests are signed with; empty is the pair
	// of AWS's documentation. SessionToken goes with them if it isn't empty.
	AccessKey, SecretKey, SessionToken string
	// Region is the only one there is; empty is us-east-2.
	Region string
	// Now is the clock of grants, credentials, signatures and the lives of tunnels;
	// nil is time.Now.
	Now func() time.Time
	// TunnelsMax are the tunnels at once of an endpoint; 0 is 20.
	TunnelsMax int
	// LimitError is what the tunnel after those is refused with; its zero fields are
	// status 429 and TunnelLimitExceeded, though nobody knows what AWS sends.
	LimitError APIError
	// MaxTunnelDuration is what a policy allows, in seconds; 0 is AWS's 3600.
	MaxTunnelDuration int
	// PageMax caps a page of a description, so that a few records show paging.
	PageMax int
	// TLS makes the tunnel's listener speak TLS with certificates for the endpoints'
	// names, which CA vouches for.
	TLS bool
}

// Actions that are counted, denied and failed by name.
const (
	DescribeInstances = "DescribeInstances"
	DescribeEndpoints = "DescribeInstanceConnectEndpoints"
	SendSSHPublicKey  = "SendSSHPublicKey"
	AssumeRole        = "AssumeRole"
	OpenTunnel        = "openTunnel"
)

// Sim is a running simulator. It is safe for concurrent use.
type Sim struct {
	options     Options
	ca          *authority // nil without TLS
	api, tunnel net.Listener
	servers     []*http.Server

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup // listeners, connections and tunnels

	mu          sync.Mutex // guards the fields below
	ended       bool
	instances   map[string]*Instance
	endpoints   map[string]*EndpointRecord
	credentials map[string]*credentials // by access key
	roles       map[string]string       // external ids by ARN
	grants      []grant
	denied      map[string]bool
	faults      Faults
	changed     chan struct{} // closed when the faults change
	calls       map[string][]string
	rejections  []string
	lastQuery   url.Values
	tunnels     map[*pipe]struct{}
	taken       map[string]int // slots by endpoint
}

// New starts a simulator on loopback. Whoever started it closes it.
func New(o Options) (*Sim, error) {
	o.AccessKey = cmp.Or(o.AccessKey, "AKIDEXAMPLE")
	o.SecretKey = cmp.Or(o.SecretKey, "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
	o.Region = cmp.Or(o.Region, "us-east-2")
	o.TunnelsMax = cmp.Or(o.TunnelsMax, 20)
	o.MaxTunnelDuration = cmp.Or(o.MaxTunnelDuration, tunnelSecondsMax)
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Sim{
		options: o, instances: map[string]*Instance{}, endpoints: map[string]*EndpointRecord{},
		credentials: map[string]*credentials{}, roles: map[string]string{}, denied: map[string]bool{},
		changed: make(chan struct{}), calls: map[string][]string{}, tunnels: map[*pipe]struct{}{}, taken: map[string]int{},
	}
	s.credentials[o.AccessKey] = &credentials{secret: o.SecretKey, token: o.SessionToken}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if err := s.listen(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.serve(s.api, http.HandlerFunc(s.serveAPI))
	s.serve(s.tunnel, http.HandlerFunc(s.serveTunnel))
	return s, nil
}

// Start is New for a test, with which the simulator ends.
func Start(t testing.TB, o Options) *Sim {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close the simulator: %v", err)
		}
		if t.Failed() {
			t.Logf("the simulator refused: %s", strings.Join(s.Rejections(), "; "))
		}
	})
	return s
}

func (s *Sim) listen() error {
	var err error
	if s.api, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return fmt.Errorf("listen for the APIs: %w", err)
	}
	if s.tunnel, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return fmt.Errorf("listen for tunnels: %w", err)
	}
	if !s.options.TLS {
		return nil
	}
	if s.ca, err = newAuthority(); err != nil {
		return err
	}
	s.tunnel = s.ca.listener(s.tunnel, s.isEndpointName)
	return nil
}

// serve counts connections, since http.Server.Close doesn't wait for them.
func (s *Sim) serve(listener net.Listener, handler http.Handler) {
	server := &http.Server{
		Handler:     handler,
		BaseContext: func(net.Listener) context.Context { return s.ctx },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				s.wg.Add(1)
			case http.StateClosed, http.StateHijacked:
				s.wg.Done()
			}
		},
		// A client that doesn't trust our certificate is what some tests are about.
		ErrorLog: quiet(),
	}
	s.servers = append(s.servers, server)
	s.wg.Go(func() { _ = server.Serve(listener) }) // its end is what was wanted
}

// Close ends everything, tunnels without a close frame, and waits for it.
func (s *Sim) Close() error {
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.cancel()
	var errs []error
	for _, server := range s.servers {
		errs = append(errs, server.Close())
	}
	if len(s.servers) == 0 {
		for _, listener := range []net.Listener{s.api, s.tunnel} {
			if listener != nil {
				errs = append(errs, listener.Close())
			}
		}
	}
	s.CutTunnels()
	s.wg.Wait()
	return errors.Join(errs...)
}

// Endpoint is where EC2, EC2 Instance Connect and STS answer, for AWS_ENDPOINT_URL.
func (s *Sim) Endpoint() string { return "http://" + s.api.Addr().String() }

// TunnelEndpoint is where tunnels are opened, for SALLYPORT_EIC_TUNNEL_ENDPOINT.
func (s *Sim) TunnelEndpoint() string {
	if s.options.TLS {
		return "wss://" + s.tunnel.Addr().String()
	}
	return "ws://" + s.tunnel.Addr().String()
}

// Env is the environment of a program that is to use the simulator.
func (s *Sim) Env() map[string]string {
	env := map[string]string{
		"AWS_ACCESS_KEY_ID": s.options.AccessKey, "AWS_SECRET_ACCESS_KEY": s.options.SecretKey,
		"AWS_REGION": s.options.Region, "AWS_ENDPOINT_URL": s.Endpoint(), "AWS_EC2_METADATA_DISABLED": "true",
		"SALLYPORT_EIC_TUNNEL_ENDPOINT": s.TunnelEndpoint(),
	}
	if s.options.SessionToken != "" {
		env["AWS_SESSION_TOKEN"] = s.options.SessionToken
	}
	return env
}

// Calls is how many requests for an action have come, the refused ones among them.
func (s *Sim) Calls(action string) int { return len(s.RequestIDs(action)) }

// RequestIDs are those that the requests for an action were answered with.
func (s *Sim) RequestIDs(action string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls[action])
}

// Rejections say why requests and messages were refused, the oldest first.
func (s *Sim) Rejections() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.rejections)
}

// LastTunnelQuery is the query of the last request for a tunnel, refused or not.
func (s *Sim) LastTunnelQuery() url.Values {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lastQuery
}

func (s *Sim) reject(action, format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rejections = append(s.rejections, action+": "+fmt.Sprintf(format, args...))
}

// called counts a request and gives it its id.
func (s *Sim) called(w http.ResponseWriter, action string) string {
	b := randomBytes(16)
	id := fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
	w.Header()["x-amzn-RequestId"] = []string{id} // as AWS spells it
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[action] = append(s.calls[action], id)
	return id
}

// serveCalls tells the counts to a shell script.
func (s *Sim) serveCalls(w http.ResponseWriter) {
	counts := map[string]int{}
	for _, action := range []string{DescribeInstances, DescribeEndpoints, SendSSHPublicKey, AssumeRole, OpenTunnel} {
		counts[action] = s.Calls(action)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(counts) // the client may have gone
}

func (s *Sim) now() time.Time { return s.options.Now() }

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // it never fails
	return b
}

func randomHex(n int) string { return hex.EncodeToString(randomBytes(n)) }
