-- +goose Up

-- Cookie sessions: each stands for a token, and is good for as long as that is. A token
-- of the configuration is in no table, so nothing here refers to one.
CREATE TABLE sessions (
    position   INTEGER PRIMARY KEY AUTOINCREMENT,
    hash       BLOB    NOT NULL UNIQUE,
    token_hash BLOB    NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;

CREATE INDEX sessions_of_token ON sessions (token_hash, position);
CREATE INDEX sessions_by_end ON sessions (expires_at);
