package audit_test

import (
	"testing"
	"testing/synctest"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/audit"
	"sallyport/internal/limits"
	"sallyport/internal/principal"
	"sallyport/internal/store"
)

// denial is a refusal of a caller by the prefix of its token.
func denial(prefix, workspace, tried string) audit.Denial {
	return audit.Denial{
		By:    principal.Principal{Kind: principal.Org, OrgID: "o", Prefix: prefix},
		OrgID: "o", WorkspaceID: workspace, Tried: tried, Code: sallyport.CodeScopeForbidden,
	}
}

// refuse records refusals, n of them, each a millisecond after the one before.
func refuse(t *testing.T, log *audit.Log, n int, d audit.Denial) {
	t.Helper()
	for range n {
		if err := log.Deny(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Millisecond)
	}
}

// shared are the rows that stand for several refusals; the others are counted.
func shared(rows []store.Activity) (single int, shared []store.Activity) {
	for _, row := range rows {
		if row.Count == 0 {
			single++
			continue
		}
		shared = append(shared, row)
	}
	return single, shared
}

// Of a flood of refusals the first ten a minute are rows, and the rest is one row when
// the minute is over. Others' are counted apart, and so is the next minute.
func TestDenialsShareARow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(t)
		log := newLog(t, d)
		began := time.Now()
		refuse(t, log, 200, denial("flood", "w", "exec"))
		refuse(t, log, 3, denial("flood", "w", "list tokens"))
		refuse(t, log, 3, denial("other", "w", "exec"))
		if single, more := shared(d.rows(t, "o")); single != limits.DenialRowsMax+6 || len(more) != 0 {
			t.Errorf("within the minute: %d rows, and %+v", single, more)
		}
		<-time.After(limits.DenialTime)
		synctest.Wait()
		single, more := shared(d.rows(t, "o"))
		if single != limits.DenialRowsMax+6 || len(more) != 1 {
			t.Fatalf("after the minute: %d rows, and %+v", single, more)
		}
		row := more[0]
		if row.Count != 190 || row.Type != sallyport.ActivityAccessDenied || row.Status != sallyport.StatusDenied || row.WorkspaceID != "w" || row.Actor != "org-token:flood" {
			t.Errorf("row %+v", row)
		}
		if first, last := began.Add(10*time.Millisecond), began.Add(199*time.Millisecond); !row.CreatedAt.Equal(first) || !row.Until.Equal(last) || !row.CompletedAt.Equal(last) {
			t.Errorf("from %v to %v, completed %v; want %v and %v", row.CreatedAt, row.Until, row.CompletedAt, first, last)
		}
		refuse(t, log, 1, denial("flood", "w", "exec"))
		if single, more := shared(d.rows(t, "o")); single != limits.DenialRowsMax+7 || len(more) != 1 {
			t.Errorf("the next minute: %d rows, and %+v", single, more)
		}
	})
}

// The end of the log writes what it has counted, and a row of several workspaces is of
// none.
func TestDenialsAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(t)
		log := newLog(t, d)
		for i := range 30 {
			refuse(t, log, 1, denial("flood", []string{"v", "w"}[i%2], "exec"))
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		single, more := shared(d.rows(t, "o"))
		if single != limits.DenialRowsMax || len(more) != 1 || more[0].Count != 20 || more[0].WorkspaceID != "" {
			t.Errorf("%d rows, and %+v", single, more)
		}
	})
}

// A store that fails when the minute is over gets the count later.
func TestDenialsOfASickStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(t)
		log := newLog(t, d)
		refuse(t, log, 12, denial("flood", "w", "exec"))
		d.fail(errSick)
		<-time.After(limits.DenialTime + 10*time.Second)
		d.fail(nil)
		<-time.After(time.Second)
		if _, more := shared(d.rows(t, "o")); len(more) != 1 || more[0].Count != 2 {
			t.Errorf("%+v", more)
		}
	})
}
