// Package recording keeps recordings of terminals: asciicast v2 in sealed files, apart from
// the activity log.
//
// A recording is a file DIR/ORGANISATION/DAY/ID.WORKSPACE.rec. The day is that of the id,
// in UTC, so that one recording, the newest, and the expired ones are found without an
// index, and servers that share the directory need nothing else in common than the seal.
package recording

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/disk"
	"sallyport/internal/id"
	"sallyport/internal/keys"
)

// ErrNotFound is that there is no such recording.
var ErrNotFound = errors.New("there is no such recording")

// Archive is a directory of recordings. Its fields are set before the first use. It is safe
// for concurrent use, and several servers may use one directory.
type Archive struct {
	// Dir is made when it is needed.
	Dir string
	// Seal seals what is written.
	Seal *keys.Sealer
	// BytesMax bounds a recording, as it is read.
	BytesMax int64
	// Retention is how long a recording is kept after its last byte.
	Retention time.Duration

	written atomic.Int64
}

// Written is how many bytes of recordings have been written since the start, as they are read.
// It is 0 of a nil archive.
func (a *Archive) Written() int64 {
	if a == nil {
		return 0
	}
	return a.written.Load()
}

// Header is what is known of a recording from its start.
type Header struct {
	// ID is the terminal's, a UUIDv7.
	ID          string    `json:"id"`
	OrgID       string    `json:"org_id"`
	WorkspaceID string    `json:"workspace_id"`
	Actor       string    `json:"actor"`
	CreatedAt   time.Time `json:"created_at"`
	Cols        int       `json:"cols"`
	Rows        int       `json:"rows"`
	// Term is the terminal's type, and Title says what runs in it, secrets masked.
	Term  string `json:"term"`
	Title string `json:"title"`
}

// Info describes a recording.
type Info struct {
	Header
	// IsEnded tells that Close was called on it: it is whole. One that isn't ended is being
	// written, or was cut by a crash.
	IsEnded bool
	// Duration and Bytes are of what there is so far.
	Duration time.Duration
	Bytes    int64
	// Status is what Close was given; empty until then.
	Status string
}

// Filter says which recordings are listed.
type Filter struct {
	OrgID string
	// WorkspaceID is empty for those of all workspaces.
	WorkspaceID string
	// Before is the id above the first that is returned; empty is the newest.
	Before string
	// Limit is how many are returned at most.
	Limit int
}

// Check reports whether a recording of an organisation's can be begun now: the error is
// platform_unavailable.
func (a *Archive) Check(orgID string) error {
	err := a.tryWriting(orgID)
	if err != nil {
		return unavailable("recordings can't be written now", err)
	}
	return nil
}

func (a *Archive) tryWriting(orgID string) error {
	dir, err := a.dayDir(orgID, id.New())
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return disk.Cause(err)
	}
	probe, err := disk.NewScratch(dir, ".check-*")
	if err != nil {
		return disk.Cause(err)
	}
	return disk.Cause(os.Remove(probe))
}

func unavailable(message string, cause error) error {
	return sallyport.Errorf(sallyport.CodePlatformUnavailable, "%s", message).Because(cause)
}

// List returns recordings, newest first. Those whose header can't be read, as with a key
// that is gone from the seal file, have only what their file's name tells, and the status
// error.
func (a *Archive) List(ctx context.Context, f Filter) ([]Info, error) {
	org, err := a.orgDir(f.OrgID)
	if err != nil {
		return nil, err
	}
	days, err := entries(org)
	if err != nil {
		return nil, err
	}
	var found []Info
	for _, day := range slices.Backward(days) {
		if f.Before != "" && day > dayOf(f.Before) {
			continue
		}
		files, err := entries(filepath.Join(org, day))
		if err != nil {
			return nil, err
		}
		for _, name := range slices.Backward(files) {
			recordingID, workspaceID, ok := parseName(name)
			if !ok || f.Before != "" && recordingID >= f.Before || f.WorkspaceID != "" && workspaceID != f.WorkspaceID {
				continue
			}
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			info, err := a.info(f.OrgID, workspaceID, recordingID)
			if errors.Is(err, ErrNotFound) {
				continue // it is deleted meanwhile
			}
			if found = append(found, info); len(found) == f.Limit {
				return found, nil
			}
		}
	}
	return found, nil
}

// Find describes one recording of an organisation, or returns ErrNotFound. Any other error is
// of a recording that is there and can't be read; the Info is then what its file's name tells.
func (a *Archive) Find(orgID, recordingID string) (Info, error) {
	workspaceID, err := a.workspaceOf(orgID, recordingID)
	if err != nil {
		return Info{}, err
	}
	return a.info(orgID, workspaceID, recordingID)
}

