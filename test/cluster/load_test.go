//go:build linux

package cluster

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/client"
	"sallyport/client/sallyport"
)

// load is a steady stream of execs, each of which writes its id and its key into a file on
// the machine. A call that fails is made again with the same key, as a careful caller does.
type load struct {
	w    *world
	file string
	web  *http.Client

	mu    sync.Mutex // guards the fields below
	seen  map[string]int
	ends  map[string]int    // how tries ended, by code
	last  map[string]string // how the last try with each key ended
	calls int
}

// tries is how often a call is made at most.
const tries = 8

// callTime is how long a caller waits before it gives up.
const callTime = 20 * time.Second

func newLoad(w *world) *load {
	return &load{
		w: w, file: "/tmp/ran-" + w.ws.ID, seen: map[string]int{}, ends: map[string]int{}, last: map[string]string{},
		web: &http.Client{Timeout: callTime, Transport: &http.Transport{MaxIdleConnsPerHost: 256}},
	}
}

// run makes rate calls a second until ctx ends, and waits for all of them.
func (l *load) run(ctx context.Context, rate int) {
	ticker := time.NewTicker(time.Second / time.Duration(rate))
	defer ticker.Stop()
	var all sync.WaitGroup
	defer l.web.CloseIdleConnections()
	defer all.Wait()
	began := time.Now()
	for made := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C: // a loaded machine skips ticks
		}
		for ; made < int(time.Since(began).Seconds()*float64(rate)); made++ {
			key := fmt.Sprintf("call-%d", made)
			all.Go(func() { l.call(context.WithoutCancel(ctx), key) })
		}
	}
}

// call runs one command, and tries until it knows how that went.
func (l *load) call(ctx context.Context, key string) {
	l.mu.Lock()
	l.calls++
	l.mu.Unlock()
	for range tries {
		id, end := l.try(ctx, key)
		l.mu.Lock()
		l.ends[end]++
		l.last[key] = end
		if id != "" {
			l.seen[id]++
		}
		l.mu.Unlock()
		if end == "ok" || strings.HasPrefix(end, "already_run") {
			return
		}
		<-time.After(500 * time.Millisecond)
	}
}

// try makes a call once, and returns the exec's id, if it was told, and the end.
func (l *load) try(ctx context.Context, key string) (id, end string) {
	body, _ := json.Marshal(map[string]any{ // strings and a bool
		"cmd": []string{"sh", "-c", "echo $SALLYPORT_EXEC_ID " + key + " >>" + l.file}, "stream": true,
	})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.w.URL()+"/workspaces/"+l.w.ws.ID+"/exec", bytes.NewReader(body))
	if err != nil {
		return "", "no request"
	}
	req.Header.Set("Authorization", "Bearer "+l.w.token.Secret)
	req.Header.Set(sallyport.HeaderIdempotencyKey, key)
	resp, err := l.web.Do(req)
	if err != nil {
		return "", "no answer"
	}
	return resp.Header.Get(sallyport.HeaderExecID), endOf(resp)
}

// endOf reads an answer to its end, and says in a word how it ended.
func endOf(resp *http.Response) string {
	defer resp.Body.Close()
	var last struct {
		Code     string `json:"code"`
		Status   string `json:"status"`
		ExitCode *int   `json:"exit_code"`
	}
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if len(lines.Bytes()) > 0 && json.Unmarshal(lines.Bytes(), &last) != nil {
			return fmt.Sprintf("HTTP %d", resp.StatusCode)
		}
	}
	switch {
	case last.Code != "":
		return strings.TrimSpace(last.Code + " " + last.Status)
	case last.ExitCode != nil && *last.ExitCode == 0:
		return "ok"
	}
	return fmt.Sprintf("HTTP %d, cut", resp.StatusCode)
}

// summary says how the calls ended.
func (l *load) summary() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var parts []string
	for _, end := range slices.Sorted(maps.Keys(l.ends)) {
		parts = append(parts, fmt.Sprintf("%s %d", end, l.ends[end]))
	}
	return fmt.Sprintf("%d calls, their tries: %s", l.calls, strings.Join(parts, ", "))
}

