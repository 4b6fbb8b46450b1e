-- +goose Up

-- The SSH CA's keys, newest last. The private half is sealed with a key that is not
-- in this database.
CREATE TABLE ca_keys (
    position   INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT    NOT NULL UNIQUE,
    public_key TEXT    NOT NULL UNIQUE,
    sealed     BLOB    NOT NULL,
    created_at INTEGER NOT NULL,
    ends_at    INTEGER           -- NULL is in force until another replaces it
) STRICT;

-- One key alone is in force without an end: of several servers that start together,
-- one makes it.
CREATE UNIQUE INDEX ca_keys_newest ON ca_keys ((ends_at IS NULL)) WHERE ends_at IS NULL;
