package postgres

import (
	"context"
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
	err := db.run(ctx, tenant(a.OrgID), func(s *statements) {
		// One after another within an organisation, so that each counts those before it. The
		// statement behind it sees what was committed meanwhile.
		s.add(`SELECT pg_advisory_xact_lock(hashtextextended($1, 0))`, "attachments of "+a.OrgID)
		s.oneRow(store.ErrTooMany, reserveAttachment,
			a.ID, a.OrgID, a.WorkspaceID, a.Name, a.Size, column.Time(a.CreatedAt), column.Time(a.ExpiresAt), room.Bytes, room.Count)
	})
	return wrap(err, "reserve room for an attachment")
}

const reserveAttachment = `INSERT INTO attachments
		(id, org_id, workspace_id, name, size, media_type, sha256, reserved, created_at, expires_at, claimed_until)
	SELECT $1::text, $2::text, $3::text, $4::text, $5::bigint, '', '', true, $6::bigint, $7::bigint, 0 FROM (` + countAttachments + `) AS has
	WHERE bytes + $5 <= $8 AND n < $9
	ON CONFLICT (id) DO UPDATE SET size = excluded.size, expires_at = excluded.expires_at WHERE attachments.reserved`

// countAttachments counts what an organisation has live but for one attachment.
const countAttachments = `SELECT coalesce(sum(size), 0) AS bytes, count(*) AS n FROM attachments
	WHERE org_id = $2 AND expires_at > $6 AND id <> $1`

// KeepAttachments makes reservations of one organisation the attachments that they are for,
// all of them or, with ErrNotFound where one was given up, none.
func (db *DB) KeepAttachments(ctx context.Context, orgID string, kept []store.Attachment) error {
	err := db.transact(ctx, true, func(t *tx) error {
		err := t.send(func(s *statements) {
			tenant(orgID).enter(s)
			for _, a := range kept {
				s.oneRow(store.ErrNotFound, `UPDATE attachments
					SET size = $1, media_type = $2, sha256 = $3, reserved = false, created_at = $4, expires_at = $5
					WHERE org_id = $6 AND id = $7 AND reserved AND claimed_until = 0`,
					a.Size, a.MediaType, a.SHA256, column.Time(a.CreatedAt), column.Time(a.ExpiresAt), orgID, a.ID)
			}
		})
		if err != nil {
			return err
		}
		return t.commit(func(*statements) {})
	})
	return wrap(err, "keep attachments")
}

// Attachment returns an attachment of a workspace that is live at a time. ErrNotFound if
// there is none such.
func (db *DB) Attachment(ctx context.Context, orgID, workspaceID, attachmentID string, at time.Time) (store.Attachment, error) {
	a, err := askOne(ctx, db.readers, tenant(orgID), column.ScanAttachment, selectAttachments+`
		WHERE id = $1 AND org_id = $2 AND workspace_id = $3 AND NOT reserved AND expires_at > $4`,
		attachmentID, orgID, workspaceID, column.Time(at))
	return a.Record, wrap(err, "find attachment")
}

// Attachments returns a page of the attachments of a workspace that are live at a time,
// newest first.
func (db *DB) Attachments(
	ctx context.Context, orgID, workspaceID string, at time.Time, page store.Page,
) ([]store.Positioned[store.Attachment], error) {
	of := listing{columns: attachmentColumns, position: `position`, order: ` DESC`, page: selectAttachmentsOfWorkspace}
	found, err := ask(ctx, db.listings, tenant(orgID), column.ScanAttachment, of.within(page),
		orgID, workspaceID, page.After, column.Time(at), limit(page))
	return found, wrap(err, "list attachments")
}

const selectAttachmentsOfWorkspace = selectAttachments + `
	WHERE org_id = $1 AND workspace_id = $2 AND ($3::bigint = 0 OR position < $3) AND NOT reserved AND expires_at > $4
	ORDER BY position DESC LIMIT $5`

// DeleteAttachment deletes the record of an attachment, or a reservation. ErrNotFound if
// the organisation has none such.
func (db *DB) DeleteAttachment(ctx context.Context, orgID, attachmentID string) error {
	err := db.transact(ctx, true, func(t *tx) error {
		err := t.send(func(s *statements) {
			tenant(orgID).enter(s)
			s.oneRow(store.ErrNotFound, `DELETE FROM attachments WHERE org_id = $1 AND id = $2`, orgID, attachmentID)
		})
		if err != nil {
			return err
		}
		return t.commit(func(*statements) {})
	})
	return wrap(err, "delete attachment")
}

// ExpireAttachment lets an attachment, or a reservation, end at a time, if it is there.
func (db *DB) ExpireAttachment(ctx context.Context, orgID, attachmentID string, at time.Time) error {
	err := db.run(ctx, tenant(orgID), func(s *statements) {
		s.add(`UPDATE attachments SET expires_at = $1 WHERE org_id = $2 AND id = $3`, column.Time(at), orgID, attachmentID)
	})
	return wrap(err, "expire attachment")
}

// PostponeAttachment lets nobody claim an attachment before until, if it is there.
func (db *DB) PostponeAttachment(ctx context.Context, orgID, attachmentID string, until time.Time) error {
	err := db.run(ctx, tenant(orgID), func(s *statements) {
		s.add(`UPDATE attachments SET claimed_until = $1 WHERE org_id = $2 AND id = $3`, column.Time(until), orgID, attachmentID)
	})
	return wrap(err, "postpone attachment")
}

// ClaimExpiredAttachments returns attachments of all organisations that have expired at a
// time, and reservations that are given up then, so many at most, and lets nobody else have
// them before until.
func (db *DB) ClaimExpiredAttachments(ctx context.Context, at, until time.Time, most int) ([]store.Attachment, error) {
	found, err := ask(ctx, db.writers, system, column.ScanAttachment, claimExpired, column.Time(at), column.Time(until), most)
	claimed := make([]store.Attachment, len(found))
	for i, a := range found {
		claimed[i] = a.Record
	}
	return claimed, wrap(err, "claim expired attachments")
}

const claimExpired = `UPDATE attachments SET claimed_until = $2 WHERE position IN (
		SELECT position FROM attachments WHERE expires_at <= $1 AND claimed_until <= $1
		ORDER BY expires_at LIMIT $3 FOR UPDATE SKIP LOCKED)
	RETURNING ` + attachmentColumns
