-- +goose Up

-- The private key that a workspace's connector logs in with, sealed by a key that
-- is not in this database; NULL is none.
ALTER TABLE workspaces ADD COLUMN sealed_key BLOB;

-- Counts the changes of the connector that somebody made, but not the pinning of a
-- host key: connections that were made before one are no longer used.
ALTER TABLE workspaces ADD COLUMN connector_version INTEGER NOT NULL DEFAULT 0;

-- The connector's host key, apart, with the time since when it is the workspace's: one
-- machine is one organisation's.
ALTER TABLE workspaces ADD COLUMN host_key TEXT;
ALTER TABLE workspaces ADD COLUMN host_key_since INTEGER;
CREATE INDEX workspaces_host_key ON workspaces (host_key) WHERE host_key IS NOT NULL;
