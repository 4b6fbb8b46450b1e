package storetest

import (
	"reflect"
	"testing"

	"sallyport/client/sallyport"
	"sallyport/internal/id"
	"sallyport/internal/store"
)

// testEvents demands that a row's events are the row as it was written and as it
// was completed, field for field, and one alone if both were at once.
func testEvents(t *testing.T, e Engine) {
	ctx := t.Context()
	org := id.New()
	wantEqual(t, value(e.LastSeq(ctx, org))(t), int64(0))
	wantEqual(t, len(value(e.Events(ctx, org, all))(t)), 0)

	full := new(store.Activity)
	fill(reflect.ValueOf(full).Elem())
	full.ID, full.OrgID, full.Replica, full.Class = id.New(), org, "", store.ClassStream
	full.Status, full.CompletedAt = sallyport.StatusRunning, nil
	full.ActEnded, full.ExecEnded = sallyport.ActEnded{}, sallyport.ExecEnded{}
	full.StreamedStdin = nil
	full.FileEnded, full.ForwardEnded, full.TerminalEnded = sallyport.FileEnded{}, sallyport.ForwardEnded{}, sallyport.TerminalEnded{}
	denied := newRow(org, "", sallyport.ActivityAccessDenied)
	must(t, e.CommitActivity(ctx, write(full, denied), true))
	written := *full
	wantEqual(t, records(t, value(e.Events(ctx, org, all))(t), false), []store.Activity{written, *denied})

	must(t, e.CommitActivity(ctx, []store.ActivityChange{completion(full, 3)}, true))
	completed := value(e.Activity(ctx, org, full.ID))(t)
	want := []store.Activity{written, *denied, completed}
	for after := range int64(4) {
		for limit := range 4 {
			got := records(t, value(e.Events(ctx, org, store.Page{After: after, Limit: limit}))(t), false)
			wantEqual(t, append([]store.Activity{}, got...), append([]store.Activity{}, want[after:min(int(after)+limit, 3)]...))
		}
	}
	wantEqual(t, value(e.LastSeq(ctx, org))(t), int64(3))
	wantEqual(t, len(value(e.Events(ctx, id.New(), all))(t)), 0)
}
