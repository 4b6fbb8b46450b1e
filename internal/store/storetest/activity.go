package storetest

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/id"
	"sallyport/internal/store"
)

// fill sets every field of a struct to something that is not its zero value, but for what is no
// part of a row.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(start().Add(time.Millisecond)))
			return
		}
		if v.Type() == reflect.TypeFor[sallyport.ExecSeen]() {
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0)) // the second stays empty
	case reflect.String:
		v.SetString("é<&>\"\\ \n\u2028")
	case reflect.Int, reflect.Int64:
		v.SetInt(1 << 40)
	case reflect.Bool:
		v.SetBool(true)
	default:
		panic("no value for " + v.Type().String())
	}
}

func testActivityKeepsEveryField(t *testing.T, e Engine) {
	ctx := t.Context()
	full := new(store.Activity)
	fill(reflect.ValueOf(full).Elem())
	full.ID, full.OrgID, full.Class = id.New(), id.New(), store.ClassStream
	must(t, e.TakeLease(ctx, full.Replica, "", time.Hour))
	must(t, e.CommitActivity(ctx, write(full), true))
	wantEqual(t, full.Seq, int64(1))
	wantEqual(t, value(e.Activity(ctx, full.OrgID, full.ID))(t), *full)

	bare := &store.Activity{Activity: sallyport.Activity{ID: id.New(), CreatedAt: start()}}
	must(t, e.CommitActivity(ctx, write(bare), true))
	wantEqual(t, value(e.Activity(ctx, "", bare.ID))(t), *bare)

	// Zero is a value where nil is none.
	zeros := newExec(full.OrgID, "")
	zeros.StdinBytes, zeros.ExitCode, zeros.DurationMS = new(int64), new(int), new(int64)
	zeros.StdoutTruncated, zeros.Survivors = new(bool), new(int)
	must(t, e.CommitActivity(ctx, write(zeros), true))
	wantEqual(t, value(e.Activity(ctx, full.OrgID, zeros.ID))(t), *zeros)
}

func testActivityCompletion(t *testing.T, e Engine) {
	ctx := t.Context()
	want := new(store.Activity)
	fill(reflect.ValueOf(want).Elem())
	want.ID, want.OrgID, want.Class = id.New(), id.New(), store.ClassStream
	must(t, e.TakeLease(ctx, want.Replica, "", time.Hour))

	written := *want
	written.Status, written.CompletedAt = sallyport.StatusRunning, nil
	written.ActEnded, written.ExecEnded = sallyport.ActEnded{}, sallyport.ExecEnded{}
	written.StreamedStdin, written.StdinBytes = nil, new(int64) // none has been passed on yet
	must(t, e.CommitActivity(ctx, write(&written), true))
	wantEqual(t, value(e.Activity(ctx, want.OrgID, want.ID))(t), written)

	// What was there from the start stays as it was.
	done := *want
	done.Type, done.Actor, done.Summary, done.WorkspaceID = "x", "x", "x", "x"
	done.CreatedAt, done.Argv, done.Cwd, done.ClientAddr = time.Time{}, nil, "", ""
	must(t, e.CommitActivity(ctx, []store.ActivityChange{{Complete: true, Row: &done}}, true))
	wantEqual(t, done.Seq, int64(2))
	want.Seq, want.WrittenSeq = 2, 1
	wantEqual(t, value(e.Activity(ctx, want.OrgID, want.ID))(t), *want)
}

func testActivityCompletionOfNothing(t *testing.T, e Engine) {
	ctx := t.Context()
	org, other := id.New(), id.New()
	exec, denied := newExec(org, ""), newRow(org, "", sallyport.ActivityAccessDenied)
	must(t, e.CommitActivity(ctx, write(exec, denied), true))
	first := completion(exec, 0)
	must(t, e.CommitActivity(ctx, []store.ActivityChange{first}, false))
	done := value(e.Activity(ctx, org, exec.ID))(t)

	absent := newExec(org, "")
	elsewhere := completion(exec, 7)
	elsewhere.Row.OrgID = other
	again, never := completion(exec, 7), completion(denied, 7)
	after := newRow(org, "", sallyport.ActivityAccessDenied)
	must(t, e.CommitActivity(ctx, []store.ActivityChange{
		again, never, completion(absent, 7), elsewhere, {Row: after},
	}, true))
	wantEqual(t, []int64{again.Row.Seq, never.Row.Seq, elsewhere.Row.Seq}, []int64{0, 0, 0})
	wantEqual(t, after.Seq, int64(4))
	wantEqual(t, value(e.Activity(ctx, org, exec.ID))(t), done)
	wantEqual(t, value(e.Activity(ctx, org, denied.ID))(t), *denied)
	for _, c := range []struct{ org, id string }{{org, absent.ID}, {other, exec.ID}, {"", absent.ID}, {org, ""}} {
		_, err := e.Activity(ctx, c.org, c.id)
		wantError(t, err, store.ErrNotFound)
	}

	must(t, e.CommitActivity(ctx, []store.ActivityChange{completion(exec, 7)}, true))
	next := newRow(other, "", sallyport.ActivityAccessDenied)
	must(t, e.CommitActivity(ctx, write(next), true))
	wantEqual(t, next.Seq, int64(1))
}

