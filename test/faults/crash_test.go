//go:build linux

package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/client/sallyport"
	"sallyport/test/stack"
)

const (
	// kills is how often the server is killed, execsAKill how many execs there
	// are at once when it is.
	kills      = 10
	execsAKill = 24
	// killAfterMax is when, after its execs were sent, the server is killed at
	// the latest.
	killAfterMax = 900 * time.Millisecond
	// startKillAfterMax is the same for a server that is only just starting.
	startKillAfterMax = 400 * time.Millisecond
)

// TestKilled kills the server at random moments and starts it again on the same
// data, and holds what is then there to the two promises: no exec without its
// row, and none that ran twice.
func TestKilled(t *testing.T) {
	t.Parallel()
	c := &crashing{
		dataDir: filepath.Join(stack.MakeDataDir(t), "data"), marks: filepath.Join(t.TempDir(), "marks"),
		told: map[string]bool{}, ends: map[string]answer{},
	}
	chance := newRand(t)
	for round := range kills {
		server := startChild(t, childOptions{dataDir: c.dataDir})
		c.check(t, server)
		c.round(t, server, round, chance)
		if round%3 == 2 {
			c.killAtStart(t, chance)
		}
	}
	server := startChild(t, childOptions{dataDir: c.dataDir})
	c.check(t, server)
	newCaller(t, server.Stack).mustServe(t)
	if code := server.terminate(t); code != 0 {
		t.Errorf("the last server ended with %d", code)
	}
	checkSeqs(t, server.database(), c.rows+1)
	t.Logf("%d rows: %v", c.rows, c.statuses)
}

// crashing is what is known of all execs so far, on one data directory.
type crashing struct {
	dataDir string
	marks   string // the file to which commands append their ids

	mu   sync.Mutex        // guards the fields below
	told map[string]bool   // ids that a client was told
	ends map[string]answer // answers that came whole, by id

	// What check saw last.
	rows     int
	statuses map[string]int
}

// round sends execs, kills the server in the middle of them, and waits until all
// clients have noticed.
func (c *crashing) round(t *testing.T, server *child, round int, chance *rand.Rand) {
	t.Helper()
	caller := newCaller(t, server.Stack)
	answered := make(chan struct{}, execsAKill)
	var clients sync.WaitGroup
	for i := range execsAKill {
		clients.Go(func() {
			c.run(t.Context(), caller, c.command(i))
			answered <- struct{}{}
		})
	}
	after := time.Duration(chance.Int64N(int64(killAfterMax)))
	if round == 0 {
		after = 0 // hardly any has got through
	}
	if round%4 == 3 { // just after some have ended
		for range 1 + chance.IntN(execsAKill/2) {
			<-answered
		}
		after /= 100
	}
	<-time.After(after)
	server.kill()
	clients.Wait()
}

// command is the i-th exec: most leave a mark and end soon, some go on for ever.
func (c *crashing) command(i int) sallyport.ExecRequest {
	line := fmt.Sprintf("echo $SALLYPORT_EXEC_ID >> %s; sleep 0.2", c.marks)
	if i%4 == 0 {
		line = fmt.Sprintf("echo $SALLYPORT_EXEC_ID >> %s; sleep 600", c.marks)
	}
	e := shell(line)
	e.Stream, e.TimeoutS = i%2 == 0, 120
	return e
}

// run runs one exec and files what its client came to know.
func (c *crashing) run(ctx context.Context, caller *caller, e sallyport.ExecRequest) {
	note := func(id string) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.told[id] = true
	}
	a, err := caller.execNoting(ctx, e, note)
	if err != nil {
		return // killed before the end
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ends[a.execID] = a
}

// killAtStart kills a server while it clears up behind the last one.
func (c *crashing) killAtStart(t *testing.T, chance *rand.Rand) {
	t.Helper()
	server := launchChild(t, childOptions{dataDir: c.dataDir})
	<-time.After(time.Duration(chance.Int64N(int64(startKillAfterMax))))
	server.kill()
}

// check holds the rows to the marks and to what clients came to know.
func (c *crashing) check(t *testing.T, server *child) {
	t.Helper()
	all := server.Execs(t)
	rows := byID(t, all)
	c.rows, c.statuses = len(all), count(all)
	var interrupted []sallyport.Activity
	for _, row := range all {
		switch {
		case row.Status == sallyport.StatusInterrupted:
			interrupted = append(interrupted, row)
			if row.Survivors == nil || *row.Survivors != 0 {
				t.Errorf("interrupted, and nobody has seen to its end: %+v", row)
			}
		case row.Status != sallyport.StatusOK:
			t.Errorf("row %s is %s %s %s", row.ID, row.Status, row.Code, row.Reason)
		case strings.Contains(row.Argv[2], "sleep 600"):
			t.Errorf("ok, and it can't have ended: %+v", row)
		}
	}
	mustBeGone(t, interrupted)
	for id := range c.told {
		if _, there := rows[id]; !there {
			t.Errorf("a client was told of %s, which has no row", id)
		}
	}
	for id, a := range c.ends {
		row := rows[id]
		if a.result == nil || row.Status != sallyport.StatusOK || row.ExitCode == nil || *row.ExitCode != a.result.ExitCode {
			t.Errorf("a client got %s, the row is %+v", a, row)
		}
	}
	for _, id := range c.marked(t) {
		if _, there := rows[id]; !there {
			t.Errorf("exec %s ran without a row", id)
		}
	}
}

// marked returns the ids that commands have left behind, each once.
func (c *crashing) marked(t *testing.T) []string {
	t.Helper()
	marks, err := os.ReadFile(c.marks)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	ids := strings.Fields(string(marks))
	seen := map[string]bool{}
	for _, id := range ids {
		if seen[id] {
			t.Errorf("exec %s ran twice", id)
		}
		seen[id] = true
	}
	return ids
}
