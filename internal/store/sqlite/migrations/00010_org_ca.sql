-- +goose Up

-- The keys of the SSH CA that all organisations shared. They sign no more: machines must
-- learn the keys of their own organisation's CA. The time tells which machines have.
CREATE TABLE retired_ca_keys (
    public_key TEXT    NOT NULL PRIMARY KEY,
    retired_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO retired_ca_keys (public_key, retired_at)
    SELECT public_key, CAST(unixepoch('now', 'subsec') * 1000000 AS INTEGER) FROM ca_keys;

DROP TABLE ca_keys;

-- The keys of each organisation's SSH CA, newest last. The private half is sealed with a
-- key that is not in this database.
CREATE TABLE org_ca_keys (
    position   INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT    NOT NULL UNIQUE,
    org_id     TEXT    NOT NULL REFERENCES orgs (id) ON DELETE CASCADE,
    public_key TEXT    NOT NULL UNIQUE,
    sealed     BLOB    NOT NULL,
    created_at INTEGER NOT NULL,
    ends_at    INTEGER           -- NULL is in force until another replaces it
) STRICT;

CREATE INDEX org_ca_keys_listed ON org_ca_keys (org_id, position);

-- One key alone of an organisation is in force without an end: of several servers that
-- make the first one at the same time, one does.
CREATE UNIQUE INDEX org_ca_keys_newest ON org_ca_keys (org_id) WHERE ends_at IS NULL;

-- A machine trusts the CA of its own organisation: which workspace has named a host key
-- first says nothing about whose machine it is.
DROP INDEX workspaces_host_key;
ALTER TABLE workspaces DROP COLUMN host_key_since;
ALTER TABLE workspaces DROP COLUMN host_key;
