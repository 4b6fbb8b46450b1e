//go:build linux

package faults

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/client/sallyport"
)

// hostileTime is how long the hostile organisation goes on. A minute is the long form, which
// alone judges how long a neighbour's execs and the look at the store take: a busy machine's
// times say nothing.
var hostileTime = flag.Duration("hostile", 3*time.Second, "how long TestHostileOrganisation goes on; from 1m on it judges times")

const (
	hostileFiles     = 512
	hostileMemoryMax = raceMemory * 512 << 20
)

// One organisation does all at once that ever stopped the others: bodies that it holds open,
// pages that it doesn't read, event streams until they are refused, tokens by the dozen,
// refusals, diagnoses and execs as fast as it can. The server has few descriptors and little
// memory. Its neighbour's execs all succeed, the server is ready all the while, and stays
// within its memory.
func TestHostileOrganisation(t *testing.T) {
	server := startChild(t, childOptions{openFiles: hostileFiles, processEnv: []string{"GOMEMLIMIT=256MiB"}, env: map[string]string{
		"SALLYPORT_LIMITS_REQUESTS_PER_S": "200", "SALLYPORT_LIMITS_ORG_REQUESTS_PER_S": "1000", // as a server has them
		"SALLYPORT_LIMITS_RUNNING_EXECS": "12", // commands on this very machine take eight descriptors each
	}})
	h := newHostile(t, server)
	neighbour := newTenant(t, server.Stack, "neighbour")
	quiet := h.serve(t, neighbour, time.Second)

	ctx, stop := context.WithCancel(t.Context())
	var attackers sync.WaitGroup
	for _, attack := range []struct {
		times int
		do    func(context.Context)
	}{
		{40, h.holdBody}, {60, h.leavePage}, {80, h.followEvents}, {2, h.makeTokens}, {4, h.beRefused}, {4, h.diagnose}, {16, h.exec},
	} {
		for range attack.times {
			attackers.Go(func() {
				for ctx.Err() == nil {
					attack.do(ctx)
				}
			})
		}
	}
	hostile := h.serve(t, neighbour, *hostileTime)
	stop()
	attackers.Wait()
	t.Logf("quiet: %s; beside the hostile one: %s; %d of its requests were refused, %d granted, %d cut",
		quiet, hostile, h.refused.Load(), h.granted.Load(), h.cut.Load())
	if h.refused.Load() == 0 {
		t.Error("nothing was refused: the attack is none")
	}
	if *hostileTime >= time.Minute && hostile.p99() > 4*quiet.p99() {
		t.Errorf("p99 %s, want within four times %s", hostile.p99(), quiet.p99())
	}
	if code := server.terminate(t); code != 0 {
		t.Errorf("the server ended with %d", code)
	}
}

// hostile is an organisation that means harm.
type hostile struct {
	*tenant
	server *child
	tokens []string
	blind  string // a token without a scope that lets it exec
	web    *http.Client

	refused, granted, cut atomic.Int64
}

func newHostile(t *testing.T, server *child) *hostile {
	h := &hostile{tenant: newTenant(t, server.Stack, "hostile"), server: server}
	transport := &http.Transport{MaxIdleConnsPerHost: 32}
	t.Cleanup(transport.CloseIdleConnections)
	h.web = &http.Client{Transport: transport, Timeout: 30 * time.Second}
	for range 10 {
		h.tokens = append(h.tokens, h.newToken(t))
	}
	var blind sallyport.Token
	h.s.Do(t, http.MethodPost, "/orgs/"+h.id+"/tokens", h.s.AdminToken, `{"name":"blind","scopes":["audit:read"]}`).Decode(t, &blind)
	h.blind = blind.Secret
	large := fmt.Sprintf(`{"cmd":["true",%q]}`, strings.Repeat("x", 120<<10))
	for range 8 { // rows that make large pages
		if a := h.s.Do(t, http.MethodPost, "/workspaces/build/exec", h.token, large); a.Status != http.StatusOK {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
	}
	return h
}

// measured are the times of a neighbour's execs, in order, and the most memory seen.
type measured struct {
	times  []time.Duration
	memory int64
	// unready counts the times that the server said it was not ready.
	unready int
}

func (m measured) p99() time.Duration { return m.times[len(m.times)*99/100] }

func (m measured) String() string {
	return fmt.Sprintf("%d execs, p50 %s, p99 %s, %d MiB", len(m.times), m.times[len(m.times)/2], m.p99(), m.memory>>20)
}

// serve has the neighbour run execs for a while. Each must succeed, the server must be ready
// and within its memory.
func (h *hostile) serve(t *testing.T, neighbour *tenant, d time.Duration) (m measured) {
	t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); {
		began := time.Now()
		a := h.s.Do(t, http.MethodPost, "/workspaces/build/exec", neighbour.token, `{"cmd":["echo","served"]}`)
		m.times = append(m.times, time.Since(began))
		if a.Status != http.StatusOK || !strings.Contains(a.Body, "served") || !strings.Contains(a.Body, `"exit_code":0`) {
			t.Errorf("the neighbour's exec %d: %d %s", len(m.times), a.Status, a.Body)
		}
		if a := h.s.Do(t, http.MethodGet, "/readyz", "", ""); a.Status != http.StatusOK {
			m.unready++
			t.Logf("readyz: %d %s", a.Status, a.Body)
		}
		m.memory = max(m.memory, h.server.memory(t))
	}
	if m.unready > 0 && (*hostileTime >= time.Minute || m.unready == len(m.times)) {
		t.Errorf("%d times of %d the server was not ready", m.unready, len(m.times))
	}
	if m.memory > hostileMemoryMax {
		t.Errorf("the server took %d MiB", m.memory>>20)
	}
	slices.Sort(m.times)
	return m
}

