package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/limits"
	"sallyport/internal/live"
	"sallyport/internal/principal"
	"sallyport/internal/remote/files"
	"sallyport/internal/store"
)

// ExpireAttachments removes the files of attachments that have expired, and what is left of
// requests that a crash has ended, from machines that can be reached, and then their records.
// Each leaves a row. Of several servers on one store one alone does it.
func (g *Gateway) ExpireAttachments(ctx context.Context) error {
	done, err := g.Admit()
	if err != nil {
		return nil // the server is ending; another one, or the next, does it
	}
	defer done()
	for {
		now := g.Now()
		expired, err := g.Attachments.ClaimExpiredAttachments(ctx, now, now.Add(limits.AttachmentRetryTime), limits.AttachmentSweepMax)
		if err != nil {
			return fmt.Errorf("find what has expired: %w", err)
		}
		if len(expired) == 0 {
			return nil
		}
		byWorkspace := map[string][]store.Attachment{}
		for _, a := range expired {
			byWorkspace[a.WorkspaceID] = append(byWorkspace[a.WorkspaceID], a)
		}
		var all sync.WaitGroup
		slots := make(chan struct{}, limits.AttachmentSweepAtOnce)
		for _, those := range byWorkspace {
			slots <- struct{}{}
			all.Go(func() {
				defer func() { <-slots }()
				g.expireOn(ctx, those)
			})
		}
		all.Wait()
	}
}

// expireOn removes expired attachments of one workspace, if its machine can be reached: what
// can't leaves no row, and is tried again.
func (g *Gateway) expireOn(ctx context.Context, expired []store.Attachment) {
	ws, err := g.Workspaces.Workspace(ctx, expired[0].OrgID, expired[0].WorkspaceID)
	if err != nil || ws.Connector == nil {
		return // deleted with its records, or without a machine now
	}
	reach, cancel := context.WithTimeout(ctx, g.ConnectTime)
	defer cancel()
	session, err := g.Pool.Open(reach, target(ws), g.need(Caller{}, ws, "", 0))
	if err == nil {
		_ = session.Close()        // it was opened to see whether it can be
		err = context.Cause(reach) // the time is over, and none is left for an act
	}
	if err != nil {
		g.Log.Debug("expired attachments are left until the machine can be reached", "workspace", ws.ID, "cause", err)
		return
	}
	for _, a := range expired {
		err := g.expire(ctx, ws, a)
		if err == nil {
			err = g.Attachments.DeleteAttachment(ctx, a.OrgID, a.ID)
		} else if isRefusal(err) {
			err = errors.Join(err, g.refusedExpiry(ctx, a))
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			g.Log.Warn("the file of an expired attachment is left on the machine", "workspace", ws.ID, "attachment", a.ID, "cause", err)
		}
	}
}

// refusedExpiry has an attachment whose machine refuses to remove it tried again, ever less
// often, since each try leaves a row; and gives its record up after a long time.
func (g *Gateway) refusedExpiry(ctx context.Context, a store.Attachment) error {
	now := g.Now()
	expired := now.Sub(a.ExpiresAt)
	if expired >= limits.AttachmentRefusedTime {
		return g.Attachments.DeleteAttachment(ctx, a.OrgID, a.ID)
	}
	wait := min(max(expired, limits.AttachmentRefusedRetryMin), limits.AttachmentRefusedRetryMax)
	return g.Attachments.PostponeAttachment(ctx, a.OrgID, a.ID, now.Add(wait))
}

// isRefusal tells whether a machine refuses what it would refuse again a moment later.
func isRefusal(err error) bool {
	switch sallyport.CodeOf(err) {
	case sallyport.CodeInvalidPath, sallyport.CodeInvalidRoot, sallyport.CodePermissionDenied, sallyport.CodeFilesUnsupported:
		return true
	}
	return false
}

// expire removes the file of one, as an act of the server's own.
func (g *Gateway) expire(ctx context.Context, ws store.Workspace, expired store.Attachment) error {
	f := File{Op: sallyport.FileOpAttachmentExpire, Path: files.AttachmentPath(expired.ID, expired.Name), Slow: true}
	spec := g.fileSpec(f)
	spec.class = store.ClassNone // nobody waits longer for it
	by := Caller{Principal: principal.Principal{Kind: principal.System, OrgID: ws.OrgID}}
	a := &act{g: g, by: by, ws: ws, report: &ActReport{Type: spec.rowType, OrgID: ws.OrgID, WorkspaceID: ws.ID, Began: time.Now()}}
	a.call = &live.Call{OrgID: ws.OrgID, WorkspaceID: ws.ID, By: by.Principal, Class: spec.class, OnDrain: spec.drain, Acts: true}
	ctx, a.untrack = g.live.Track(ctx, a.call)
	a.report.authorized(ws)
	a.begin(ctx, spec, nil)
	return a.onTree(ctx, f, func(ctx context.Context, tree *FileTree, _ *FileOutcome) error {
		return detachAgain(ctx, tree, expired.ID)
	})
}

// detachAgain removes the files of attachments, over another connection where one breaks: who
// has removed a part may remove the rest.
func detachAgain(ctx context.Context, tree *FileTree, ids ...string) error {
	for attempt := 1; ; attempt++ {
		err := tree.Detach(ctx, ids...)
		if sallyport.CodeOf(err) != sallyport.CodeExecTransport || attempt == execAttempts || ctx.Err() != nil {
			return err
		}
	}
}
