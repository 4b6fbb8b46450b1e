-- +goose Up

-- Attachments: files on workspaces' machines, which go when their time is over. Their
-- records go with the workspace.
CREATE TABLE attachments (
    position      INTEGER PRIMARY KEY AUTOINCREMENT,
    id            TEXT    NOT NULL UNIQUE,
    org_id        TEXT    NOT NULL,
    workspace_id  TEXT    NOT NULL,
    name          TEXT    NOT NULL,
    size          INTEGER NOT NULL, -- bytes
    media_type    TEXT    NOT NULL,
    sha256        TEXT    NOT NULL, -- hexadecimal
    reserved      INTEGER NOT NULL, -- 1 while its content is on its way
    created_at    INTEGER NOT NULL,
    expires_at    INTEGER NOT NULL, -- of a reservation: when it is given up
    claimed_until INTEGER NOT NULL, -- until then somebody takes the expired file away
    FOREIGN KEY (org_id, workspace_id) REFERENCES workspaces (org_id, id) ON DELETE CASCADE
) STRICT;

-- For counting what an organisation has, too.
CREATE INDEX attachments_listed ON attachments (org_id, workspace_id, position);
CREATE INDEX attachments_by_end ON attachments (expires_at);
