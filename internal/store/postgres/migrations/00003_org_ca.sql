-- +goose Up

-- The keys of each organisation's SSH CA, newest last. The private half is sealed with a
-- key that is not in this database.
CREATE TABLE org_ca_keys (
    position   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id         text COLLATE "C" NOT NULL UNIQUE,
    org_id     text COLLATE "C" NOT NULL REFERENCES orgs (id) ON DELETE CASCADE,
    public_key text COLLATE "C" NOT NULL UNIQUE,
    sealed     bytea NOT NULL,
    created_at bigint NOT NULL,
    ends_at    bigint            -- NULL is in force until another replaces it
);

CREATE INDEX org_ca_keys_listed ON org_ca_keys (org_id, position);

-- One key alone of an organisation is in force without an end: of several servers that
-- make the first one at the same time, one does.
CREATE UNIQUE INDEX org_ca_keys_newest ON org_ca_keys (org_id) WHERE ends_at IS NULL;

-- The keys of the SSH CA that all organisations shared. This version signs with none of
-- them: machines must learn the keys of their own organisation's CA. The time tells which
-- machines have. The table ca_keys, and the columns host_key and host_key_since of
-- workspaces, are there for the version before alone.
CREATE TABLE retired_ca_keys (
    public_key text COLLATE "C" PRIMARY KEY,
    retired_at bigint NOT NULL
);

-- +goose StatementBegin
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['org_ca_keys', 'retired_ca_keys'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY system ON %I TO sallyport_system USING (current_user = ''sallyport_system'')', name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO sallyport_system', name);
    END LOOP;
END
$$;
-- +goose StatementEnd

-- Row-level security is forced on who migrates, too.
SET LOCAL ROLE sallyport_system;
INSERT INTO retired_ca_keys (public_key, retired_at)
    SELECT public_key, (extract(epoch FROM now()) * 1000000)::bigint FROM ca_keys;
RESET ROLE;
