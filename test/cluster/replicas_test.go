//go:build linux

package cluster

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"sallyport/client"
	"sallyport/client/sallyport"
	"sallyport/test/loopback"
)

// What is made over one server is there on every other, and what ends on one has ended
// on all, with its cause.
func TestReplicas(t *testing.T) {
	w := newWorld(t, Options{})
	t.Run("Revoked", func(t *testing.T) { testRevoked(t, w) })
	t.Run("WorkspaceDeleted", func(t *testing.T) { testWorkspaceDeleted(t, w) })
	t.Run("WorkspaceUpdated", func(t *testing.T) { testWorkspaceUpdated(t, w, 6) })
	t.Run("Signal", func(t *testing.T) { testSignal(t, w) })
	t.Run("Detached", func(t *testing.T) { testDetached(t, w) })
	t.Run("Forward", func(t *testing.T) { testForward(t, w) })
	t.Run("Terminal", func(t *testing.T) { testTerminal(t, w) })
	t.Run("Events", func(t *testing.T) { testEvents(t, w) })
	t.Run("OneKey", func(t *testing.T) { testOneKey(t, w) })
	t.Run("CA", func(t *testing.T) { testCA(t, w) })
	t.Run("Rate", func(t *testing.T) { testRate(t, w) })
	t.Run("WithoutBus", func(t *testing.T) { testWithoutBus(t, w) })
}

// dead demands that no server takes the token.
func (w *world) dead(t *testing.T, token string) {
	t.Helper()
	for i := range w.Replicas {
		if _, err := w.at(t, i, token).Session(t.Context()); codeOf(err) != sallyport.CodeUnauthenticated {
			t.Errorf("replica %d takes a revoked token: %v", i, err)
		}
	}
}

// A revoked token is dead on every server once its DELETE has been answered, and what
// runs under it elsewhere ends.
func testRevoked(t *testing.T, w *world) {
	for round := range 9 {
		token := w.newToken(t)
		var streams []*stream
		for i := range w.Replicas {
			api := w.at(t, i, token.Secret)
			if round < 3 {
				streams = append(streams, w.start(t, api))
			} else if _, err := api.Session(t.Context()); err != nil { // it is known there now
				t.Fatal(err)
			}
		}
		began := time.Now()
		if err := w.at(t, round%3, w.AdminToken).RevokeToken(t.Context(), client.Owner{Org: w.org.ID}, token.ID); err != nil {
			t.Fatal(err)
		}
		t.Logf("revoked in %v", time.Since(began))
		w.dead(t, token.Secret)
		for i, s := range streams {
			if err := s.await(t); codeOf(err) != sallyport.CodeRevoked {
				t.Errorf("on replica %d the stream ended with %v", i, err)
			}
			if row := w.row(t, s.frames.ExecID); row.Status != sallyport.StatusCanceled || row.Reason != "revoked" || row.Survivors == nil || *row.Survivors != 0 {
				t.Errorf("row %+v", row)
			}
		}
	}
}

// testWithoutBus demands that commands are signalled, that a changed workspace is known by
// all, and that a revoked token is dead and what runs under it ends, when no NATS server is
// there.
func testWithoutBus(t *testing.T, w *world) {
	for i := range 3 {
		w.NATS.Stop(i)
	}
	testSignal(t, w) // one server asks another itself
	testWorkspaceUpdated(t, w, 2)
	token := w.newToken(t)
	var streams []*stream
	for i := range w.Replicas {
		streams = append(streams, w.start(t, w.at(t, i, token.Secret)))
	}
	if err := w.at(t, 0, w.AdminToken).RevokeToken(t.Context(), client.Owner{Org: w.org.ID}, token.ID); err != nil {
		t.Fatal(err)
	}
	w.dead(t, token.Secret)
	for i, s := range streams {
		if err := s.await(t); codeOf(err) != sallyport.CodeRevoked {
			t.Errorf("on replica %d the stream ended with %v", i, err)
		}
	}
	for i := range 3 {
		w.NATS.Start(t, i)
	}
}

// The deletion of a workspace ends what runs on it on every server.
func testWorkspaceDeleted(t *testing.T, w *world) {
	other := w.Machine(t, w.org.ID, "gone")
	here := *w
	here.ws = other
	var streams []*stream
	for i := range w.Replicas {
		streams = append(streams, here.start(t, w.at(t, i, w.token.Secret)))
	}
	if err := w.at(t, 1, w.token.Secret).DeleteWorkspace(t.Context(), other.ID); err != nil {
		t.Fatal(err)
	}
	for i, s := range streams {
		if err := s.await(t); codeOf(err) != sallyport.CodeWorkspaceDeleted {
			t.Errorf("on replica %d the stream ended with %v", i, err)
		}
	}
	for i := range w.Replicas {
		if _, err := w.at(t, i, w.token.Secret).GetWorkspace(t.Context(), other.ID); codeOf(err) != sallyport.CodeWorkspaceNotFound {
			t.Errorf("replica %d: %v", i, err)
		}
	}
}

