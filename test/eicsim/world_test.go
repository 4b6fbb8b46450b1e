package eicsim_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/coder/websocket"
	"go.uber.org/goleak"

	_ "sallyport/test/apart"
	"sallyport/test/eicsim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	instanceID = "i-0123456789abcdef0"
	endpointID = "eice-0123456789abcdef0"
	vpc        = "vpc-1"
	address    = "10.0.2.44"
	emptyHash  = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

// clock is a clock that a test drives.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// world is a simulator with one instance and one endpoint, and a client that signs
// with AWS's own library.
type world struct {
	*eicsim.Sim
	t           *testing.T
	clock       *clock
	credentials aws.Credentials
	http        *http.Client // dials the tunnel's listener, whatever the name
}

func newWorld(t *testing.T, o eicsim.Options, target string) *world {
	t.Helper()
	w := &world{t: t, clock: newClock()}
	if o.Now == nil {
		o.Now = w.clock.now
	}
	w.Sim = eicsim.Start(t, o)
	env := w.Env()
	w.credentials = aws.Credentials{AccessKeyID: env["AWS_ACCESS_KEY_ID"], SecretAccessKey: env["AWS_SECRET_ACCESS_KEY"], SessionToken: env["AWS_SESSION_TOKEN"]}
	w.AddEndpoint(eicsim.EndpointRecord{ID: endpointID, VPC: vpc, Subnet: "subnet-1"})
	w.AddInstance(eicsim.Instance{ID: instanceID, VPC: vpc, Subnet: "subnet-1", PrivateIP: address, Addr: target})
	_, at, _ := strings.Cut(w.TunnelEndpoint(), "://")
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", at)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	w.http = &http.Client{Transport: transport}
	return w
}

// sign signs a request by its headers.
func (w *world) sign(r *http.Request, body []byte, service string) {
	w.t.Helper()
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(w.t.Context(), w.credentials, r, hex.EncodeToString(sum[:]), service, "us-east-2", w.clock.now()); err != nil {
		w.t.Fatal(err)
	}
}

// answer is what an API said.
type answer struct {
	status int
	code   string // of an error
	header http.Header
	body   string
}

func (w *world) do(r *http.Request) answer {
	w.t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(r.WithContext(w.t.Context()))
	if err != nil {
		w.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	if response.Header.Get("X-Amzn-Requestid") == "" {
		w.t.Error("no request id")
	}
	return answer{response.StatusCode, codeOf(body), response.Header, string(body)}
}

// codeOf finds the code in any of the shapes that errors have.
func codeOf(body []byte) string {
	var ec2 struct {
		Code  string `xml:"Errors>Error>Code"`
		Other string `xml:"Error>Code"`
	}
	if xml.Unmarshal(body, &ec2) == nil && ec2.Code+ec2.Other != "" {
		return ec2.Code + ec2.Other
	}
	var push struct {
		Type      string `json:"__type"`
		ErrorCode string
	}
	if json.Unmarshal(body, &push) != nil {
		return ""
	}
	_, after, found := strings.Cut(push.Type, "#")
	if !found {
		after = push.Type
	}
	return after + push.ErrorCode
}

// query calls a query API; values are NAME=VALUE.
func (w *world) query(service, version, action string, values ...string) answer {
	w.t.Helper()
	form := url.Values{"Action": {action}, "Version": {version}}
	for _, v := range values {
		name, value, _ := strings.Cut(v, "=")
		form.Set(name, value)
	}
	body := []byte(form.Encode())
	r, err := http.NewRequest(http.MethodPost, w.Endpoint()+"/", bytes.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	w.sign(r, body, service)
	return w.do(r)
}

func (w *world) ec2(action string, values ...string) answer {
	w.t.Helper()
	return w.query("ec2", "2016-11-15", action, values...)
}

// push pushes a key; fields that are empty are left out.
func (w *world) push(instance, user, key, zone string) answer {
	w.t.Helper()
	fields := map[string]string{"InstanceId": instance, "InstanceOSUser": user, "SSHPublicKey": key}
	if zone != "" {
		fields["AvailabilityZone"] = zone
	}
	body, err := json.Marshal(fields)
	if err != nil {
		w.t.Fatal(err)
	}
	r, err := http.NewRequest(http.MethodPost, w.Endpoint()+"/", bytes.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "AWSEC2InstanceConnectService.SendSSHPublicKey")
	w.sign(r, body, "ec2-instance-connect")
	return w.do(r)
}

// ask is a request for a tunnel; a test changes what it is about.
type ask struct {
	query           url.Values
	signedFor, host string
	hash, service   string
	header          http.Header
	signedHeader    string
	edit            func(query string) string // after it was signed
}

func (w *world) newAsk() *ask {
	host := endpointID + ".deadbeef.ec2-instance-connect-endpoint.us-east-2.amazonaws.com"
	return &ask{
		query: url.Values{
			"instanceConnectEndpointId": {endpointID}, "remotePort": {"22"}, "privateIpAddress": {address},
			"maxTunnelDuration": {"3600"}, "X-Amz-Expires": {"60"},
		},
		signedFor: host, host: host, hash: emptyHash, service: "ec2-instance-connect", header: http.Header{},
	}
}

func (w *world) url(a *ask) string {
	w.t.Helper()
	scheme, _, _ := strings.Cut(w.TunnelEndpoint(), "://")
	r, err := http.NewRequest(http.MethodGet, scheme+"://"+a.signedFor+"/openTunnel?"+a.query.Encode(), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	if a.signedHeader != "" {
		r.Header.Set(a.signedHeader, "x")
	}
	signed, _, err := v4.NewSigner().PresignHTTP(w.t.Context(), w.credentials, r, a.hash, a.service, "us-east-2", w.clock.now())
	if err != nil {
		w.t.Fatal(err)
	}
	before, query, _ := strings.Cut(strings.Replace(signed, a.signedFor, a.host, 1), "?")
	if a.edit != nil {
		query = a.edit(query)
	}
	return before + "?" + query
}

// open asks for a tunnel.
func (w *world) open(a *ask) (*websocket.Conn, *http.Response, error) {
	w.t.Helper()
	conn, response, err := websocket.Dial(w.t.Context(), w.url(a), &websocket.DialOptions{HTTPClient: w.http, HTTPHeader: a.header})
	if conn != nil {
		conn.SetReadLimit(1 << 20)
		w.t.Cleanup(func() { _ = conn.CloseNow() })
	}
	return conn, response, err
}

func (w *world) mustOpen() *websocket.Conn {
	w.t.Helper()
	conn, _, err := w.open(w.newAsk())
	if err != nil {
		w.t.Fatal(err)
	}
	return conn
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for !condition() {
		select {
		case <-deadline:
			t.Fatal("never: " + what)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// echo is a target that says again what it hears.
func echo(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn)
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		wg.Wait()
	})
	return listener.Addr().String()
}