// check demands that every exec that a caller saw has exactly one row, that nothing ran
// without one or twice, that no row is open, and that the log has no gap.
func (l *load) check(t *testing.T) {
	t.Helper()
	rows := map[string]sallyport.Activity{}
	ctx := t.Context()
	eventually(t, "end of all rows", func() bool {
		clear(rows)
		open := 0
		for row, err := range l.w.admin.AllExecs(ctx, l.w.ws.ID, "") {
			if err != nil {
				return false
			}
			if _, twice := rows[row.ID]; twice {
				t.Fatalf("exec %s has two rows", row.ID)
			}
			rows[row.ID] = row
			if row.Status == sallyport.StatusRunning {
				open++
			}
		}
		return open == 0
	})
	for id, n := range l.seen {
		if _, ok := rows[id]; !ok || n != 1 {
			t.Errorf("exec %s was seen by %d callers and has a row: %v", id, n, ok)
		}
	}
	ran, keys := l.ran(t)
	for id, n := range ran {
		if _, ok := rows[id]; !ok || n != 1 {
			t.Errorf("exec %s ran %d times and has a row: %v", id, n, ok)
		}
	}
	l.checkKeys(t, keys)
	statuses := map[string]int{}
	for id, row := range rows {
		statuses[row.Status]++
		if row.Status == sallyport.StatusOK && strings.Contains(row.Summary, l.file) && ran[id] != 1 {
			t.Errorf("row %s says ok and it ran %d times", id, ran[id])
		}
	}
	say(t, "%d execs seen by callers, %d ran, rows by status %v", len(l.seen), len(ran), statuses)
	l.checkSeq(t)
}

// checkKeys demands that no call ran its command twice, and that what was told of it is true.
func (l *load) checkKeys(t *testing.T, keys map[string]int) {
	t.Helper()
	once, maybe := 0, 0
	for key, end := range l.last {
		n := keys[key]
		switch end {
		case "ok", "already_run ok":
			once++
			if n != 1 {
				t.Errorf("%s ended %q and ran %d times", key, end, n)
			}
		default: // an answer that says so, or none
			maybe++
			if n > 1 {
				t.Errorf("%s ended %q and ran %d times", key, end, n)
			}
		}
	}
	say(t, "%d calls ran their command once, and know it; of %d it is told that nobody knows, and none ran twice", once, maybe)
	if maybe > l.calls/20 {
		t.Errorf("of %d of %d calls nobody knows", maybe, l.calls)
	}
}

// ran are the execs and the keys that have been written into the file, and how often.
func (l *load) ran(t *testing.T) (execs, keys map[string]int) {
	t.Helper()
	var out lines
	_, err := l.w.Client(t, "", l.w.token.Secret).Exec(t.Context(), client.Exec{
		Workspace: l.w.ws.ID, Cmd: []string{"sh", "-c", "cat " + l.file + "; rm " + l.file}, Stdout: &out, MaxOutputBytes: 1 << 30,
	})
	if err != nil {
		t.Fatal(err)
	}
	execs, keys = map[string]int{}, map[string]int{}
	for line := range strings.Lines(out.String()) {
		id, key, _ := strings.Cut(strings.TrimSpace(line), " ")
		execs[id]++
		keys[key]++
	}
	return execs, keys
}

// checkSeq reads the whole log as events.
func (l *load) checkSeq(t *testing.T) {
	t.Helper()
	page, err := l.w.admin.ListActivity(t.Context(), client.ActivityFilter{Owner: client.Owner{Org: l.w.org.ID}}, client.Page{Limit: 1})
	if err != nil || len(page.Items) != 1 {
		t.Fatal(err)
	}
	first := page.Items[0].Seq // of the newest row, so that there are so many at least
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	last := int64(0)
	for row, err := range l.w.admin.Events(ctx, client.EventOptions{Owner: client.Owner{Org: l.w.org.ID}, After: new(int64)}) {
		if err != nil {
			t.Fatal(err)
		}
		if row.Seq != last+1 {
			t.Fatalf("seq %d follows %d", row.Seq, last)
		}
		if last = row.Seq; last >= first {
			break
		}
	}
	say(t, "%d events without a gap", last)
}
