//go:build linux

package faults

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/backup"
	"sallyport/internal/config"
	"sallyport/internal/store"
	"sallyport/internal/store/sqlite"
)

const (
	backups       = 6
	backupCallers = 20
	// execsABackup are run between two backups at least.
	execsABackup = 60
)

// TestBackup takes backups of a server from another process while callers run execs
// and the admin makes, renames and deletes what there is. Each backup opens, holds
// of every organisation the first of its events, none left out and none that is not
// the server's, and no secret; and a server starts on it and serves.
func TestBackup(t *testing.T) {
	t.Parallel()
	live := startChild(t, childOptions{})
	b := &backingUp{t: t, live: live, caller: newCaller(t, live.Stack), dir: t.TempDir(), quit: make(chan struct{})}
	for i := range backupCallers {
		b.load.Go(func() { b.runExecs(t.Context(), i) })
	}
	b.load.Go(func() { b.changeOrgs(t.Context()) })
	for i := range backups {
		enough := b.execs.Load() + execsABackup
		await(t, time.Minute, "execs", func() bool { return b.execs.Load() >= enough })
		b.take(i)
	}
	close(b.quit)
	b.load.Wait()
	if err := errors.Join(b.faults...); err != nil {
		t.Fatal(err)
	}
	if code := live.terminate(t); code != 0 {
		t.Errorf("the server ended with %d", code)
	}
	b.check()
	b.restore(b.taken[len(b.taken)/2])
}

// backingUp is a server under load and its backups.
type backingUp struct {
	t      *testing.T
	live   *child
	caller *caller
	dir    string
	taken  []taken

	load  sync.WaitGroup
	quit  chan struct{} // closed to end the load
	execs atomic.Int64

	mu       sync.Mutex // guards the fields below
	canaries []string
	faults   []error
}

// taken is one backup.
type taken struct {
	file string
	held backup.Contents
}

// plant returns a new secret.
func (b *backingUp) plant() string {
	canary := "C4n" + rand.Text()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.canaries = append(b.canaries, canary, base64.StdEncoding.EncodeToString([]byte(canary)))
	return canary
}

// fault notes what went wrong in a goroutine; nil is nothing.
func (b *backingUp) fault(err error) bool {
	if err == nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = append(b.faults, err)
	return true
}

func (b *backingUp) isOver() bool {
	select {
	case <-b.quit:
		return true
	default:
		return false
	}
}

// runExecs runs commands that read, are given and print secrets.
func (b *backingUp) runExecs(ctx context.Context, i int) {
	for !b.isOver() {
		e := shell("cat; echo $PLANTED; echo " + harmless)
		e.Stream = i%2 == 0
		e.Env = map[string]string{"PLANTED": b.plant()}
		e.StdinBase64 = []byte(b.plant())
		a, err := b.caller.exec(ctx, e)
		if err == nil && (a.result == nil || a.result.ExitCode != 0) {
			err = fmt.Errorf("exec: %s", a)
		}
		if b.fault(err) {
			return
		}
		b.execs.Add(1)
	}
}

// changeOrgs makes organisations, tokens and workspaces, and takes some away.
func (b *backingUp) changeOrgs(ctx context.Context) {
	for i := 0; !b.isOver(); i++ {
		org := fmt.Sprintf("org-%d", i)
		for _, call := range [][3]string{
			{http.MethodPost, "/orgs", fmt.Sprintf(`{"name":%q}`, org)},
			{http.MethodPost, "/orgs/" + org + "/tokens", `{"name":"` + org + `"}`},
			{http.MethodPost, "/workspaces", fmt.Sprintf(`{"org_id":%q,"name":"w","tier":3}`, org)},
			{http.MethodPatch, "/workspaces/w?org=" + org, `{"labels":{"a":"b"}}`},
			{http.MethodDelete, "/workspaces/w?org=" + org, ""},
		} {
			if b.fault(b.admin(ctx, call[0], call[1], call[2])) {
				return
			}
		}
		if i%3 == 0 && b.fault(b.admin(ctx, http.MethodDelete, "/orgs/"+org, "")) {
			return
		}
	}
}

// admin sends a request of the admin's, and counts what it is given as a secret.
func (b *backingUp) admin(ctx context.Context, method, path, body string) error {
	req, err := http.NewRequestWithContext(ctx, method, b.live.URL+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+b.live.AdminToken)
	resp, err := b.caller.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var answer struct{ Token, ID string }
	if method == http.MethodPost {
		err = json.NewDecoder(resp.Body).Decode(&answer)
	}
	if err == nil && resp.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %s", method, path, resp.Status)
	}
	if answer.Token != "" {
		b.mu.Lock()
		b.canaries = append(b.canaries, answer.Token)
		b.mu.Unlock()
	}
	return err
}

// take makes a backup of the server's store, as the command does.
func (b *backingUp) take(i int) {
	b.t.Helper()
	file := filepath.Join(b.dir, fmt.Sprintf("backup-%d.db", i))
	held, err := backup.Backup(b.t.Context(), config.Config{DataDir: b.live.DataDir}, backup.Options{File: file})
	if err != nil {
		b.t.Fatal(err)
	}
	b.taken = append(b.taken, taken{file, held})
}

