//go:build linux

package cluster

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"sallyport/client"
	"sallyport/client/sallyport"
)

const (
	// eventsEvery is the time between two execs while events are timed.
	eventsEvery = 10 * time.Millisecond
	// eventsTime bounds how long the last events are waited for.
	eventsTime = 30 * time.Second
)

// events times how late one server tells what was committed by the two others, under
// execs at a steady rate.
func (b *bench) events(t *testing.T) {
	n := b.tenants[0]
	ctx, cancel := context.WithTimeout(t.Context(), 3**benchRound+eventsTime)
	defer cancel()
	f := follow(ctx, t, b.Client(t, b.Replicas[2].URL(), b.tokenOf(t, n.org)), n.org)
	exec := func(by *client.Client) {
		if _, err := by.Exec(ctx, client.Exec{Workspace: n.ws.ID, Cmd: []string{"true"}}); err != nil {
			t.Error(err)
		}
	}
	var by []*client.Client
	for i := range 2 {
		by = append(by, b.Client(t, b.Replicas[i].URL(), b.tokenOf(t, n.org)))
	}
	for f.count() == 0 && !t.Failed() { // until it is followed
		exec(by[0])
	}
	f.forget()
	var all sync.WaitGroup
	count, log, cpu, began := 0, b.readLog(t), readCPU(t), time.Now()
	tick := time.NewTicker(eventsEvery)
	defer tick.Stop()
	for ; time.Since(began) < 3**benchRound && !t.Failed(); count++ {
		<-tick.C
		caller := by[count%2]
		all.Go(func() { exec(caller) })
	}
	all.Wait()
	length, used, committed := time.Since(began), readCPU(t).since(cpu), b.readLog(t).plus(log, -1)
	f.await(ctx, t, count)
	cancel()
	<-f.ended
	behindCommit, behindEnd := b.delays(t, f)
	fmt.Printf("events, %d execs at %.0f a second on two replicas, a reader on the third\n", count, float64(count)/length.Seconds())
	fmt.Printf("  from the commit to the reader                p50 %s  p99 %s    goal p99 at most 100ms\n", quantile(behindCommit, 0.5), quantile(behindCommit, 0.99))
	fmt.Printf("  from the command's end, its commit included  p50 %s  p99 %s\n", quantile(behindEnd, 0.5), quantile(behindEnd, 0.99))
	fmt.Printf("  %s\n  %s\n\n", used.by(count), committed.in(length))
}

// delays are how late each end was told, behind its commit, as PostgreSQL timed it, and
// behind the end.
func (b *bench) delays(t *testing.T, f *follower) (behindCommit, behindEnd []time.Duration) {
	t.Helper()
	at, err := url.Parse(b.Database)
	if err != nil {
		t.Fatal("the URL can't be parsed")
	}
	conn, err := pgx.Connect(t.Context(), b.Postgres.SuperuserURL(strings.TrimPrefix(at.Path, "/")))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var ids []string
	for id := range f.told {
		ids = append(ids, id)
	}
	rows, err := conn.Query(t.Context(), `SELECT id, pg_xact_commit_timestamp(xmin) FROM activity WHERE id = ANY($1)`, ids)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		var committed time.Time
		if err := rows.Scan(&id, &committed); err != nil {
			t.Fatal(err)
		}
		behindCommit = append(behindCommit, f.told[id].at.Sub(committed))
		behindEnd = append(behindEnd, f.told[id].at.Sub(f.told[id].end))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return behindCommit, behindEnd
}

// follower is a reader of events.
type follower struct {
	ended chan struct{}

	mu    sync.Mutex           // guards the fields below, until ended is closed
	begun time.Time            // what ended before isn't counted
	told  map[string]toldEvent // by exec
}

// toldEvent is when a command ended, as its row has it, and when that was told.
type toldEvent struct{ end, at time.Time }

// follow follows an organisation's events until ctx ends.
func follow(ctx context.Context, t *testing.T, by *client.Client, org sallyport.Org) *follower {
	f := &follower{ended: make(chan struct{})}
	f.forget()
	go func() {
		defer close(f.ended)
		for row, err := range by.Events(ctx, client.EventOptions{Owner: client.Owner{Org: org.ID}}) {
			switch {
			case ctx.Err() != nil:
				return
			case err != nil:
				t.Error(err)
				return
			case row.CompletedAt != nil && row.Type == sallyport.ActivityExec:
				f.tell(row)
			}
		}
	}()
	return f
}

func (f *follower) tell(row sallyport.Activity) {
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	if row.CompletedAt.After(f.begun) {
		f.told[row.ID] = toldEvent{end: *row.CompletedAt, at: now}
	}
}

// forget begins anew.
func (f *follower) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.begun, f.told = time.Now(), map[string]toldEvent{}
}

func (f *follower) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.told)
}

// await waits until the ends of so many execs were told.
func (f *follower) await(ctx context.Context, t *testing.T, execs int) {
	t.Helper()
	for f.count() < execs {
		select {
		case <-ctx.Done():
			t.Fatalf("the ends of %d execs were told, of %d", f.count(), execs)
		case <-time.After(5 * time.Millisecond):
		}
	}
}
