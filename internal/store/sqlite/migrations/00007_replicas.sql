-- +goose Up

-- An organisation's limits, as JSON, where they differ from the server's.
ALTER TABLE orgs ADD COLUMN limits TEXT;

-- Who runs an exec. NULL is nobody in particular.
ALTER TABLE activity ADD COLUMN replica TEXT;

-- For counting what runs.
CREATE INDEX activity_running_execs ON activity (org_id, workspace_id) WHERE status = 'running' AND type = 'workspace_exec';

-- The replicas that are alive: what a replica without a lease has left running, others
-- complete.
CREATE TABLE leases (
    replica    TEXT    NOT NULL PRIMARY KEY,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