func testActivitySeq(t *testing.T, e Engine) {
	ctx := t.Context()
	must(t, e.CommitActivity(ctx, nil, true))
	a, b := id.New(), id.New()
	a1, b1, a2, none1 := newExec(a, ""), newExec(b, ""), newExec(a, ""), newRow("", "", sallyport.ActivityAccessDenied)
	must(t, e.CommitActivity(ctx, write(a1, b1, a2, none1), false))
	wantEqual(t, []int64{a1.Seq, b1.Seq, a2.Seq, none1.Seq}, []int64{1, 1, 2, 1})

	// A row that is written and completed in one batch, and numbers that go on.
	a3, none2 := newExec(a, ""), newRow("", "", sallyport.ActivityAccessDenied)
	ends := []store.ActivityChange{completion(a2, 0), {Row: a3}, completion(a3, 1), completion(a1, 0), {Row: none2}}
	must(t, e.CommitActivity(ctx, ends, true))
	wantEqual(t, []int64{ends[0].Row.Seq, a3.Seq, ends[2].Row.Seq, ends[3].Row.Seq, none2.Seq}, []int64{3, 4, 5, 6, 2})

	got := value(e.Activity(ctx, a, a3.ID))(t)
	wantEqual(t, []int64{got.WrittenSeq, got.Seq}, []int64{4, 5})
	rows := records(t, value(e.Activities(ctx, store.ActivityFilter{OrgID: a}, all))(t), true)
	wantEqual(t, []string{rows[0].ID, rows[1].ID, rows[2].ID}, []string{a3.ID, a2.ID, a1.ID})
}

func testActivityBatchIsAllOrNothing(t *testing.T, e Engine) {
	ctx := t.Context()
	a, b := id.New(), id.New()
	running := newExec(a, "")
	must(t, e.CommitActivity(ctx, write(running), true))

	done, lost, lostToo, twin := completion(running, 0), newExec(a, ""), newExec(b, ""), *running
	batch := []store.ActivityChange{done, {Row: lost}, {Row: lostToo}, {Row: &twin}}
	twin.Seq = 0
	wantOther(t, e.CommitActivity(ctx, batch, true)) // the last one's id is taken
	wantEqual(t, []int64{done.Row.Seq, lost.Seq, lostToo.Seq, twin.Seq}, []int64{running.Seq, 0, 0, 0})
	wantOther(t, e.CommitActivity(ctx, []store.ActivityChange{{Row: lost}, {}}, true))
	wantEqual(t, value(e.Activity(ctx, a, running.ID))(t), *running)
	_, err := e.Activity(ctx, a, lost.ID)
	wantError(t, err, store.ErrNotFound)

	must(t, e.CommitActivity(ctx, batch[:3], true))
	wantEqual(t, []int64{done.Row.Seq, lost.Seq, lostToo.Seq}, []int64{2, 3, 1})
}

func testActivityOutlivesItsOrg(t *testing.T, e Engine) {
	ctx := t.Context()
	org := mustOrg(t, e, "acme")
	ws := mustWorkspace(t, e, org.ID, "web")
	exec := newExec(org.ID, ws.ID)
	must(t, e.CommitActivity(ctx, write(exec), true))
	must(t, e.DeleteWorkspace(ctx, org.ID, ws.ID, noted(org.ID)))
	must(t, e.DeleteOrg(ctx, org.ID, noted(org.ID)))

	end := completion(exec, 0)
	must(t, e.CommitActivity(ctx, []store.ActivityChange{end}, true))
	wantEqual(t, end.Row.Seq, int64(6))
	rows := records(t, value(e.Activities(ctx, store.ActivityFilter{OrgID: org.ID, WorkspaceID: ws.ID}, all))(t), true)
	wantEqual(t, len(rows), 1)
	wantEqual(t, rows[0].Status, sallyport.StatusOK)
	wantEqual(t, len(value(e.Activities(ctx, store.ActivityFilter{OrgID: org.ID}, all))(t)), 5)
}

// variety writes rows that differ in all that a filter looks at.
func variety(t *testing.T, e Engine, orgs []string) []store.Activity {
	t.Helper()
	summaries := []string{"make test", "Make TEST", "100% sure", "a_b", "ünïcode", "a\\b", `it's "quoted"`}
	var rows []*store.Activity
	for i := range 60 {
		row := newRow(orgs[i%len(orgs)], fmt.Sprintf("ws-%d", i%2), []string{sallyport.ActivityExec, sallyport.ActivityAccessDenied}[i%2])
		row.Status = []string{sallyport.StatusOK, sallyport.StatusDenied, sallyport.StatusTimeout}[i%3]
		row.Actor = []string{"admin-token", "org-token:sp_org_a"}[i/3%2]
		row.Summary = summaries[i%len(summaries)]
		row.CreatedAt = start().Add(time.Duration(i*37%60) * time.Microsecond)
		rows = append(rows, row)
	}
	must(t, e.CommitActivity(t.Context(), write(rows...), false))
	written := make([]store.Activity, len(rows))
	for i, row := range rows {
		written[len(rows)-1-i] = *row // newest first
	}
	return written
}

