-- +goose Up

-- Where other replicas reach this one. Empty is nowhere: the version before writes none.
ALTER TABLE leases ADD COLUMN url TEXT NOT NULL DEFAULT '';
