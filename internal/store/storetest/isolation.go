package storetest

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"sallyport/client/sallyport"
	"sallyport/internal/id"
	"sallyport/internal/store"
)

// tenant is what one organisation must look like: a model that the store is
// compared with.
type tenant struct {
	org        store.Org
	workspaces []store.Workspace // oldest first
	tokens     []store.Token     // live ones, oldest first
	rows       []store.Activity  // oldest first
	events     []store.Activity  // oldest first
	seq        int64
}

// world is two organisations, and the ids of all that was ever made for either:
// each tries the other's.
type world struct {
	e       Engine
	tenants [2]*tenant
	wsIDs   []string
	tokIDs  []string
	rowIDs  []string
}

// testIsolation runs random sequences of operations of two organisations, with
// ids of both. Each must answer as it does to a tenant that is alone, and now and
// then both are demanded to be as they must be: nothing was changed across the
// border, and each one's seqs are gapless and in the order of the rows.
func testIsolation(t *testing.T, e Engine) {
	rapid.Check(t, func(rt *rapid.T) {
		w := &world{e: e}
		for i := range w.tenants {
			org := store.Org{ID: id.New(), CreatedAt: start()}
			org.Name = org.ID[24:]
			w.tenants[i] = &tenant{org: org}
			row := newRow(org.ID, "", sallyport.ActivityOrgCreated)
			must(rt, e.CreateOrg(rt.Context(), org, store.ActivityChange{Row: row}))
			w.tenants[i].wrote(rt, row)
		}
		w.wsIDs, w.tokIDs, w.rowIDs = []string{id.New(), ""}, []string{id.New()}, []string{id.New()}
		rt.Repeat(map[string]func(*rapid.T){
			"createWorkspace": w.createWorkspace,
			"updateWorkspace": w.updateWorkspace,
			"deleteWorkspace": w.deleteWorkspace,
			"createToken":     w.createToken,
			"revokeToken":     w.revokeToken,
			"commitActivity":  w.commitActivity,
			"find":            w.find,
			"check":           w.check,
		})
		w.check(rt)
	})
}

// Names are few, so that they clash.
var names = rapid.SampledFrom([]string{"web", "db", "ci"})

func (w *world) tenant(rt *rapid.T) *tenant {
	return w.tenants[rapid.IntRange(0, 1).Draw(rt, "tenant")]
}

// wrote adds a row of which the store has said that it is written.
func (o *tenant) wrote(rt *rapid.T, row *store.Activity) {
	o.seq++
	if row.Seq != o.seq || row.WrittenSeq != o.seq {
		rt.Fatalf("row has seq %d, written %d, want %d", row.Seq, row.WrittenSeq, o.seq)
	}
	o.rows = append(o.rows, *row)
	o.events = append(o.events, *row)
}

// change is an activity change of the tenant's; settle judges it afterwards.
func (w *world) change(o *tenant, workspaceID string) store.ActivityChange {
	row := newRow(o.org.ID, workspaceID, sallyport.ActivityWorkspaceUpdated)
	w.rowIDs = append(w.rowIDs, row.ID)
	return store.ActivityChange{Row: row}
}

// settle demands want of err, and a row if that is nil.
func settle(rt *rapid.T, o *tenant, change store.ActivityChange, err, want error) bool {
	if want != nil {
		wantError(rt, err, want)
		wantEqual(rt, change.Row.Seq, int64(0))
		return false
	}
	must(rt, err)
	o.wrote(rt, change.Row)
	return true
}

func (o *tenant) workspace(ref string) int {
	return slices.IndexFunc(o.workspaces, func(ws store.Workspace) bool { return ws.ID == ref || ws.Name == ref })
}

func (w *world) createWorkspace(rt *rapid.T) {
	o := w.tenant(rt)
	ws := store.Workspace{
		ID: id.New(), OrgID: o.org.ID, Name: names.Draw(rt, "name"), Tier: 2,
		Labels: map[string]string{}, CreatedAt: start(), UpdatedAt: start(),
	}
	w.wsIDs = append(w.wsIDs, ws.ID)
	var want error
	if o.workspace(ws.Name) >= 0 {
		want = store.ErrConflict
	}
	change := w.change(o, ws.ID)
	if settle(rt, o, change, w.e.CreateWorkspace(rt.Context(), ws, 0, change), want) {
		o.workspaces = append(o.workspaces, ws)
	}
}

