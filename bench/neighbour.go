package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"sallyport/client"
	"sallyport/client/sallyport"
	"sallyport/internal/identity"
	"sallyport/internal/principal"
)

// flood is what a tenant does to its neighbours.
type flood struct {
	name, token, path, body string
	took                    []time.Duration // by the neighbour's execs meanwhile
	sent, refused           atomic.Int64
}

// neighbour times one tenant's warm execs while it is quiet and while another floods the
// server, in rounds that take turns. The flood comes at five times the rate of its token,
// no faster: its client, and the commands that it may run, take processor time of this
// machine, where they would take another's. A machine with little of that left wants a lower
// rate.
func neighbour(ctx context.Context, o options, s *side) error {
	floods, err := s.floods(ctx, o)
	if err != nil {
		return err
	}
	quiet := &flood{name: "quiet"}
	victim := newClient(1)
	defer victim.CloseIdleConnections()
	for i := range o.rounds + 1 {
		for _, f := range append([]*flood{quiet}, floods...) {
			took, err := s.beside(ctx, o, victim, f)
			if err != nil {
				return err
			}
			if i > 0 { // the first round warms, and takes the burst
				f.took = append(f.took, took...)
			}
		}
	}
	fmt.Printf("a tenant's warm true beside a flood of %d requests/s, of which %d may be made, %d rounds of %s\n",
		floodTimes*o.floodLimit, o.floodLimit, o.rounds, o.roundTime)
	base := quantile(quiet.took, 0.99)
	for _, f := range append([]*flood{quiet}, floods...) {
		p99 := quantile(f.took, 0.99)
		fmt.Printf("  %-22s p50 %8s  p99 %8s  / quiet %.2f  (%d execs; %d requests sent, %d of them refused)\n",
			f.name, round(quantile(f.took, 0.5)), round(p99), ratio(p99, base), len(f.took), f.sent.Load(), f.refused.Load())
	}
	fmt.Printf("  goal at most 2.00; the commands of the flood of execs run on this machine too\n\n")
	return nil
}

const (
	floodTimes   = 5
	floodWorkers = 64
)

// floods makes the tenant that floods.
func (s *side) floods(ctx context.Context, o options) ([]*flood, error) {
	admin := client.New(s.ready.URL, s.ready.AdminToken)
	defer admin.Close()
	org, err := admin.CreateOrg(ctx, sallyport.OrgCreate{Name: "neighbour", Limits: &sallyport.OrgLimits{
		RequestsPerS: o.floodLimit, RequestBurst: o.floodLimit, RunningExecs: 8,
	}})
	if err != nil {
		return nil, err
	}
	ws, err := admin.CreateWorkspace(ctx, sallyport.WorkspaceCreate{
		OrgID: org.ID, Name: "w", Tier: sallyport.TierFullHost, Connector: &sallyport.Connector{Type: sallyport.ConnectorLocal},
	})
	if err != nil {
		return nil, err
	}
	token, err := admin.CreateToken(ctx, client.Owner{Org: org.ID}, sallyport.TokenCreate{Name: "flood"})
	if err != nil {
		return nil, err
	}
	path := "/workspaces/" + ws.ID + "/exec"
	return []*flood{
		{name: "execs", token: token.Secret, path: path, body: `{"cmd":["/bin/true"]}`},
		{name: "execs that stay", token: token.Secret, path: path, body: `{"cmd":["sleep","1"]}`},
		{name: "401s", token: identity.Mint(principal.Org).Secret, path: path, body: `{"cmd":["/bin/true"]}`},
	}, nil
}

// beside times execs for a round, beside a flood if it is one.
func (s *side) beside(ctx context.Context, o options, victim *http.Client, f *flood) (took []time.Duration, err error) {
	over := make(chan struct{})
	var workers sync.WaitGroup
	defer workers.Wait() // what the flood runs still is no part of the next round
	defer close(over)
	if f.path != "" {
		web := newClient(floodWorkers)
		defer web.CloseIdleConnections()
		tick := time.NewTicker(time.Second / time.Duration(floodTimes*o.floodLimit))
		defer tick.Stop()
		for range floodWorkers {
			workers.Go(func() { s.send(ctx, tick.C, over, web, f) })
		}
	}
	for began := time.Now(); time.Since(began) < o.roundTime; {
		d, err := timed(func() error { return s.exec(ctx, victim) })
		if err != nil {
			return nil, err
		}
		took = append(took, d)
	}
	return took, nil
}

// send sends one request of a flood at each tick that it gets, until the round is over.
func (s *side) send(ctx context.Context, tick <-chan time.Time, over <-chan struct{}, web *http.Client, f *flood) {
	for {
		select {
		case <-tick:
		case <-over:
			return
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.ready.URL+f.path, strings.NewReader(f.body))
		if err != nil {
			return
		}
		req.Header.Set("Authorization", "Bearer "+f.token)
		if resp, err := web.Do(req); err == nil {
			_, _ = io.Copy(io.Discard, resp.Body) // it may be canceled
			_ = resp.Body.Close()
			f.sent.Add(1)
			if resp.StatusCode != http.StatusOK {
				f.refused.Add(1)
			}
		}
	}
}