// check holds every backup to what the server came to have.
func (b *backingUp) check() {
	b.t.Helper()
	whole := openStore(b.t, b.live.database())
	secrets := append([]string{b.live.AdminToken, b.live.Token}, b.canaries...)
	last := int64(0)
	for _, backup := range b.taken {
		content, err := os.ReadFile(backup.file)
		if err != nil {
			b.t.Fatal(err)
		}
		if !bytes.Contains(content, []byte(harmless)) {
			b.t.Errorf("%s: the search is blind", backup.file)
		}
		for _, secret := range secrets {
			if bytes.Contains(content, []byte(secret)) {
				b.t.Errorf("%s holds a secret", backup.file)
			}
		}
		if backup.held.Rows <= last {
			b.t.Errorf("%s holds %d rows, the one before %d", backup.file, backup.held.Rows, last)
		}
		last = backup.held.Rows
		copied := openStore(b.t, backup.file)
		for org, n := range backup.held.LastSeqs {
			mustBePrefix(b.t, copied, whole, org, n)
		}
		b.checkRecords(copied, backup)
	}
	b.t.Logf("%d execs, %d rows in the last backup of %d organisations", b.execs.Load(), last, len(b.taken[backups-1].held.LastSeqs))
}

// checkRecords checks that a backup's records are those that its log tells of:
// both were one write.
func (b *backingUp) checkRecords(copied *sqlite.DB, backup taken) {
	b.t.Helper()
	told := map[string]int64{}
	for org, n := range backup.held.LastSeqs {
		for _, e := range eventsOf(b.t, copied, org, n) {
			told[e.Type]++
		}
	}
	if want := told[sallyport.ActivityOrgCreated] - told[sallyport.ActivityOrgDeleted]; backup.held.Orgs != want {
		b.t.Errorf("%s holds %d organisations, and its log tells of %d", backup.file, backup.held.Orgs, want)
	}
	if want := told[sallyport.ActivityWorkspaceCreated] - told[sallyport.ActivityWorkspaceDeleted]; backup.held.Workspaces != want {
		b.t.Errorf("%s holds %d workspaces, and its log tells of %d", backup.file, backup.held.Workspaces, want)
	}
}

// mustBePrefix checks that an organisation's events in part are 1 to n, and those
// that whole has under these numbers.
func mustBePrefix(t *testing.T, part, whole *sqlite.DB, org string, n int64) {
	t.Helper()
	first, all := eventsOf(t, part, org, n+1), eventsOf(t, whole, org, n)
	if int64(len(first)) != n || int64(len(all)) != n {
		t.Errorf("%s: %d events, and %d of the server's, want %d", org, len(first), len(all), n)
		return
	}
	for i := range first {
		if first[i].Seq != int64(i)+1 || !reflect.DeepEqual(first[i], all[i]) {
			t.Errorf("%s: event %d is %+v, the server's %+v", org, i+1, first[i], all[i])
			return
		}
	}
}

// eventsOf reads the first n events of an organisation.
func eventsOf(t *testing.T, db *sqlite.DB, org string, n int64) []store.Activity {
	t.Helper()
	found, err := db.Events(t.Context(), org, store.Page{Limit: int(n)})
	if err != nil {
		t.Fatal(err)
	}
	events := make([]store.Activity, len(found))
	for i, e := range found {
		events[i] = e.Record
	}
	return events
}

func openStore(t *testing.T, path string) *sqlite.DB {
	t.Helper()
	db, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// restore puts a backup where a server then starts and serves.
func (b *backingUp) restore(was taken) {
	t := b.t
	t.Helper()
	dir := filepath.Join(t.TempDir(), "restored")
	cfg := config.Config{DataDir: dir}
	held, err := backup.Restore(t.Context(), cfg, backup.RestoreOptions{File: was.file})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(held, was.held) {
		t.Errorf("restored %+v, backed up %+v", held, was.held)
	}
	seal, err := os.ReadFile(filepath.Join(b.live.DataDir, "seal.key")) // which no backup holds
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "seal.key"), string(seal))
	restored := startChild(t, childOptions{dataDir: dir})
	newCaller(t, restored.Stack).mustServe(t)
	interrupted := int64(0)
	for _, row := range restored.Execs(t) {
		if row.Status == sallyport.StatusRunning {
			t.Errorf("row %s is open", row.ID)
		}
		if row.Status == sallyport.StatusInterrupted {
			interrupted++
		}
	}
	if interrupted != held.Running {
		t.Errorf("%d rows are closed as interrupted, %d were open", interrupted, held.Running)
	}
	if _, err := backup.Restore(t.Context(), cfg, backup.RestoreOptions{File: was.file}); err == nil || !strings.Contains(err.Error(), "in use by another sallyport") {
		t.Errorf("restoring below a server that serves: %v", err)
	}
	restored.terminate(t)
	if _, err := backup.Restore(t.Context(), cfg, backup.RestoreOptions{File: was.file}); err == nil || !strings.Contains(err.Error(), "has a store already") {
		t.Errorf("restoring over records: %v", err)
	}
}

// TestBackupOnFullDisk: it refuses before it writes, and leaves nothing.
func TestBackupOnFullDisk(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	seedData(t, data)
	disk := mount(t, "size=4m")
	_, err := backup.Backup(t.Context(), config.Config{DataDir: data}, backup.Options{File: filepath.Join(disk, "backup.db")})
	if err == nil || !strings.Contains(err.Error(), "with some to spare, and the disk of "+disk+" has") {
		t.Errorf("error %v", err)
	}
	if left, err := os.ReadDir(disk); err != nil || len(left) > 0 {
		t.Errorf("left: %v %v", left, err)
	}
}