func (w *world) updateWorkspace(rt *rapid.T) {
	o, wsID, name := w.tenant(rt), rapid.SampledFrom(w.wsIDs).Draw(rt, "id"), names.Draw(rt, "name")
	change, i := w.change(o, wsID), o.workspace(wsID)
	got, err := w.e.UpdateWorkspace(rt.Context(), o.org.ID, wsID, func(ws *store.Workspace) (store.ActivityChange, error) {
		ws.Name, ws.Tier = name, ws.Tier+1
		return change, nil
	})
	var want error
	switch taken := o.workspace(name); {
	case i < 0:
		want = store.ErrNotFound
	case taken >= 0 && taken != i:
		want = store.ErrConflict
	}
	if settle(rt, o, change, err, want) {
		o.workspaces[i].Name, o.workspaces[i].Tier = name, o.workspaces[i].Tier+1
		wantEqual(rt, got, o.workspaces[i])
	}
}

func (w *world) deleteWorkspace(rt *rapid.T) {
	o, wsID := w.tenant(rt), rapid.SampledFrom(w.wsIDs).Draw(rt, "id")
	change, i := w.change(o, wsID), o.workspace(wsID)
	var want error
	if i < 0 {
		want = store.ErrNotFound
	}
	if settle(rt, o, change, w.e.DeleteWorkspace(rt.Context(), o.org.ID, wsID, change), want) {
		o.workspaces = slices.Delete(o.workspaces, i, i+1)
		o.tokens = slices.DeleteFunc(o.tokens, func(tok store.Token) bool { return tok.WorkspaceID == wsID })
	}
}

func (w *world) createToken(rt *rapid.T) {
	o, wsID := w.tenant(rt), rapid.SampledFrom(w.wsIDs).Draw(rt, "workspace")
	tok := newToken(o.org.ID, wsID, names.Draw(rt, "name"))
	w.tokIDs = append(w.tokIDs, tok.ID)
	var want error
	if wsID != "" && o.workspace(wsID) < 0 {
		want = store.ErrNotFound
	}
	change := w.change(o, wsID)
	if settle(rt, o, change, w.e.CreateToken(rt.Context(), tok, 0, change), want) {
		o.tokens = append(o.tokens, tok)
	}
}

func (w *world) revokeToken(rt *rapid.T) {
	o, tokID := w.tenant(rt), rapid.SampledFrom(w.tokIDs).Draw(rt, "id")
	i := slices.IndexFunc(o.tokens, func(tok store.Token) bool { return tok.ID == tokID })
	wsID := rapid.SampledFrom(w.wsIDs).Draw(rt, "workspace")
	if i >= 0 && rapid.Bool().Draw(rt, "its own") {
		wsID = o.tokens[i].WorkspaceID
	}
	var want error
	if i < 0 || o.tokens[i].WorkspaceID != wsID {
		want = store.ErrNotFound
	}
	change := w.change(o, wsID)
	if settle(rt, o, change, w.e.RevokeToken(rt.Context(), o.org.ID, wsID, tokID, start(), change), want) {
		o.tokens = slices.Delete(o.tokens, i, i+1)
	}
}

// commitActivity commits rows and completions of both tenants in one batch.
func (w *world) commitActivity(rt *rapid.T) {
	var changes []store.ActivityChange
	var owners []*tenant
	for range rapid.IntRange(1, 6).Draw(rt, "changes") {
		o := w.tenant(rt)
		row := newExec(o.org.ID, rapid.SampledFrom(w.wsIDs).Draw(rt, "workspace"))
		change := store.ActivityChange{Row: row}
		if rapid.Bool().Draw(rt, "complete") {
			row.ID = rapid.SampledFrom(w.rowIDs).Draw(rt, "id")
			change = completion(row, 1)
		} else {
			w.rowIDs = append(w.rowIDs, row.ID)
		}
		changes, owners = append(changes, change), append(owners, o)
	}
	must(rt, w.e.CommitActivity(rt.Context(), changes, rapid.Bool().Draw(rt, "durable")))
	for i, change := range changes {
		o, row := owners[i], change.Row
		if !change.Complete {
			o.wrote(rt, row)
			continue
		}
		at := slices.IndexFunc(o.rows, func(r store.Activity) bool {
			return r.ID == row.ID && r.Status == sallyport.StatusRunning
		})
		if at < 0 {
			wantEqual(rt, row.Seq, int64(0))
			continue
		}
		o.seq++
		wantEqual(rt, row.Seq, o.seq)
		kept := &o.rows[at]
		kept.Seq, kept.Status, kept.CompletedAt, kept.ExitCode = row.Seq, row.Status, row.CompletedAt, row.ExitCode
		o.events = append(o.events, *kept)
	}
}

