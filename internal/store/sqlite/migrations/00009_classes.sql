-- +goose Up

-- What a running row is counted as: 1 exec, 2 terminal, 3 transfer, 4 stream, and 0 what
-- is not counted. Until now execs alone were ever running.
ALTER TABLE activity ADD COLUMN class INTEGER NOT NULL DEFAULT 1;

-- For counting what runs, and finding what was left running, of every class.
CREATE INDEX activity_running_acts ON activity (org_id, class, workspace_id) WHERE status = 'running';
DROP INDEX activity_running_execs;
