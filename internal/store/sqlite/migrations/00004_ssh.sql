-- +goose Up

-- The private key that a workspace's connector logs in with, sealed by a key that
-- is not in this database; NULL is none.
ALTER TABLE workspaces ADD COLUMN sealed_key BLOB;

-- Counts the changes of the connector that somebody made, but not the pinning of a
-- host key: connections that were made before one are no longer used.
ALTER TABLE workspaces ADD COLUMN connector_version INTEGER NOT NULL DEFAULT 0;
