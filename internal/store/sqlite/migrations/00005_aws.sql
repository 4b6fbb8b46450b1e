-- +goose Up

-- How the organisation's EC2 instances are reached, as JSON: the role to assume, and the
-- external id that it demands. NULL is with the server's own credentials.
ALTER TABLE orgs ADD COLUMN aws TEXT;