// Delete deletes a recording, or returns ErrNotFound. One that is being written goes on in
// vain: the caller sees to it that it has ended.
func (a *Archive) Delete(orgID, recordingID string) error {
	workspaceID, err := a.workspaceOf(orgID, recordingID)
	if err != nil {
		return err
	}
	path, err := a.path(orgID, workspaceID, recordingID)
	if err != nil {
		return err
	}
	return notFound(os.Remove(path))
}

// Sweep deletes what Retention no longer covers, until ctx ends. Its error is the first; what
// can be deleted is.
func (a *Archive) Sweep(ctx context.Context, now time.Time) error {
	orgs, err := entries(a.Dir)
	if err != nil {
		return err
	}
	old := now.Add(-a.Retention)
	var first error
	for _, org := range orgs {
		days, err := entries(filepath.Join(a.Dir, org))
		if err != nil && first == nil {
			first = err
		}
		for _, day := range days {
			if ctx.Err() != nil || day > old.UTC().Format(time.DateOnly) {
				break
			}
			if err := sweepDay(ctx, filepath.Join(a.Dir, org, day), old); err != nil && first == nil {
				first = err
			}
		}
	}
	return first
}

func sweepDay(ctx context.Context, dir string, old time.Time) error {
	files, err := os.ReadDir(dir)
	if err != nil {
		return ignoreGone(err)
	}
	left := len(files)
	for _, file := range files {
		if ctx.Err() != nil {
			return nil
		}
		info, err := file.Info()
		if err == nil && info.ModTime().After(old) {
			continue
		}
		if err == nil {
			err = os.Remove(filepath.Join(dir, file.Name()))
		}
		if err := ignoreGone(err); err != nil {
			return err
		}
		left--
	}
	if left > 0 {
		return nil
	}
	return ignoreGone(os.Remove(dir))
}

// ignoreGone is err without its path, and nil where another server was faster.
func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return disk.Cause(err)
}

func notFound(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNotFound
	}
	return disk.Cause(err)
}

// entries are the names in a directory, sorted; none where it isn't there.
func entries(dir string) ([]string, error) {
	all, err := os.ReadDir(dir)
	if err != nil {
		return nil, ignoreGone(err)
	}
	names := make([]string, len(all))
	for i, entry := range all {
		names[i] = entry.Name()
	}
	return names, nil
}

// workspaceOf finds the workspace of a recording by its file.
func (a *Archive) workspaceOf(orgID, recordingID string) (string, error) {
	dir, err := a.dayDir(orgID, recordingID)
	if err != nil {
		return "", err
	}
	files, err := entries(dir)
	if err != nil {
		return "", err
	}
	for _, name := range files {
		if found, workspaceID, ok := parseName(name); ok && found == recordingID {
			return workspaceID, nil
		}
	}
	return "", ErrNotFound
}

const suffix = ".rec"

// parseName is the inverse of path, for the last element.
func parseName(name string) (recordingID, workspaceID string, ok bool) {
	stem, isOurs := strings.CutSuffix(name, suffix)
	recordingID, workspaceID, ok = strings.Cut(stem, ".")
	return recordingID, workspaceID, ok && isOurs && id.Is(recordingID)
}

// path is that of a recording's file.
func (a *Archive) path(orgID, workspaceID, recordingID string) (string, error) {
	dir, err := a.dayDir(orgID, recordingID)
	if err != nil || !isSafe(workspaceID) {
		return "", ErrNotFound
	}
	return filepath.Join(dir, recordingID+"."+workspaceID+suffix), nil
}

func (a *Archive) dayDir(orgID, recordingID string) (string, error) {
	org, err := a.orgDir(orgID)
	if err != nil || dayOf(recordingID) == "" {
		return "", ErrNotFound
	}
	return filepath.Join(org, dayOf(recordingID)), nil
}

func (a *Archive) orgDir(orgID string) (string, error) {
	if !isSafe(orgID) {
		return "", ErrNotFound
	}
	return filepath.Join(a.Dir, orgID), nil
}

// isSafe tells whether an id of the store's is one element of a path, and no other than itself.
func isSafe(name string) bool { return name != "" && !strings.ContainsAny(name, "./\\\x00") }

// dayOf is the day of an id, in UTC; empty for what is none.
func dayOf(recordingID string) string {
	made, ok := id.Time(recordingID)
	if !ok {
		return ""
	}
	return made.UTC().Format(time.DateOnly)
}

// purpose binds the key of a recording to where it belongs.
func purpose(h Header) string {
	return fmt.Sprintf("recording/%s/%s/%s", h.OrgID, h.WorkspaceID, h.ID)
}
