package feed_test

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/feed"
	"sallyport/internal/store"
	"sallyport/internal/store/column"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// goldenTime is when everything happens in the golden rows.
var goldenTime = time.Date(2026, 11, 24, 8, 0, 0, 123456000, time.UTC)

// goldenRow is a row of the type, as it is written when it is complete at once.
func goldenRow(kind string) store.Activity {
	row := store.Activity{}
	row.ID, row.OrgID, row.WorkspaceID = "01937f00-0000-7000-8000-0000000000aa", "01937f00-0000-7000-8000-000000000001", "01937f00-0000-7000-8000-0000000000bb"
	row.Type, row.Status, row.Actor, row.ClientAddr = kind, sallyport.StatusOK, "org-token:sp_org_AbCdEfGh", "127.0.0.1"
	row.Summary, row.CreatedAt, row.CompletedAt = "of 'é <&>\\n'", goldenTime, &goldenTime
	return row
}

// goldenRows are rows of each type, with each field that a row of it can have. In two of
// one type what one can't have the other does.
func goldenRows(t *testing.T) map[string]store.Activity {
	t.Helper()
	rows := map[string]store.Activity{}
	source, err := os.ReadFile("../../client/sallyport/activity.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range regexp.MustCompile(`(?m)^\tActivity\w+ += "(\w+)"$`).FindAllSubmatch(source, -1) {
		kind := string(found[1])
		rows[kind] = goldenRow(kind)
	}
	denied := goldenRow(sallyport.ActivityAccessDenied)
	denied.Status, denied.Code = sallyport.StatusDenied, sallyport.CodeScopeForbidden
	rows[denied.Type] = denied
	counted, until := denied, goldenTime.Add(time.Minute)
	counted.Count, counted.Until = 12345, &until
	rows["access_denied-counted"] = counted
	rows[sallyport.ActivityExec] = goldenExec()
	failed := goldenExec()
	failed.Status, failed.ExitCode, failed.Signal, failed.Survivors = sallyport.StatusError, nil, "", nil
	failed.Code, failed.Reason, failed.SurvivorsUnknown = sallyport.CodeTooManyExecs, "capacity", true
	failed.DurationMS, failed.StdoutBytes, failed.StderrBytes, failed.StdoutTruncated, failed.StderrTruncated = nil, nil, nil, nil, nil
	failed.Cwd, failed.EnvNames, failed.ClientAddr = "", nil, ""
	rows["workspace_exec-failed"] = failed
	diagnosed, completed, took := goldenRow(sallyport.ActivityWorkspaceDiagnosed), goldenTime.Add(time.Second), int64(12)
	diagnosed.Status, diagnosed.Code, diagnosed.Reason = sallyport.StatusError, sallyport.CodeConnectFailed, sallyport.ReasonNoBanner
	diagnosed.CompletedAt, diagnosed.DurationMS = &completed, &took
	rows[diagnosed.Type] = diagnosed
	rows[sallyport.ActivityFile] = goldenFile()
	rows[sallyport.ActivityForward] = goldenForward()
	return rows
}

func goldenFile() store.Activity {
	row := goldenRow(sallyport.ActivityFile)
	completed, offset, took, bytes, entries := goldenTime.Add(time.Second), int64(0), int64(12), int64(9), int64(0)
	row.Op, row.Path, row.ToBase64, row.Offset = sallyport.FileOpWrite, "a/é <&>\u2028", "/w==", &offset
	row.DurationMS, row.Bytes, row.Entries, row.SHA256 = &took, &bytes, &entries, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	row.CompletedAt = &completed
	return row
}

func goldenForward() store.Activity {
	row := goldenRow(sallyport.ActivityForward)
	completed, took, input, output := goldenTime.Add(time.Second), int64(12), int64(9), int64(0)
	row.Target, row.DurationMS, row.InputBytes, row.OutputBytes = "[::1]:5432", &took, &input, &output
	row.Status, row.Code, row.Reason, row.CompletedAt = sallyport.StatusError, sallyport.CodeForwardFailed, sallyport.ReasonRefused, &completed
	return row
}

func goldenExec() store.Activity {
	row := goldenRow(sallyport.ActivityExec)
	completed := goldenTime.Add(time.Second)
	stdin, exit, took, stdout, stderr, yes, no, survivors := int64(0), 137, int64(12), int64(9), int64(0), true, false, 2
	row.Argv, row.Cwd, row.EnvNames = []string{"printf", "é <&>\n\u2028\u007f"}, "/srv/a b", []string{"A", "B"}
	row.StdinBytes, row.TimeoutS = &stdin, 30
	row.ExitCode, row.Signal, row.DurationMS, row.Survivors = &exit, "KILL", &took, &survivors
	row.StdoutBytes, row.StderrBytes, row.StdoutTruncated, row.StderrTruncated = &stdout, &stderr, &yes, &no
	row.Status, row.CompletedAt = sallyport.StatusError, &completed
	return row
}

// TestGoldenRows demands that rows are kept, and shown by the events, as they always
// were, byte for byte: what was signed once must hash the same ever after. A file has
// the two columns of a row, and the events that it makes. A difference is a mistake,
// unless it is a new type, or a member that rows had not before.
func TestGoldenRows(t *testing.T) {
	for name, row := range goldenRows(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got bytes.Buffer
			detail, err := column.Detail(&row)
			if err != nil {
				t.Fatal(err)
			}
			outcome, err := column.Outcome(&row)
			if err != nil {
				t.Fatal(err)
			}
			got.WriteString(detail + "\n" + outcome.String + "\n")
			for _, event := range eventsOf(t, row) {
				got.Write(append(event.Row, '\n'))
			}
			golden(t, filepath.Join("testdata", "rows", name+".ndjson"), got.Bytes())
			fromColumns(t, row, detail, outcome)
		})
	}
}

// eventsOf writes a row to a store and reads its events.
func eventsOf(t *testing.T, row store.Activity) []feed.Event {
	w := newWorld(t)
	w.org = row.OrgID
	written, want := row, 1
	if row.CompletedAt.After(row.CreatedAt) {
		written, want = column.AsWritten(row), 2
	}
	w.commit([]store.ActivityChange{{Row: &written}})
	if want == 2 {
		w.commit([]store.ActivityChange{{Complete: true, Row: &row}})
	}
	r := w.open(0)
	var events []feed.Event
	for len(events) < want {
		events = append(events, w.next(r)...)
	}
	return events
}

func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v: make the file of a new type with go test ./internal/feed -run TestGoldenRows -update", err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: got\n%swant\n%s", file, got, want)
	}
}

// fromColumns demands that what the columns hold is the row again.
func fromColumns(t *testing.T, row store.Activity, detail string, outcome sql.NullString) {
	t.Helper()
	var read store.Activity
	if err := column.ReadDetail(detail, &read); err != nil {
		t.Fatal(err)
	}
	if err := column.ReadOutcome(outcome, &read); err != nil {
		t.Fatal(err)
	}
	read.ID, read.OrgID, read.WorkspaceID, read.Type, read.Status, read.Actor = row.ID, row.OrgID, row.WorkspaceID, row.Type, row.Status, row.Actor
	read.Summary, read.CreatedAt, read.CompletedAt = row.Summary, row.CreatedAt, row.CompletedAt
	got, _ := json.Marshal(read.Activity)
	want, _ := json.Marshal(row.Activity)
	if string(got) != string(want) {
		t.Errorf("from its columns: got\n%s\nwant\n%s", got, want)
	}
}
