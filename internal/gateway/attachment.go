package gateway

import (
	"context"
	"errors"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/access"
	"sallyport/internal/id"
	"sallyport/internal/remote/files"
	"sallyport/internal/store"
)

// AttachmentStore keeps the attachments.
type AttachmentStore interface {
	// ReserveAttachment sets a.Size bytes aside for an attachment on its way, in place of
	// what it has. It returns store.ErrTooMany where there is no room, store.ErrNotFound
	// where there is no workspace.
	ReserveAttachment(ctx context.Context, a store.Attachment, room store.AttachmentRoom) error
	// KeepAttachments makes reservations attachments, all or none.
	KeepAttachments(ctx context.Context, orgID string, kept []store.Attachment) error
	// Attachment finds one of a workspace that is live at a time.
	Attachment(ctx context.Context, orgID, workspaceID, attachmentID string, at time.Time) (store.Attachment, error)
	// Attachments lists those of a workspace that are live at a time, newest first.
	Attachments(ctx context.Context, orgID, workspaceID string, at time.Time, page store.Page) ([]store.Positioned[store.Attachment], error)
	DeleteAttachment(ctx context.Context, orgID, attachmentID string) error
	// ClaimExpiredAttachments returns what has expired at a time, so many at most, and lets
	// nobody else have them before until.
	ClaimExpiredAttachments(ctx context.Context, at, until time.Time, most int) ([]store.Attachment, error)
	// ExpireAttachment lets one end at a time.
	ExpireAttachment(ctx context.Context, orgID, attachmentID string, at time.Time) error
	// PostponeAttachment lets nobody have an expired one before until.
	PostponeAttachment(ctx context.Context, orgID, attachmentID string, until time.Time) error
}

// ListAttachments lists a workspace's attachments, newest first. It returns
// workspace_not_found or scope_forbidden, touches no machine and leaves no row.
func (g *Gateway) ListAttachments(ctx context.Context, by Caller, ref Ref, page PageRequest) (sallyport.List[sallyport.Attachment], error) {
	var none sallyport.List[sallyport.Attachment]
	ws, err := g.attachmentsOf(ctx, by, ref)
	if err != nil {
		return none, err
	}
	scope := "attachments/" + ws.ID
	p, err := access.StorePage(scope, page)
	if err != nil {
		return none, err
	}
	found, err := g.Attachments.Attachments(ctx, ws.OrgID, ws.ID, g.Now(), p)
	return access.List(scope, p, found, wireAttachment), access.StoreError(err, "attachment")
}

// Attachment shows an attachment. It returns workspace_not_found, scope_forbidden or
// attachment_not_found, touches no machine and leaves no row.
func (g *Gateway) Attachment(ctx context.Context, by Caller, ref Ref, attachmentID string) (sallyport.Attachment, error) {
	ws, err := g.attachmentsOf(ctx, by, ref)
	if err != nil {
		return sallyport.Attachment{}, err
	}
	a, err := g.attachment(ctx, ws, attachmentID)
	return wireAttachment(a), err
}

// AttachmentFile is Attachment for what is about to be done with the file, by File: beside
// its codes it returns workspace_has_no_host.
func (g *Gateway) AttachmentFile(ctx context.Context, by Caller, ref Ref, attachmentID string) (sallyport.Attachment, error) {
	ws, err := g.attachmentsOf(ctx, by, ref)
	if err == nil {
		err = hasHost(ws)
	}
	if err != nil {
		return sallyport.Attachment{}, err
	}
	a, err := g.attachment(ctx, ws, attachmentID)
	return wireAttachment(a), err
}

// DeleteAttachment removes the file of an attachment, then its record. recorded is called
// with the id of its row. Beside File's codes it returns attachment_not_found.
func (g *Gateway) DeleteAttachment(ctx context.Context, by Caller, ref Ref, attachmentID string, recorded func(rowID string)) error {
	a, err := g.AttachmentFile(ctx, by, ref, attachmentID)
	if err != nil {
		return err
	}
	f := File{Op: sallyport.FileOpAttachmentDelete, Path: a.Path, Attachments: true, Slow: true, Recorded: recorded}
	return g.File(ctx, by, ref, f, func(ctx context.Context, tree *FileTree, _ *FileOutcome) error {
		if err := tree.Detach(ctx, a.ID); err != nil {
			return err
		}
		return attachmentError(g.Attachments.DeleteAttachment(ctx, tree.orgID, a.ID))
	})
}

// attachmentsOf finds the workspace whose attachments by may use.
func (g *Gateway) attachmentsOf(ctx context.Context, by Caller, ref Ref) (store.Workspace, error) {
	ws, err := g.Access.Workspace(ctx, by, ref)
	if err != nil {
		return store.Workspace{}, err
	}
	return ws, g.Access.Check(ctx, by, g.Access.Rules.Attachments, &ws, "attachments")
}

func (g *Gateway) attachment(ctx context.Context, ws store.Workspace, attachmentID string) (store.Attachment, error) {
	if !id.Is(attachmentID) {
		return store.Attachment{}, attachmentNotFound()
	}
	a, err := g.Attachments.Attachment(ctx, ws.OrgID, ws.ID, attachmentID, g.Now())
	return a, attachmentError(err)
}

// attachmentError gives a store's error its code; nil stays nil.
func attachmentError(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return attachmentNotFound()
	}
	return access.StoreError(err, "attachment")
}

func attachmentNotFound() error {
	return sallyport.Errorf(sallyport.CodeAttachmentNotFound, "no such attachment, or it has expired")
}

// AttachmentGone is the error of an attachment whose file on the machine is not what was
// put there.
func AttachmentGone() error {
	return sallyport.Errorf(sallyport.CodeAttachmentGone, "the attachment's file was removed or changed on the machine")
}

// IsAttachmentMissing is files.IsAttachmentMissing.
func IsAttachmentMissing(err error) bool { return files.IsAttachmentMissing(err) }

func wireAttachment(a store.Attachment) sallyport.Attachment {
	return sallyport.Attachment{
		ID: a.ID, Name: a.Name, Size: a.Size, MediaType: a.MediaType, SHA256: a.SHA256,
		Path: files.AttachmentPath(a.ID, a.Name), CreatedAt: a.CreatedAt, ExpiresAt: a.ExpiresAt,
	}
}
