package sqlite

import (
	"context"
	"database/sql"
	"time"

	"sallyport/internal/store"
	"sallyport/internal/store/column"
)

const attachmentColumns = `position, id, org_id, workspace_id, name, size, media_type, sha256, created_at, expires_at`

const selectAttachments = `SELECT ` + attachmentColumns + ` FROM attachments `

// ReserveAttachment sets a.Size bytes aside for an attachment whose content is on its way,
// until a.ExpiresAt; of one that has some, these take their place. What else is live at
// a.CreatedAt counts. ErrTooMany if there is no such room, ErrNotFound if the organisation
// has no such workspace.
func (db *DB) ReserveAttachment(ctx context.Context, a store.Attachment, room store.AttachmentRoom) error {
	err := db.writer.do(ctx, true, func(ctx context.Context) error {
		result, err := db.writer.conn.ExecContext(ctx, reserveAttachment,
			a.ID, a.OrgID, a.WorkspaceID, a.Name, a.Size, column.Time(a.CreatedAt), column.Time(a.ExpiresAt), room.Bytes, room.Count)
		return oneRow(result, err, store.ErrTooMany)
	})
	return wrap(err, "reserve room for an attachment")
}

const reserveAttachment = `INSERT INTO attachments
		(id, org_id, workspace_id, name, size, media_type, sha256, reserved, created_at, expires_at, claimed_until)
	SELECT ?1, ?2, ?3, ?4, ?5, '', '', 1, ?6, ?7, 0 FROM (` + countAttachments + `)
	WHERE bytes + ?5 <= ?8 AND n < ?9
	ON CONFLICT (id) DO UPDATE SET size = excluded.size, expires_at = excluded.expires_at WHERE reserved = 1`

// countAttachments counts what an organisation has live but for one attachment.
const countAttachments = `SELECT coalesce(sum(size), 0) AS bytes, count(*) AS n FROM attachments
	WHERE org_id = ?2 AND expires_at > ?6 AND id <> ?1`

// KeepAttachments makes reservations of one organisation the attachments that they are for,
// all of them or, with ErrNotFound where one was given up, none.
func (db *DB) KeepAttachments(ctx context.Context, orgID string, kept []store.Attachment) error {
	err := db.writer.do(ctx, true, func(ctx context.Context) error {
		for _, a := range kept {
			result, err := db.writer.conn.ExecContext(ctx, `UPDATE attachments
				SET size = ?, media_type = ?, sha256 = ?, reserved = 0, created_at = ?, expires_at = ?
				WHERE org_id = ? AND id = ? AND reserved = 1 AND claimed_until = 0`,
				a.Size, a.MediaType, a.SHA256, column.Time(a.CreatedAt), column.Time(a.ExpiresAt), orgID, a.ID)
			if err := oneRow(result, err, store.ErrNotFound); err != nil {
				return err
			}
		}
		return nil
	})
	return wrap(err, "keep attachments")
}

// Attachment returns an attachment of a workspace that is live at a time. ErrNotFound if
// there is none such.
func (db *DB) Attachment(ctx context.Context, orgID, workspaceID, attachmentID string, at time.Time) (store.Attachment, error) {
	a, err := column.ScanAttachment(db.readers.QueryRowContext(ctx, selectAttachments+`
		WHERE id = ? AND org_id = ? AND workspace_id = ? AND reserved = 0 AND expires_at > ?`,
		attachmentID, orgID, workspaceID, column.Time(at)))
	return a.Record, wrap(err, "find attachment")
}

// Attachments returns a page of the attachments of a workspace that are live at a time,
// newest first.
func (db *DB) Attachments(
	ctx context.Context, orgID, workspaceID string, at time.Time, page store.Page,
) ([]store.Positioned[store.Attachment], error) {
	found, err := listPage(ctx, db.listings, page, column.ScanAttachment, selectAttachments+`
		WHERE org_id = ?1 AND workspace_id = ?2 AND (?3 = 0 OR position < ?3) AND reserved = 0 AND expires_at > ?4
		ORDER BY position DESC LIMIT ?5`, orgID, workspaceID, page.After, column.Time(at), limit(page))
	return found, wrap(err, "list attachments")
}

// DeleteAttachment deletes the record of an attachment, or a reservation. ErrNotFound if
// the organisation has none such.
func (db *DB) DeleteAttachment(ctx context.Context, orgID, attachmentID string) error {
	err := db.writer.do(ctx, true, func(ctx context.Context) error {
		result, err := db.writer.conn.ExecContext(ctx, `DELETE FROM attachments WHERE org_id = ? AND id = ?`, orgID, attachmentID)
		return oneRow(result, err, store.ErrNotFound)
	})
	return wrap(err, "delete attachment")
}

// ExpireAttachment lets an attachment, or a reservation, end at a time, if it is there.
func (db *DB) ExpireAttachment(ctx context.Context, orgID, attachmentID string, at time.Time) error {
	err := db.writer.do(ctx, true, func(ctx context.Context) error {
		_, err := db.writer.conn.ExecContext(ctx, `UPDATE attachments SET expires_at = ? WHERE org_id = ? AND id = ?`,
			column.Time(at), orgID, attachmentID)
		return err
	})
	return wrap(err, "expire attachment")
}

// PostponeAttachment lets nobody claim an attachment before until, if it is there.
func (db *DB) PostponeAttachment(ctx context.Context, orgID, attachmentID string, until time.Time) error {
	err := db.writer.do(ctx, true, func(ctx context.Context) error {
		_, err := db.writer.conn.ExecContext(ctx, `UPDATE attachments SET claimed_until = ? WHERE org_id = ? AND id = ?`,
			column.Time(until), orgID, attachmentID)
		return err
	})
	return wrap(err, "postpone attachment")
}

// ClaimExpiredAttachments returns attachments of all organisations that have expired at a
// time, and reservations that are given up then, so many at most, and lets nobody else have
// them before until.
func (db *DB) ClaimExpiredAttachments(ctx context.Context, at, until time.Time, most int) ([]store.Attachment, error) {
	var claimed []store.Attachment
	err := db.writer.do(ctx, true, func(ctx context.Context) error {
		w := db.writer.conn
		found, err := list(ctx, w, column.ScanAttachment, selectExpired, column.Time(at), most)
		if err != nil {
			return err
		}
		for _, a := range found {
			if err := claim(ctx, w, a.Position, until); err != nil {
				return err
			}
			claimed = append(claimed, a.Record)
		}
		return nil
	})
	return claimed, wrap(err, "claim expired attachments")
}

const selectExpired = selectAttachments + `WHERE expires_at <= ?1 AND claimed_until <= ?1 ORDER BY expires_at LIMIT ?2`

func claim(ctx context.Context, w *sql.Conn, position int64, until time.Time) error {
	_, err := w.ExecContext(ctx, `UPDATE attachments SET claimed_until = ? WHERE position = ?`, column.Time(until), position)
	return err
}
