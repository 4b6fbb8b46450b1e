-- +goose Up

-- Whether every terminal of a workspace is recorded. The version before leaves it as it is.
ALTER TABLE workspaces ADD COLUMN record_terminals INTEGER NOT NULL DEFAULT 0;
