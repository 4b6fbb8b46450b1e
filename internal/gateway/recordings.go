package gateway

import (
	"context"
	"errors"
	"io"

	"sallyport/client/sallyport"
	"sallyport/internal/access"
	"sallyport/internal/audit"
	"sallyport/internal/id"
	"sallyport/internal/limits"
	"sallyport/internal/policy"
	"sallyport/internal/recording"
	"sallyport/internal/store"
)

// RecordingPage is one page of recordings.
type RecordingPage = sallyport.List[sallyport.Recording]

// RecordingsOf says whose recordings a caller names: a workspace's, or all of an
// organisation's. One of them is set.
type RecordingsOf struct {
	Workspace *Ref
	// Org is an id or a name.
	Org string
}

// place is where recordings are.
type place struct {
	orgID string
	// workspace is nil for those of all workspaces.
	workspace *store.Workspace
}

// has tells whether a recording is there.
func (p place) has(info recording.Info) bool {
	return p.workspace == nil || p.workspace.ID == info.WorkspaceID
}

// recordingsPlace finds where recordings are, and decides whether the caller may. It returns
// workspace_not_found, not_found or scope_forbidden.
func (g *Gateway) recordingsPlace(ctx context.Context, by Caller, of RecordingsOf, ofWorkspace, ofOrg policy.Rule, tried string) (place, error) {
	if of.Workspace != nil {
		ws, err := g.Access.Workspace(ctx, by, *of.Workspace)
		if err != nil {
			return place{}, err
		}
		return place{ws.OrgID, &ws}, g.Access.Check(ctx, by, ofWorkspace, &ws, tried)
	}
	org, err := g.Access.Org(ctx, by, of.Org)
	if err != nil {
		return place{}, err
	}
	return place{orgID: org.ID}, g.Access.Check(ctx, by, ofOrg, nil, tried)
}

func (g *Gateway) readRecordings(ctx context.Context, by Caller, of RecordingsOf, tried string) (place, error) {
	rules := g.Access.Rules
	return g.recordingsPlace(ctx, by, of, rules.WatchTerminal, rules.ReadOrgRecordings, tried)
}

// ListRecordings lists recordings, newest first. It returns workspace_not_found, not_found,
// scope_forbidden or invalid_cursor.
func (g *Gateway) ListRecordings(ctx context.Context, by Caller, of RecordingsOf, page PageRequest) (RecordingPage, error) {
	in, err := g.readRecordings(ctx, by, of, "list recordings")
	if err != nil {
		return RecordingPage{}, err
	}
	if page.Cursor != "" && !id.Is(page.Cursor) {
		return RecordingPage{}, sallyport.Errorf(sallyport.CodeInvalidCursor, "the cursor is not one of this list; leave it out to start again")
	}
	filter := recording.Filter{OrgID: in.orgID, Before: page.Cursor, Limit: limits.PageDefault + 1}
	if page.Limit > 0 {
		filter.Limit = min(page.Limit, limits.PageMax) + 1
	}
	if in.workspace != nil {
		filter.WorkspaceID = in.workspace.ID
	}
	found, err := g.Recordings.List(ctx, filter)
	if err != nil {
		return RecordingPage{}, recordingsUnavailable(err)
	}
	list := RecordingPage{Items: make([]sallyport.Recording, 0, len(found))}
	for i, info := range found {
		if i == filter.Limit-1 {
			list.NextCursor = found[i-1].ID
			break
		}
		status, err := g.recordingStatus(ctx, info)
		if err != nil {
			return RecordingPage{}, err
		}
		list.Items = append(list.Items, wireRecording(info, status))
	}
	return list, nil
}

func wireRecording(info recording.Info, status string) sallyport.Recording {
	return sallyport.Recording{
		ID: info.ID, WorkspaceID: info.WorkspaceID, Actor: info.Actor, CreatedAt: info.CreatedAt,
		DurationMS: info.Duration.Milliseconds(), Bytes: info.Bytes, Cols: info.Cols, Rows: info.Rows, Status: status,
	}
}

