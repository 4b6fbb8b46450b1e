-- +goose Up

-- Idempotency keys, taken in the same transaction as the row of their exec. The key is
-- kept as its SHA-256, and what it was used for as a hash that takes a key from outside
-- this database.
CREATE TABLE idempotency_keys (
    org_id       TEXT    NOT NULL,
    hash         BLOB    NOT NULL,
    body         BLOB    NOT NULL,
    exec_id      TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    PRIMARY KEY (org_id, hash)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_keys_of_exec ON idempotency_keys (exec_id);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
