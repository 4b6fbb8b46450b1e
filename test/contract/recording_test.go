package contract

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/id"
	"sallyport/internal/keys"
	"sallyport/internal/limits"
	"sallyport/internal/recording"
	"sallyport/test/stack"
)

// archiveOf is the archive of a server, as another server that shares its directory has it.
func archiveOf(t testing.TB, s *stack.Stack) *recording.Archive {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.DataDir, "seal.key"))
	if err != nil {
		t.Fatal(err)
	}
	seal, err := keys.ReadSeal(text)
	if err != nil {
		t.Fatal(err)
	}
	return &recording.Archive{Dir: filepath.Join(s.DataDir, "recordings"), Seal: seal, BytesMax: limits.RecordingBytesMax, Retention: limits.RecordingRetention}
}

// newRecording records a terminal that showed text and has ended, and returns its id.
func newRecording(t testing.TB, s *stack.Stack, ws sallyport.Workspace, text string) string {
	t.Helper()
	w := beginRecording(t, s, ws, text)
	if err := w.Close(sallyport.StatusOK); err != nil {
		t.Fatal(err)
	}
	return w.ID
}

// begunRecording is one that goes on.
type begunRecording struct {
	*recording.Writer
	ID string
}

func beginRecording(t testing.TB, s *stack.Stack, ws sallyport.Workspace, text string) begunRecording {
	t.Helper()
	h := recording.Header{
		ID: id.New(), OrgID: ws.OrgID, WorkspaceID: ws.ID, Actor: "org-token:sp_org_x", CreatedAt: time.Now().UTC().Truncate(time.Microsecond),
		Cols: 120, Rows: 40, Term: "xterm-256color", Title: "bash",
	}
	w, err := archiveOf(t, s).Begin(h)
	if err == nil {
		err = w.Output([]byte(text))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close(sallyport.StatusInterrupted) })
	return begunRecording{w, h.ID}
}

// Recordings are listed, read and deleted, and who reads or deletes one is on record.
func TestRecordings(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	h := newHome(t, s, "a")
	second := newWorkspace(t, s, h.ID, "second", sallyport.TierFullHost, false)
	first := newRecording(t, s, h.ws, "$ ls\r\n")
	other := newRecording(t, s, second, "$ pwd\r\n")

	var list sallyport.List[sallyport.Recording]
	s.Do(t, "GET", "/orgs/"+h.ID+"/recordings?limit=1", h.token, "").Decode(t, &list)
	if len(list.Items) != 1 || list.Items[0].ID != other || list.NextCursor == "" {
		t.Errorf("the organisation's: %+v", list)
	}
	s.Do(t, "GET", "/orgs/"+h.ID+"/recordings?cursor="+list.NextCursor, h.token, "").Decode(t, &list)
	if len(list.Items) != 1 || list.Items[0].ID != first || list.NextCursor != "" {
		t.Errorf("the organisation's second page: %+v", list)
	}
	got := list.Items[0]
	if got.WorkspaceID != h.ws.ID || got.Actor != "org-token:sp_org_x" || got.Status != "ok" || got.Cols != 120 || got.Rows != 40 || got.Bytes == 0 {
		t.Errorf("listed %+v", got)
	}
	s.Do(t, "GET", "/workspaces/build/recordings", h.token, "").Decode(t, &list)
	if len(list.Items) != 1 || list.Items[0].ID != first {
		t.Errorf("the workspace's: %+v", list)
	}
	wantAnswer(t, "a made-up cursor", s.Do(t, "GET", "/workspaces/build/recordings?cursor=x", h.token, ""), 400, "invalid_cursor")

	a := s.Do(t, "GET", "/workspaces/build/recordings/"+first, h.token, "")
	if a.Status != 200 || a.Header.Get("Content-Type") != sallyport.MediaAsciicast || int64(len(a.Body)) != got.Bytes || !strings.Contains(a.Body, `"o", "$ ls\r\n"]`) {
		t.Errorf("read: %d %v %q", a.Status, a.Header, a.Body)
	}
	wantAnswer(t, "another workspace's", s.Do(t, "GET", "/workspaces/build/recordings/"+other, h.token, ""), 404, "not_found")
	wantAnswer(t, "none", s.Do(t, "GET", "/orgs/"+h.ID+"/recordings/none", h.token, ""), 404, "not_found")
	row := rowsAt(t, s, h.token, "/workspaces/build/activity?type=recording_read")
	if len(row) != 1 || !strings.Contains(row[0].Summary, first) {
		t.Errorf("rows of reading: %+v", row)
	}

	wantAnswer(t, "delete", s.Do(t, "DELETE", "/orgs/"+h.ID+"/recordings/"+first, h.token, ""), 204, "")
	wantAnswer(t, "delete again", s.Do(t, "DELETE", "/workspaces/build/recordings/"+first, h.token, ""), 404, "not_found")
	if row := rowsAt(t, s, h.token, "/workspaces/build/activity?type=recording_deleted"); len(row) != 1 || !strings.Contains(row[0].Summary, first) {
		t.Errorf("rows of deleting: %+v", row)
	}
}

// What a crash left of a recording is read as interrupted, since its terminal doesn't run. A file
// that somebody has changed is never a whole answer.
func TestRecordingThatWasCut(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	h := newHome(t, s, "a")
	cut := beginRecording(t, s, h.ws, strings.Repeat("x", 64<<10))
	var list sallyport.List[sallyport.Recording]
	s.Do(t, "GET", "/workspaces/build/recordings", h.token, "").Decode(t, &list)
	if len(list.Items) != 1 || list.Items[0].Status != sallyport.StatusInterrupted {
		t.Errorf("listed %+v", list)
	}
	if a := s.Do(t, "GET", "/workspaces/build/recordings/"+cut.ID, h.token, ""); a.Status != 200 || !strings.Contains(a.Body, "xxxx") {
		t.Errorf("read: %d %.100q", a.Status, a.Body)
	}
}