// recordingStatus is that of the terminal. Of a recording that isn't ended, its row says
// whether it goes on.
func (g *Gateway) recordingStatus(ctx context.Context, info recording.Info) (string, error) {
	if info.IsEnded {
		return info.Status, nil
	}
	row, err := g.Activities.Activity(ctx, info.OrgID, info.ID)
	switch {
	case err == nil && row.Status == sallyport.StatusRunning:
		return sallyport.StatusRunning, nil
	case err != nil && !errors.Is(err, store.ErrNotFound):
		return "", access.Unavailable(err)
	}
	return sallyport.StatusInterrupted, nil
}

// OpenRecording opens a recording that has ended, to be read as asciicast. A row that says so
// is on disk when it returns. The caller closes what it returns. It returns
// workspace_not_found, scope_forbidden, not_found, running, or platform_unavailable.
func (g *Gateway) OpenRecording(ctx context.Context, by Caller, of RecordingsOf, terminalID string) (io.ReadCloser, error) {
	in, err := g.readRecordings(ctx, by, of, "read a recording")
	if err != nil {
		return nil, err
	}
	info, err := g.endedRecording(ctx, in, terminalID)
	if err != nil {
		return nil, err
	}
	reader, err := g.Recordings.Open(in.orgID, terminalID)
	if err != nil {
		return nil, recordingError(err)
	}
	if err := g.recordOfRecording(ctx, by, sallyport.ActivityRecordingRead, info, "read"); err != nil {
		return nil, errors.Join(err, reader.Close())
	}
	return reader, nil
}

// DeleteRecording deletes a recording that has ended. A row that says so is on disk before. It
// returns workspace_not_found, scope_forbidden, not_found, running, or platform_unavailable.
func (g *Gateway) DeleteRecording(ctx context.Context, by Caller, of RecordingsOf, terminalID string) error {
	rule := g.Access.Rules.WriteWorkspaces
	in, err := g.recordingsPlace(ctx, by, of, rule, rule, "delete a recording")
	if err != nil {
		return err
	}
	info, err := g.endedRecording(ctx, in, terminalID)
	if err != nil {
		return err
	}
	if err := g.recordOfRecording(ctx, by, sallyport.ActivityRecordingDeleted, info, "deleted"); err != nil {
		return err
	}
	return recordingError(g.Recordings.Delete(in.orgID, terminalID))
}

// endedRecording finds a recording that has ended. One that can't be read is found all the
// same, so that it can be deleted.
func (g *Gateway) endedRecording(ctx context.Context, in place, terminalID string) (recording.Info, error) {
	info, err := g.Recordings.Find(in.orgID, terminalID)
	if errors.Is(err, recording.ErrNotFound) || !in.has(info) {
		return info, access.NotFound("recording")
	}
	status, err := g.recordingStatus(ctx, info)
	if err == nil && status == sallyport.StatusRunning {
		err = sallyport.Errorf(sallyport.CodeRunning, "the terminal is still running; its recording can be read when it has ended")
	}
	return info, err
}

func (g *Gateway) recordOfRecording(ctx context.Context, by Caller, rowType string, info recording.Info, done string) error {
	return g.Audit.Record(ctx, audit.Event{
		Type: rowType, By: by.Principal, ClientAddr: by.Addr, OrgID: info.OrgID, WorkspaceID: info.WorkspaceID,
		Summary: "recording of terminal " + info.ID + " " + done,
	})
}

func recordingError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, recording.ErrNotFound):
		return access.NotFound("recording")
	}
	return recordingsUnavailable(err)
}

func recordingsUnavailable(err error) error {
	return sallyport.Errorf(sallyport.CodePlatformUnavailable, "the recordings can't be read now").Because(err)
}
