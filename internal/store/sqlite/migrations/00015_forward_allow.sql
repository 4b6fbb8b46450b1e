-- +goose Up

-- Where forwards of a workspace may lead, a JSON array of HOST:PORTS; NULL is the default. The
-- version before leaves it as it is.
ALTER TABLE workspaces ADD COLUMN forward_allow TEXT;
