-- +goose Up

-- Times are Unix microseconds, UTC. A listing's order is the order of commits:
-- position, or written_seq within one organisation.

CREATE TABLE orgs (
    position   INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT    NOT NULL UNIQUE,
    name       TEXT    NOT NULL UNIQUE,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE workspaces (
    position   INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT    NOT NULL UNIQUE,
    org_id     TEXT    NOT NULL REFERENCES orgs (id),
    name       TEXT    NOT NULL,
    tier       INTEGER NOT NULL,
    labels     TEXT    NOT NULL, -- JSON object of strings
    connector  TEXT,             -- JSON object; NULL is no host
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (org_id, id),
    UNIQUE (org_id, name)
) STRICT;

CREATE INDEX workspaces_listed ON workspaces (org_id, position);

-- The pair of keys refers to the pair in workspaces, so that no token can name
-- one organisation and another's workspace.
CREATE TABLE tokens (
    position     INTEGER PRIMARY KEY AUTOINCREMENT,
    id           TEXT    NOT NULL UNIQUE,
    org_id       TEXT    NOT NULL REFERENCES orgs (id) ON DELETE CASCADE,
    workspace_id TEXT,             -- NULL is an organisation's token
    name         TEXT    NOT NULL,
    prefix       TEXT    NOT NULL,
    hash         BLOB    NOT NULL UNIQUE,
    scopes       TEXT    NOT NULL, -- JSON array of strings
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,          -- NULL is never
    revoked_at   INTEGER,          -- NULL is live
    FOREIGN KEY (org_id, workspace_id) REFERENCES workspaces (org_id, id) ON DELETE CASCADE
) STRICT;

CREATE INDEX tokens_listed ON tokens (org_id, workspace_id, position);

-- Rows outlive what they tell of, so nothing here refers to another table.
--
-- detail holds what is known when a row is written, outcome what its end adds,
-- and written_seq and seq the numbers of the two changes: both events of a row
-- can be rebuilt from it.
CREATE TABLE activity (
    position     INTEGER PRIMARY KEY,
    id           TEXT    NOT NULL UNIQUE,
    org_id       TEXT    NOT NULL,
    workspace_id TEXT    NOT NULL,
    type         TEXT    NOT NULL,
    status       TEXT    NOT NULL,
    actor        TEXT    NOT NULL,
    summary      TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    completed_at INTEGER,
    written_seq  INTEGER NOT NULL,
    seq          INTEGER NOT NULL,
    detail       TEXT    NOT NULL, -- JSON object
    outcome      TEXT              -- JSON object; NULL is nothing to say
) STRICT;

CREATE UNIQUE INDEX activity_of_org ON activity (org_id, written_seq);
CREATE INDEX activity_of_workspace ON activity (org_id, workspace_id, written_seq);
CREATE INDEX activity_running ON activity (org_id, position) WHERE status = 'running';

-- The last seq that each organisation has given out. A row here is never
-- deleted, so that a number is never given twice.
CREATE TABLE activity_counters (
    org_id   TEXT    NOT NULL PRIMARY KEY,
    last_seq INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