// A change of a workspace is in force on every server once it has been answered, also
// where a command has just been run on the workspace as it was.
func testWorkspaceUpdated(t *testing.T, w *world, changes int) {
	want := func(what string, code sallyport.Code) {
		t.Helper()
		for i := range w.Replicas {
			if _, err := w.at(t, i, w.token.Secret).Exec(t.Context(), client.Exec{Workspace: w.ws.ID, Cmd: []string{"true"}}); codeOf(err) != code {
				t.Errorf("%s: replica %d answers %v, want %q", what, i, err, code)
			}
		}
	}
	want("before", "")
	tiers := []int{sallyport.TierSandboxed, sallyport.TierFullHost}
	codes := []sallyport.Code{sallyport.CodeExecTierForbidden, ""}
	for n := range changes {
		began := time.Now()
		if _, err := w.at(t, n%3, w.token.Secret).UpdateWorkspace(t.Context(), w.ws.ID, sallyport.WorkspacePatch{Tier: &tiers[n%2]}); err != nil {
			t.Fatal(err)
		}
		t.Logf("updated in %v", time.Since(began))
		want(fmt.Sprintf("change %d", n), codes[n%2])
	}
}

// A command is signalled by whichever server is asked.
func testSignal(t *testing.T, w *world) {
	for i := range w.Replicas {
		s := w.start(t, w.at(t, i, w.token.Secret))
		by := w.at(t, (i+1)%3, w.token.Secret)
		if running, err := by.ListExecs(t.Context(), w.ws.ID, sallyport.StatusRunning, client.Page{}); err != nil || len(running.Items) != 1 || running.Items[0].ID != s.frames.ExecID {
			t.Errorf("running %+v, %v", running, err)
		}
		if err := by.SignalExec(t.Context(), w.ws.ID, s.frames.ExecID, "TERM"); err != nil {
			t.Error(err)
		}
		if err := s.await(t); err != nil {
			t.Errorf("it ended with %v", err)
		}
		if row := w.row(t, s.frames.ExecID); row.Signal != "TERM" || row.Status != sallyport.StatusError {
			t.Errorf("row %+v", row)
		}
		if err := by.SignalExec(t.Context(), w.ws.ID, s.frames.ExecID, "TERM"); codeOf(err) != sallyport.CodeNotRunning {
			t.Errorf("a command that has ended: %v", err)
		}
	}
}

// A forward is ended by whichever server is asked, and says so.
func testForward(t *testing.T, w *world) {
	token, err := w.admin.CreateToken(t.Context(), client.Owner{Org: w.org.ID}, sallyport.TokenCreate{Name: "forwards", Scopes: []sallyport.Scope{sallyport.ScopeForward}})
	if err != nil {
		t.Fatal(err)
	}
	port := loopback.Serve(t, func(conn *net.TCPConn) { _, _ = io.Copy(io.Discard, conn) }).Port
	for i := range w.Replicas {
		conn, err := w.at(t, i, token.Secret).Forward(t.Context(), w.ws.ID, "127.0.0.1", port)
		if err != nil {
			t.Fatal(err)
		}
		by := w.at(t, (i+1)%3, token.Secret)
		var running sallyport.List[sallyport.Activity]
		eventually(t, "the forward in a list", func() bool {
			running, err = by.ListForwards(t.Context(), w.ws.ID, sallyport.StatusRunning, client.Page{})
			return err == nil && len(running.Items) == 1
		})
		id := running.Items[0].ID
		if err := by.EndForward(t.Context(), w.ws.ID, id); err != nil {
			t.Error(err)
		}
		if _, err := conn.Read(make([]byte, 1)); codeOf(err) != sallyport.CodeKilled {
			t.Errorf("it ended with %v", err)
		}
		if err := by.EndForward(t.Context(), w.ws.ID, id); codeOf(err) != sallyport.CodeNotRunning {
			t.Errorf("a forward that has ended: %v", err)
		}
		conn.Close()
		if all, err := by.ListForwards(t.Context(), w.ws.ID, "", client.Page{}); err != nil || all.Items[0].ID != id || all.Items[0].Reason != string(sallyport.CodeKilled) {
			t.Errorf("rows %+v, %v", all, err)
		}
	}
}

