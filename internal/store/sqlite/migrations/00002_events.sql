-- +goose Up

-- The second event of a row that was completed after it was written.
CREATE UNIQUE INDEX activity_completed ON activity (org_id, seq) WHERE seq <> written_seq;
