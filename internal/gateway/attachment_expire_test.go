package gateway_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/gateway"
)

// attach attaches one file with this content.
func (w *world) attach(t *testing.T, ws sallyport.Workspace, content string, life time.Duration) sallyport.Attachment {
	t.Helper()
	given := false
	made, err := w.Attach(t.Context(), w.admin, gateway.Ref{Workspace: ws.ID}, gateway.Attach{
		MediaType: func([]byte) string { return "text/plain" },
		Next: func(context.Context) (gateway.NewAttachment, error) {
			if given {
				return gateway.NewAttachment{}, io.EOF
			}
			given = true
			take := func(context.Context) (io.Reader, func()) { return strings.NewReader(content), func() {} }
			return gateway.NewAttachment{Name: "f", Life: life, Content: take, SizeMax: -1}, nil
		},
	})
	must(t, err)
	return made[0]
}

// What has expired is gone at once for callers, and its file with the next sweep, once, with
// one row of the server's own. A machine that can't be reached leaves no row, and is tried
// again.
func TestExpireAttachments(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Attachments = w.db
	ws, dir := w.host(t, w.org(t, "a")), t.TempDir()
	connect := func(c *sallyport.Connector) {
		_, err := w.UpdateWorkspace(t.Context(), w.admin, gateway.Ref{Workspace: ws.ID}, gateway.WorkspaceChange{
			Connector: func(*sallyport.Connector) (*sallyport.Connector, error) { return c, nil },
		})
		must(t, err)
	}
	connect(&sallyport.Connector{Type: sallyport.ConnectorLocal, Root: dir})
	short, long := w.attach(t, ws, "short", time.Hour), w.attach(t, ws, "long", 24*time.Hour)
	later := time.Hour
	w.Now = func() time.Time { return now().Add(later) }
	_, err := w.Attachment(t.Context(), w.admin, gateway.Ref{Workspace: ws.ID}, short.ID)
	wantCode(t, "expired", err, sallyport.CodeAttachmentNotFound)

	w.ConnectTime = time.Nanosecond
	before := len(w.rows(t, ws.OrgID))
	must(t, w.ExpireAttachments(t.Context()))
	w.ConnectTime = time.Minute
	must(t, w.ExpireAttachments(t.Context())) // it isn't its time yet
	if _, err := os.Stat(filepath.Join(dir, short.Path)); err != nil || len(w.rows(t, ws.OrgID)) != before {
		t.Fatalf("%v, rows %+v", err, w.rows(t, ws.OrgID))
	}
	later += time.Hour
	must(t, w.ExpireAttachments(t.Context()))
	must(t, w.ExpireAttachments(t.Context()))
	if _, err := os.Stat(filepath.Dir(filepath.Join(dir, short.Path))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is there: %v", err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, long.Path)); err != nil || string(got) != "long" {
		t.Errorf("the other holds %q: %v", got, err)
	}
	found := 0
	for _, row := range w.rows(t, ws.OrgID) {
		if row.Op == sallyport.FileOpAttachmentExpire {
			found++
			if row.Actor != "system" || row.Status != sallyport.StatusOK || row.Path != short.Path || row.WorkspaceID != ws.ID || row.CompletedAt == nil {
				t.Errorf("row %+v", row)
			}
		}
	}
	if found != 1 {
		t.Errorf("%d rows", found)
	}
}
