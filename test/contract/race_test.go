package contract

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"sallyport/client/sallyport"
	"sallyport/test/stack"
)

// A token is revoked and its workspace deleted, each twice and all at once, while
// execs run and events are read under them, and new ones come: each stream ends
// and says why, and what happened once is on record once.
func TestRevokedAndDeletedAtOnce(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	for round := range 4 {
		h := newHome(t, s, fmt.Sprintf("home-%d", round))
		token := newToken(t, s, "/orgs/"+h.ID, "exec", "audit:read")
		r := &race{Stack: s, home: h, token: token.Secret}
		r.begin(t)
		var ended sync.WaitGroup
		for _, path := range []string{"/orgs/" + h.ID + "/tokens/" + token.ID, "/workspaces/" + h.ws.ID} {
			for range 2 {
				answer := later(t, s.Request(t, "DELETE", path, h.token, ""))
				ended.Go(func() { r.deleted(t, path, <-answer) })
			}
		}
		r.come(t)
		ended.Wait()
		r.checkStreams(t)
		r.checkRows(t)
	}
}

// race is what goes on in one home.
type race struct {
	*stack.Stack
	home  home
	token string

	running  []*live
	readers  []*events
	arriving []<-chan stack.Answer
	changing []<-chan stack.Answer

	mu   sync.Mutex // guards the fields below
	gone map[string]int
}

// begin starts what is to be ended.
func (r *race) begin(t *testing.T) {
	t.Helper()
	r.gone = map[string]int{}
	for range 3 {
		l := openStream(t, r.Stack, r.home.ws.ID, r.token, sh("echo up; exec sleep 600"))
		l.wantData(t, "stdout", "up\n")
		r.running = append(r.running, l)
	}
	for _, read := range transports {
		r.readers = append(r.readers, read(t, r.Stack, "/workspaces/"+r.home.ws.ID+"/events", r.token, ""), read(t, r.Stack, "/orgs/"+r.home.ID+"/events", r.token, ""))
	}
}

// come sends execs, and changes of what is being deleted, while all that goes on.
func (r *race) come(t *testing.T) {
	t.Helper()
	ws := "/workspaces/" + r.home.ws.ID
	for range 4 {
		r.changing = append(r.changing, later(t, r.Request(t, "PATCH", ws, r.home.token, `{"labels":{"a":"b"}}`)),
			later(t, r.Request(t, "POST", ws+"/tokens", r.home.token, `{"name":"late"}`)))
	}
	for range 6 {
		r.arriving = append(r.arriving, later(t, r.Request(t, "POST", "/workspaces/"+r.home.ws.ID+"/exec", r.token, `{"cmd":["sleep","600"],"timeout_s":60}`)))
	}
}

// deleted takes the answer to a DELETE: it was there, or another had been quicker.
func (r *race) deleted(t *testing.T, path string, a stack.Answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch a.Status {
	case 204:
		r.gone[path]++
	case 404:
	default:
		t.Errorf("DELETE %s: %d %s", path, a.Status, a.Body)
	}
}

// reasons are what ended a stream.
var reasons = []string{"revoked", "workspace_deleted"}

func (r *race) checkStreams(t *testing.T) {
	t.Helper()
	for _, l := range r.running {
		_, _, last := l.rest(t)
		if code, _ := last["code"].(string); !slices.Contains(reasons, code) || last["exit_code"] != nil {
			t.Errorf("a stream ended with %v", last)
		}
	}
	for _, e := range r.readers {
		for range e.rows { // what it saw before
		}
		if err := <-e.end; !slices.Contains(reasons, string(sallyport.CodeOf(err))) {
			t.Errorf("events ended with %v", err)
		}
	}
	for _, answer := range r.arriving {
		a := <-answer
		if !slices.Contains([]string{"unauthenticated", "workspace_not_found", "revoked", "workspace_deleted"}, a.Code()) {
			t.Errorf("an exec that came: %d %s", a.Status, a.Body)
		}
	}
	for _, answer := range r.changing {
		if a := <-answer; a.Status != 200 && a.Status != 201 && a.Code() != "workspace_not_found" {
			t.Errorf("a change that came: %d %s", a.Status, a.Body)
		}
	}
	for path, n := range r.gone {
		if n < 1 {
			t.Errorf("DELETE %s succeeded %d times", path, n)
		}
	}
}

func (r *race) checkRows(t *testing.T) {
	t.Helper()
	kinds, ids := map[string]int{}, map[string]bool{}
	for _, row := range rowsAt(t, r.Stack, r.home.token, "/orgs/"+r.home.ID+"/activity?limit=500") {
		kinds[row.Type]++
		if ids[row.ID] {
			t.Errorf("row %s is there twice", row.ID)
		}
		ids[row.ID] = true
		if row.Type != sallyport.ActivityExec {
			continue
		}
		// One that was refused in the last moment never ran.
		if !slices.Contains([]string{"canceled", "error"}, row.Status) || row.CompletedAt == nil || row.ExitCode != nil {
			t.Errorf("row %s", quote(row))
		}
	}
	for _, l := range r.running {
		if !ids[l.execID] {
			t.Errorf("no row of exec %s", l.execID)
		}
	}
	if kinds["token_revoked"] != 1 || kinds["workspace_deleted"] != 1 {
		t.Errorf("rows of kinds %v", kinds)
	}
}
