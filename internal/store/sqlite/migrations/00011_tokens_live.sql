-- +goose Up

-- For counting an organisation's live tokens, however many it has revoked.
CREATE INDEX tokens_live ON tokens (org_id, expires_at) WHERE revoked_at IS NULL;