// find looks for any id or name in one tenant.
func (w *world) find(rt *rapid.T) {
	o := w.tenant(rt)
	ref := rapid.OneOf(rapid.SampledFrom(w.wsIDs), names).Draw(rt, "workspace")
	ws, err := w.e.Workspace(rt.Context(), o.org.ID, ref)
	if i := o.workspace(ref); i < 0 {
		wantError(rt, err, store.ErrNotFound)
		wantEqual(rt, ws, store.Workspace{})
	} else {
		must(rt, err)
		wantEqual(rt, ws, o.workspaces[i])
	}

	wsID, tokID := rapid.SampledFrom(w.wsIDs).Draw(rt, "token of"), rapid.SampledFrom(w.tokIDs).Draw(rt, "token")
	tok, err := w.e.Token(rt.Context(), o.org.ID, wsID, tokID)
	if i := slices.IndexFunc(o.tokens, func(k store.Token) bool { return k.ID == tokID && k.WorkspaceID == wsID }); i < 0 {
		wantError(rt, err, store.ErrNotFound)
		wantEqual(rt, tok, store.Token{})
	} else {
		must(rt, err)
		wantEqual(rt, tok, o.tokens[i])
	}

	rowID := rapid.SampledFrom(w.rowIDs).Draw(rt, "row")
	row, err := w.e.Activity(rt.Context(), o.org.ID, rowID)
	i := slices.IndexFunc(o.rows, func(r store.Activity) bool { return r.ID == rowID })
	if i < 0 {
		wantError(rt, err, store.ErrNotFound)
		wantEqual(rt, row, store.Activity{})
	} else {
		must(rt, err)
		wantEqual(rt, row, o.rows[i])
	}
}

// check compares both tenants with their models.
func (w *world) check(rt *rapid.T) {
	for _, o := range w.tenants {
		org := o.org.ID
		wantEqual(rt, value(w.e.Org(rt.Context(), org))(rt), o.org)
		wantRecords(rt, records(rt, value(w.e.Workspaces(rt.Context(), org, all))(rt), false), o.workspaces)
		for _, wsID := range []string{"", rapid.SampledFrom(w.wsIDs).Draw(rt, "tokens of")} {
			var want []store.Token
			for _, tok := range o.tokens {
				if tok.WorkspaceID == wsID {
					want = append(want, tok)
				}
			}
			wantRecords(rt, records(rt, value(w.e.Tokens(rt.Context(), org, wsID, all))(rt), false), want)
		}
		rows := records(rt, value(w.e.Activities(rt.Context(), store.ActivityFilter{OrgID: org}, all))(rt), true)
		slices.Reverse(rows)
		wantRecords(rt, rows, o.rows)
		o.checkSeqs(rt)
		w.checkEvents(rt, o)
	}
}

// checkEvents demands that each change shows the row as it left it, from wherever
// one asks.
func (w *world) checkEvents(rt *rapid.T, o *tenant) {
	wantEqual(rt, value(w.e.LastSeq(rt.Context(), o.org.ID))(rt), o.seq)
	after := rapid.Int64Range(-1, o.seq+1).Draw(rt, "after")
	limit := rapid.IntRange(1, 9).Draw(rt, "limit")
	from := min(max(after, 0), o.seq)
	want := o.events[from:min(from+int64(limit), o.seq)]
	wantRecords(rt, records(rt, value(w.e.Events(rt.Context(), o.org.ID, store.Page{After: after, Limit: limit}))(rt), false), want)
}

// checkSeqs demands that each seq from 1 to the last was taken once, rows being
// in the order of their first.
func (o *tenant) checkSeqs(rt *rapid.T) {
	var seqs []int64
	for _, row := range o.rows {
		seqs = append(seqs, row.WrittenSeq)
		if row.Seq != row.WrittenSeq {
			seqs = append(seqs, row.Seq)
		}
	}
	slices.Sort(seqs)
	for i, seq := range seqs {
		wantEqual(rt, seq, int64(i+1))
	}
	wantEqual(rt, int64(len(seqs)), o.seq)
}

func wantRecords[T any](rt *rapid.T, got, want []T) {
	if len(got)+len(want) > 0 {
		wantEqual(rt, got, want)
	}
}
