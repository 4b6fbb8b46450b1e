package gateway_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/administration"
	"sallyport/internal/connector"
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
	w.setRoot(t, ws, dir)
	short, long := w.attach(t, ws, "short", time.Hour), w.attach(t, ws, "long", 24*time.Hour)
	later := time.Hour
	w.Gateway.Now = func() time.Time { return now().Add(later) }
	_, err := w.Attachment(t.Context(), w.admin, gateway.Ref{Workspace: ws.ID}, short.ID)
	wantCode(t, "expired", err, sallyport.CodeAttachmentNotFound)

	w.Gateway.ConnectTime = time.Nanosecond
	before := len(w.rows(t, ws.OrgID))
	must(t, w.ExpireAttachments(t.Context()))
	w.Gateway.ConnectTime = time.Minute
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
	rows := w.expiries(t, ws)
	if len(rows) != 1 || rows[0].Actor != "system" || rows[0].Status != sallyport.StatusOK || rows[0].Path != short.Path || rows[0].CompletedAt == nil {
		t.Errorf("rows %+v", rows)
	}
}

func (w *world) setRoot(t *testing.T, ws sallyport.Workspace, dir string) {
	t.Helper()
	_, err := w.UpdateWorkspace(t.Context(), w.admin, gateway.Ref{Workspace: ws.ID}, administration.WorkspaceChange{
		Connector: func(*sallyport.Connector) (*sallyport.Connector, error) {
			return &sallyport.Connector{Type: sallyport.ConnectorLocal, Root: dir}, nil
		},
	})
	must(t, err)
}

// expiries are the rows of what has expired.
func (w *world) expiries(t *testing.T, ws sallyport.Workspace) (found []sallyport.Activity) {
	t.Helper()
	for _, row := range w.rows(t, ws.OrgID) {
		if row.Op == sallyport.FileOpAttachmentExpire && row.WorkspaceID == ws.ID {
			found = append(found, row)
		}
	}
	return found
}

// A machine that refuses to remove what has expired is asked again, ever less often, until it
// does; after a month of that the record is given up.
func TestRefusedExpiry(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Attachments = w.db
	ws, dir := w.host(t, w.org(t, "a")), t.TempDir()
	w.setRoot(t, ws, dir)
	made := w.attach(t, ws, "x", time.Hour)
	later := time.Duration(0)
	w.Gateway.Now = func() time.Time { return now().Add(later) }
	own, away := filepath.Join(dir, ".sallyport"), filepath.Join(dir, "away")
	lead := func() {
		must(t, os.Rename(own, away))
		must(t, os.Symlink(away, own))
	}
	lead()
	sweep := func(at time.Duration, rows int, code sallyport.Code) {
		t.Helper()
		later = at
		must(t, w.ExpireAttachments(t.Context()))
		if got := w.expiries(t, ws); len(got) != rows || got[0].Code != code {
			t.Fatalf("after %s: %+v", at, got)
		}
	}
	sweep(61*time.Minute, 1, sallyport.CodeInvalidPath)
	sweep(119*time.Minute, 1, sallyport.CodeInvalidPath)
	sweep(122*time.Minute, 2, sallyport.CodeInvalidPath)
	must(t, os.Remove(own))
	must(t, os.Rename(away, own))
	sweep(182*time.Minute, 2, sallyport.CodeInvalidPath)
	sweep(185*time.Minute, 3, "")
	if _, err := os.Stat(filepath.Join(dir, made.Path)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is there: %v", err)
	}

	later = 0
	w.attach(t, ws, "x", time.Hour)
	lead()
	sweep(61*time.Minute, 4, sallyport.CodeInvalidPath)
	sweep(32*24*time.Hour, 5, sallyport.CodeInvalidPath)
	sweep(64*24*time.Hour, 5, sallyport.CodeInvalidPath)
}

// A connection that breaks while an expired file is removed leaves one row: the rest is
// removed over another.
func TestBrokenExpiry(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Attachments = w.db
	breaking := &breakingConnector{Connector: w.Gateway.Connectors[sallyport.ConnectorLocal]}
	w.Gateway.Connectors = map[string]connector.Connector{sallyport.ConnectorLocal: breaking}
	ws, dir := w.host(t, w.org(t, "a")), t.TempDir()
	w.setRoot(t, ws, dir)
	later := time.Duration(0)
	w.Gateway.Now = func() time.Time { return now().Add(later) }
	for i, after := range []int64{500, 1500, 2500, 3000, 3500, 4000, 4500, 5000} {
		later = 0
		made := w.attach(t, ws, "x", time.Hour)
		later = 2 * time.Hour
		breaking.after.Store(after)
		must(t, w.ExpireAttachments(t.Context()))
		rows := w.expiries(t, ws)
		if len(rows) != i+1 || rows[0].Status != sallyport.StatusOK {
			t.Fatalf("broken after %d bytes: %+v", after, rows)
		}
		if _, err := os.Stat(filepath.Join(dir, made.Path)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("broken after %d bytes: the file is there: %v", after, err)
		}
	}
}

// breakingConnector breaks a connection, once, when so many more bytes have been sent over it.
type breakingConnector struct {
	connector.Connector
	after atomic.Int64 // 0 is never
}

func (c *breakingConnector) Dial(ctx context.Context, target connector.Target) (*connector.Link, error) {
	link, err := c.Connector.Dial(ctx, target)
	if err == nil {
		link.Conn = breakingConn{link.Conn, &c.after}
	}
	return link, err
}

type breakingConn struct {
	net.Conn
	after *atomic.Int64
}

func (c breakingConn) Write(p []byte) (int, error) {
	if n := c.after.Load(); n > 0 {
		if left := n - int64(len(p)); left <= 0 {
			c.after.Store(0)
			_ = c.Conn.Close()
		} else {
			c.after.Store(left)
		}
	}
	return c.Conn.Write(p)
}