func testActivityFilters(t *testing.T, e Engine) {
	orgs := []string{id.New(), id.New(), ""}
	rows := variety(t, e, orgs)
	at := func(µs int) time.Time { return start().Add(time.Duration(µs) * time.Microsecond) }
	filters := []store.ActivityFilter{
		{}, {WorkspaceID: "ws-1"}, {Type: sallyport.ActivityExec}, {Status: sallyport.StatusTimeout},
		{Actor: "admin-token"}, {Actor: "admin"}, {Since: at(30)}, {Until: at(30)}, {Since: at(10), Until: at(20)},
		{Since: at(20), Until: at(10)}, {Query: "make"}, {Query: "TEST"}, {Query: "%"}, {Query: "_"}, {Query: "ï"},
		{Query: `\`}, {Query: "a_b"}, {Query: "a%b"}, {Query: "'"}, {Query: "?"}, {Query: `"`}, {Query: "nowhere"},
		{WorkspaceID: "ws-0", Type: sallyport.ActivityExec, Status: sallyport.StatusOK, Actor: "admin-token", Query: "e"},
		{WorkspaceID: "' OR 1=1 --"},
	}
	for _, org := range []string{"", orgs[0], orgs[1], id.New()} {
		for _, f := range filters {
			f.OrgID = org
			var want []store.Activity
			for _, row := range rows {
				if passes(f, row) {
					want = append(want, row)
				}
			}
			list := func(page store.Page) ([]store.Positioned[store.Activity], error) {
				return e.Activities(t.Context(), f, page)
			}
			got := records(t, pages(t, 7, list), true)
			if !slices.EqualFunc(got, want, func(a, b store.Activity) bool { return reflect.DeepEqual(a, b) }) {
				t.Errorf("filter %+v: got %s\nwant %s", f, describe(got), describe(want))
			}
		}
	}
}

// passes is what a filter means.
func passes(f store.ActivityFilter, row store.Activity) bool {
	return (f.OrgID == "" || row.OrgID == f.OrgID) &&
		(f.WorkspaceID == "" || row.WorkspaceID == f.WorkspaceID) &&
		(f.Type == "" || row.Type == f.Type) &&
		(f.Status == "" || row.Status == f.Status) &&
		(f.Actor == "" || row.Actor == f.Actor) &&
		(f.Since.IsZero() || !row.CreatedAt.Before(f.Since)) &&
		(f.Until.IsZero() || row.CreatedAt.Before(f.Until)) &&
		strings.Contains(row.Summary, f.Query)
}

func testActivityPagesAreStable(t *testing.T, e Engine) {
	ctx := t.Context()
	org := id.New()
	for _, filter := range []store.ActivityFilter{{OrgID: org}, {}, {OrgID: org, WorkspaceID: "ws"}} {
		var rows []*store.Activity
		for range 20 {
			rows = append(rows, newExec(org, "ws"))
		}
		must(t, e.CommitActivity(ctx, write(rows...), false))
		var want, got []string
		for _, row := range slices.Backward(rows) {
			want = append(want, row.ID)
		}
		page := store.Page{Limit: 3}
		for len(got) < len(want) {
			part := value(e.Activities(ctx, filter, page))(t)
			for _, p := range part {
				got = append(got, p.Record.ID)
			}
			page.After = part[len(part)-1].Position
			// Rows on both sides of the page are completed, and new ones come.
			at := len(got) / 2
			must(t, e.CommitActivity(ctx, []store.ActivityChange{
				completion(rows[at], 0), completion(rows[len(rows)-1-at], 0), {Row: newExec(org, "ws")},
			}, false))
		}
		wantEqual(t, got[:len(want)], want)
	}
}

func testActivityOfAllOrgs(t *testing.T, e Engine) {
	ctx := t.Context()
	var want []string
	for i := range 12 {
		row := newExec([]string{"", "a", "b"}[i%3], "")
		must(t, e.CommitActivity(ctx, write(row), false))
		want = append(want, row.ID)
	}
	slices.Reverse(want)
	list := func(page store.Page) ([]store.Positioned[store.Activity], error) {
		return e.Activities(ctx, store.ActivityFilter{}, page)
	}
	var got []string
	for _, row := range records(t, pages(t, 5, list), true) {
		got = append(got, row.ID)
	}
	wantEqual(t, got, want)
	wantEqual(t, len(value(e.Activities(ctx, store.ActivityFilter{OrgID: "a"}, all))(t)), 4)
}
