//go:build linux

package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"sallyport/client/sallyport"
	"sallyport/test/stack"
)

// attackVariable holds an attack in JSON, in the environment of a test's program that is to
// be a hostile organisation's.
const attackVariable = "FAULTS_ATTACK"

// attack is what a hostile organisation's program is told.
type attack struct {
	URL, OrgID string
	Tokens     []string
	Blind      string // a token without a scope that lets it exec
}

// attackCount is how many requests were answered, and how; Cut are those without an answer.
type attackCount struct{ Refused, Granted, Cut int64 }

// newAttacker makes the organisation, with rows that make large pages.
func newAttacker(t *testing.T, s *stack.Stack) attack {
	org := newTenant(t, s, "hostile")
	a := attack{URL: s.URL, OrgID: org.id}
	for range 10 {
		a.Tokens = append(a.Tokens, org.newToken(t))
	}
	var blind sallyport.Token
	s.Do(t, http.MethodPost, "/orgs/"+org.id+"/tokens", s.AdminToken, `{"name":"blind","scopes":["audit:read"]}`).Decode(t, &blind)
	a.Blind = blind.Secret
	large := fmt.Sprintf(`{"cmd":["true",%q]}`, strings.Repeat("x", 120<<10))
	for range 8 {
		if a := s.Do(t, http.MethodPost, "/workspaces/build/exec", org.token, large); a.Status != http.StatusOK {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
	}
	return a
}

// begin starts the attack in a process of the lowest priority: who attacks a server does it
// with processors of his own, and here he shares those of the server. The caller ends it.
func (a attack) begin(t *testing.T) (end func() attackCount) {
	t.Helper()
	told, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd := exec.Command("chrt", "--idle", "0", program)
	cmd.Env = append(os.Environ(), attackVariable+"="+string(told))
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop := sync.OnceValue(func() error {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended, which Wait tells
		return cmd.Wait()
	})
	t.Cleanup(func() { _ = stop() })
	return func() (count attackCount) {
		if err := stop(); err != nil {
			t.Fatalf("the attacker: %v", err)
		}
		if err := json.Unmarshal(out.Bytes(), &count); err != nil {
			t.Fatal(err)
		}
		return count
	}
}

// attacker is a hostile organisation's program.
type attacker struct {
	attack
	web     *http.Client
	unknown string // a body of nothing but unknown names

	refused, granted, cut atomic.Int64
}

// runAttack is the main of a hostile organisation's program: it attacks until SIGTERM, and
// prints what it counted.
func runAttack(told string) int {
	transport := &http.Transport{MaxIdleConnsPerHost: 32}
	a := &attacker{web: &http.Client{Transport: transport, Timeout: 30 * time.Second}}
	if err := json.Unmarshal([]byte(told), &a.attack); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	var unknown strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&unknown, `%c"unknown%d":1`, "{,"[min(i, 1)], i)
	}
	a.unknown = unknown.String() + "}"
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	var group sync.WaitGroup
	for _, act := range []struct {
		times int
		do    func(context.Context)
	}{
		{40, a.holdBody}, {2, a.sendUnknown}, {20, a.askNothing}, {60, a.leavePage}, {80, a.followEvents},
		{2, a.makeTokens}, {4, a.beRefused}, {4, a.diagnose}, {16, a.exec},
	} {
		for range act.times {
			group.Go(func() {
				for ctx.Err() == nil {
					act.do(ctx)
				}
			})
		}
	}
	group.Wait()
	if err := json.NewEncoder(os.Stdout).Encode(attackCount{a.refused.Load(), a.granted.Load(), a.cut.Load()}); err != nil {
		return 1
	}
	return 0
}

// anyToken is one of its tokens, another each time.
func (a *attacker) anyToken() string {
	return a.Tokens[int(a.granted.Load()+a.refused.Load())%len(a.Tokens)]
}

// note counts what was answered. One that was refused waits a little, as a loop would spin.
func (a *attacker) note(ctx context.Context, status int) {
	switch {
	case status == 0:
		a.cut.Add(1)
	case status < 400:
		a.granted.Add(1)
		return
	default:
		a.refused.Add(1)
	}
	select {
	case <-ctx.Done():
	case <-time.After(10 * time.Millisecond):
	}
}

// ask sends a request and reads its answer.
func (a *attacker) ask(ctx context.Context, method, path, token, body string) {
	req, err := http.NewRequestWithContext(ctx, method, a.URL+path, strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := a.web.Do(req)
	if err != nil {
		a.note(ctx, 0)
		return
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	a.note(ctx, resp.StatusCode)
}

// keep sends what begins a request, and holds the connection until the server ends it, or
// reads nothing of it for a while.
func (a *attacker) keep(ctx context.Context, begin string, read bool) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", strings.TrimPrefix(a.URL, "http://"))
	if err != nil {
		a.note(ctx, 0)
		return
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if _, err := io.WriteString(conn, begin); err != nil {
		a.note(ctx, 0)
		return
	}
	if !read {
		select {
		case <-ctx.Done():
		case <-time.After(2 * time.Second):
		}
		return
	}
	a.note(ctx, statusOf(conn))
	_, _ = io.Copy(io.Discard, conn)
}

func (a *attacker) holdBody(ctx context.Context) {
	const size = 2 << 20
	a.keep(ctx, fmt.Sprintf("POST /workspaces/build/exec HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n{\"cmd\":[\"true\"],\"stdin\":\"%s",
		a.anyToken(), size, strings.Repeat("x", size-100)), true)
}

func (a *attacker) leavePage(ctx context.Context) {
	a.keep(ctx, "GET /workspaces/build/activity HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "+a.anyToken()+"\r\n\r\n", false)
}

func (a *attacker) followEvents(ctx context.Context) {
	a.keep(ctx, "GET /workspaces/build/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "+a.anyToken()+"\r\n\r\n", true)
}

func (a *attacker) makeTokens(ctx context.Context) {
	a.ask(ctx, http.MethodPost, "/orgs/"+a.OrgID+"/tokens", a.anyToken(), `{"name":"more"}`)
}

func (a *attacker) beRefused(ctx context.Context) {
	a.ask(ctx, http.MethodPost, "/workspaces/build/exec", a.Blind, `{"cmd":["true"]}`)
}

func (a *attacker) diagnose(ctx context.Context) {
	a.ask(ctx, http.MethodPost, "/workspaces/build/diagnose", a.anyToken(), "")
}

func (a *attacker) exec(ctx context.Context) {
	a.ask(ctx, http.MethodPost, "/workspaces/build/exec", a.anyToken(), `{"cmd":["true"]}`)
}

// sendUnknown sends a body of nothing but names that nobody knows.
func (a *attacker) sendUnknown(ctx context.Context) {
	a.ask(ctx, http.MethodPost, "/workspaces/build/exec", a.anyToken(), a.unknown)
}

// askNothing opens a connection and begins a request that it doesn't end.
func (a *attacker) askNothing(ctx context.Context) {
	a.keep(ctx, "GET /healthz HTTP/1.1\r\nHost: local", true)
}