// memory is what the process holds now (VmRSS).
func (c *child) memory(t *testing.T) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.pid()))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}

// anyToken is one of its tokens, another each time.
func (h *hostile) anyToken() string {
	return h.tokens[int(h.granted.Load()+h.refused.Load())%len(h.tokens)]
}

// note counts what was answered. One that was refused waits a little, as a loop would spin.
func (h *hostile) note(ctx context.Context, status int) {
	switch {
	case status == 0:
		h.cut.Add(1)
	case status < 400:
		h.granted.Add(1)
		return
	default:
		h.refused.Add(1)
	}
	select {
	case <-ctx.Done():
	case <-time.After(10 * time.Millisecond):
	}
}

// ask sends a request and reads its answer.
func (h *hostile) ask(ctx context.Context, method, path, token, body string) {
	req, err := http.NewRequestWithContext(ctx, method, h.s.URL+path, strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := h.web.Do(req)
	if err != nil {
		h.note(ctx, 0)
		return
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	h.note(ctx, resp.StatusCode)
}

// keep sends what begins a request, and holds the connection until the server ends it, or
// reads nothing of it for a while.
func (h *hostile) keep(ctx context.Context, begin string, read bool) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", strings.TrimPrefix(h.s.URL, "http://"))
	if err != nil {
		h.note(ctx, 0)
		return
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if _, err := io.WriteString(conn, begin); err != nil {
		h.note(ctx, 0)
		return
	}
	if !read {
		select {
		case <-ctx.Done():
		case <-time.After(2 * time.Second):
		}
		return
	}
	h.note(ctx, statusOf(conn))
	_, _ = io.Copy(io.Discard, conn)
}

func (h *hostile) holdBody(ctx context.Context) {
	const size = 2 << 20
	h.keep(ctx, fmt.Sprintf("POST /workspaces/build/exec HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n{\"cmd\":[\"true\"],\"stdin\":\"%s",
		h.anyToken(), size, strings.Repeat("x", size-100)), true)
}

func (h *hostile) leavePage(ctx context.Context) {
	h.keep(ctx, "GET /workspaces/build/activity HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "+h.anyToken()+"\r\n\r\n", false)
}

func (h *hostile) followEvents(ctx context.Context) {
	h.keep(ctx, "GET /workspaces/build/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "+h.anyToken()+"\r\n\r\n", true)
}

func (h *hostile) makeTokens(ctx context.Context) {
	h.ask(ctx, http.MethodPost, "/orgs/"+h.id+"/tokens", h.anyToken(), `{"name":"more"}`)
}

func (h *hostile) beRefused(ctx context.Context) {
	h.ask(ctx, http.MethodPost, "/workspaces/build/exec", h.blind, `{"cmd":["true"]}`)
}

func (h *hostile) diagnose(ctx context.Context) {
	h.ask(ctx, http.MethodPost, "/workspaces/build/diagnose", h.anyToken(), "")
}

func (h *hostile) exec(ctx context.Context) {
	h.ask(ctx, http.MethodPost, "/workspaces/build/exec", h.anyToken(), `{"cmd":["true"]}`)
}