// What happens on one server is told by every other, in order and without a gap.
func testEvents(t *testing.T, w *world) {
	const execs = 60
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	answered, told := map[string]time.Time{}, map[string]time.Time{} // the ends, by exec
	followed, opened := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(followed)
		last := int64(0)
		for row, err := range w.at(t, 2, w.token.Secret).Events(ctx, client.EventOptions{Owner: client.Owner{Org: w.org.ID}, After: new(int64)}) {
			if err != nil {
				t.Error(err)
				return
			}
			if row.Seq != last+1 {
				t.Errorf("seq %d follows %d", row.Seq, last)
			}
			if last++; last == 1 {
				close(opened)
			}
			if row.Summary == "true told" && row.Status != sallyport.StatusRunning {
				if told[row.ID] = time.Now(); len(told) == execs {
					return
				}
			}
		}
	}()
	<-opened
	for i := range execs {
		done, err := w.at(t, i%2, w.token.Secret).Exec(ctx, client.Exec{Workspace: w.ws.ID, Cmd: []string{"true", "told"}})
		if err != nil {
			t.Fatal(err)
		}
		answered[done.ExecID] = time.Now()
	}
	<-followed
	var late []time.Duration
	for id, at := range answered {
		if _, ok := told[id]; !ok {
			t.Fatalf("the end of exec %s was not told", id)
		}
		late = append(late, told[id].Sub(at))
	}
	slices.Sort(late)
	t.Logf("an end that one server answered was told by another after: p50 %v, p99 %v", late[execs/2], late[execs*99/100])
}

// Of many calls with one key on all servers one runs the command.
func testOneKey(t *testing.T, w *world) {
	const calls = 50
	file := "/tmp/one-key-" + w.ws.ID
	var all sync.WaitGroup
	codes := make([]sallyport.Code, calls)
	for i := range calls {
		api := w.at(t, i%3, w.token.Secret)
		all.Go(func() {
			_, err := api.Exec(t.Context(), client.Exec{Workspace: w.ws.ID, Cmd: []string{"sh", "-c", "echo ran >>" + file}, IdempotencyKey: "one"})
			codes[i] = codeOf(err)
		})
	}
	all.Wait()
	ran := 0
	for _, code := range codes {
		switch code {
		case "":
			ran++
		case sallyport.CodeRunning, sallyport.CodeAlreadyRun:
		default:
			t.Errorf("a call was answered %s", code)
		}
	}
	var out lines
	if _, err := w.at(t, 0, w.token.Secret).Exec(t.Context(), client.Exec{Workspace: w.ws.ID, Cmd: []string{"sh", "-c", "wc -l <" + file + "; rm " + file}, Stdout: &out}); err != nil {
		t.Fatal(err)
	}
	if ran != 1 || out.String() != "1\n" {
		t.Errorf("%d calls ran it, and it ran %q times", ran, out.String())
	}
}

// An organisation has one CA on all servers: a rotation on one is in force on the others
// with its answer.
func testCA(t *testing.T, w *world) {
	newest := func(replica int) string {
		t.Helper()
		keys, err := w.at(t, replica, w.token.Secret).CAKeys(t.Context())
		if err != nil || len(keys) != 1 {
			t.Fatalf("replica %d: %v, %v", replica, keys, err)
		}
		return keys[0].ID
	}
	before := newest(0)
	for i := range 6 {
		rotated, err := w.at(t, i%3, w.token.Secret).RotateCA(t.Context(), sallyport.CARotate{Now: true})
		if err != nil || len(rotated) != 1 || rotated[0].ID == before {
			t.Fatalf("%v, %v", rotated, err)
		}
		before = rotated[0].ID
		for replica := range 3 {
			if got := newest(replica); got != before {
				t.Errorf("replica %d goes on with another key than replica %d has made", replica, i%3)
			}
		}
	}
}

// A token that goes to all servers in turn may make no more requests than its rate lets
// it, but for what they grant between two tellings.
func testRate(t *testing.T, w *world) {
	const burst, perS, asked = 30, 1, 180
	limit := &sallyport.OrgLimits{RequestsPerS: perS, RequestBurst: burst}
	org, err := w.admin.CreateOrg(t.Context(), sallyport.OrgCreate{Name: "limited", Limits: limit})
	if err != nil {
		t.Fatal(err)
	}
	token, err := w.admin.CreateToken(t.Context(), client.Owner{Org: org.ID}, sallyport.TokenCreate{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	granted := 0
	for i := range asked {
		_, err := w.at(t, i%3, token.Secret).Session(t.Context())
		switch code := codeOf(err); code {
		case "":
			granted++
		case sallyport.CodeRateLimited:
		default:
			t.Fatal(err)
		}
		<-time.After(20 * time.Millisecond) // so that every server hears of the others
	}
	took := time.Since(began)
	t.Logf("%d of %d granted in %v, with a burst of %d", granted, asked, took, burst)
	// Alone each would grant a burst.
	if most := burst + int(took.Seconds()*perS) + 25; granted < burst || granted > most {
		t.Errorf("%d requests were granted, want %d to %d", granted, burst, most)
	}
}
