-- +goose NO TRANSACTION
-- +goose Up

-- What a running row is counted as: 1 exec, 2 terminal, 3 transfer, 4 stream, and 0 what
-- is not counted. The version before doesn't name it: what it leaves running are execs.
ALTER TABLE activity ADD COLUMN IF NOT EXISTS class smallint NOT NULL DEFAULT 1;

-- For counting what runs, and finding what was left running, of every class; the version
-- before finds its execs by it too. Rows are written while it is made. One that was not
-- made to its end, since the migration was cut off, is of no use.
DROP INDEX CONCURRENTLY IF EXISTS activity_running_acts;
CREATE INDEX CONCURRENTLY activity_running_acts ON activity (org_id, class, workspace_id) WHERE status = 'running';
DROP INDEX CONCURRENTLY IF EXISTS activity_running_execs;
