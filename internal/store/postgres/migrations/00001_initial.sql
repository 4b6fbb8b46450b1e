-- +goose Up

-- Times are Unix microseconds, UTC. What programs compare is compared by its bytes
-- (COLLATE "C"), whatever the database's language is.
--
-- An organisation's changes are made one after another: each locks its row of
-- activity_counters first. So within one organisation positions and seqs are in the
-- order of commits.

CREATE TABLE orgs (
    position   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id         text COLLATE "C" NOT NULL,
    name       text COLLATE "C" NOT NULL,
    created_at bigint NOT NULL,
    aws        text,             -- JSON object: the role to assume; NULL is with the server's own credentials
    limits     text,             -- JSON object: those that differ from the server's
    CONSTRAINT orgs_id UNIQUE (id),
    CONSTRAINT orgs_name UNIQUE (name)
);

CREATE TABLE workspaces (
    position          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id                text COLLATE "C" NOT NULL,
    org_id            text COLLATE "C" NOT NULL REFERENCES orgs (id),
    name              text COLLATE "C" NOT NULL,
    tier              bigint NOT NULL,
    labels            text NOT NULL, -- JSON object of strings
    connector         text,          -- JSON object; NULL is no host
    sealed_key        bytea,         -- sealed by a key that is not in this database
    connector_version bigint NOT NULL,
    host_key          text COLLATE "C",
    host_key_since    bigint,
    created_at        bigint NOT NULL,
    updated_at        bigint NOT NULL,
    CONSTRAINT workspaces_id UNIQUE (id),
    CONSTRAINT workspaces_of_org UNIQUE (org_id, id),
    CONSTRAINT workspaces_name UNIQUE (org_id, name)
);

CREATE INDEX workspaces_listed ON workspaces (org_id, position);
-- A hash, since a host key may be longer than what a B-tree holds.
CREATE INDEX workspaces_host_key ON workspaces USING hash (host_key);

-- The pair of keys refers to the pair in workspaces, so that no token can name one
-- organisation and another's workspace.
CREATE TABLE tokens (
    position     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id           text COLLATE "C" NOT NULL,
    org_id       text COLLATE "C" NOT NULL REFERENCES orgs (id) ON DELETE CASCADE,
    workspace_id text COLLATE "C",   -- NULL is an organisation's token
    name         text COLLATE "C" NOT NULL,
    prefix       text NOT NULL,
    hash         bytea NOT NULL,
    scopes       text NOT NULL,      -- JSON array of strings
    created_at   bigint NOT NULL,
    expires_at   bigint,             -- NULL is never
    revoked_at   bigint,             -- NULL is live
    CONSTRAINT tokens_id UNIQUE (id),
    CONSTRAINT tokens_hash UNIQUE (hash),
    FOREIGN KEY (org_id, workspace_id) REFERENCES workspaces (org_id, id) ON DELETE CASCADE
);

CREATE INDEX tokens_listed ON tokens (org_id, workspace_id, position);

-- Rows outlive what they tell of, so nothing here refers to another table.
--
-- detail holds what is known when a row is written, outcome what its end adds, and
-- written_seq and seq the numbers of the two changes: both events of a row can be
-- rebuilt from it. They are JSON as text: what jsonb can't hold, a command may.
CREATE TABLE activity (
    position     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id           text COLLATE "C" NOT NULL,
    org_id       text COLLATE "C" NOT NULL,
    workspace_id text COLLATE "C" NOT NULL,
    type         text COLLATE "C" NOT NULL,
    status       text COLLATE "C" NOT NULL,
    actor        text COLLATE "C" NOT NULL,
    summary      text COLLATE "C" NOT NULL,
    created_at   bigint NOT NULL,
    completed_at bigint,
    written_seq  bigint NOT NULL,
    seq          bigint NOT NULL,
    detail       text NOT NULL,
    outcome      text,             -- NULL is nothing to say
    replica      text COLLATE "C", -- who runs the exec; NULL is nobody in particular
    CONSTRAINT activity_id UNIQUE (id)
);

CREATE UNIQUE INDEX activity_of_org ON activity (org_id, written_seq);
CREATE INDEX activity_of_workspace ON activity (org_id, workspace_id, written_seq);
-- For counting what runs, and finding what was left running.
CREATE INDEX activity_running_execs ON activity (org_id, workspace_id) WHERE status = 'running' AND type = 'workspace_exec';
-- The second event of a row that was completed after it was written.
CREATE UNIQUE INDEX activity_completed ON activity (org_id, seq) WHERE seq <> written_seq;

-- The last seq that each organisation has given out. A row here is never deleted, so
-- that a number is never given twice. It changes with each commit: there is room on
-- its page for the next version.
CREATE TABLE activity_counters (
    org_id   text COLLATE "C" PRIMARY KEY,
    last_seq bigint NOT NULL
) WITH (fillfactor = 50);

-- Idempotency keys, taken in the same transaction as the row of their exec. The key is
-- kept as its SHA-256, and what it was used for as a hash that takes a key from outside
-- this database.
CREATE TABLE idempotency_keys (
    org_id     text COLLATE "C" NOT NULL,
    hash       bytea NOT NULL,
    body       bytea NOT NULL,
    exec_id    text COLLATE "C" NOT NULL,
    created_at bigint NOT NULL,
    PRIMARY KEY (hash, org_id)
);

CREATE INDEX idempotency_keys_of_exec ON idempotency_keys (exec_id);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);

-- Cookie sessions: each stands for a token, and is good for as long as that is. A token of
-- the configuration is in no table, so nothing here refers to one.
CREATE TABLE sessions (
    position   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    hash       bytea NOT NULL,
    token_hash bytea NOT NULL,
    expires_at bigint NOT NULL,
    CONSTRAINT sessions_hash UNIQUE (hash)
);

CREATE INDEX sessions_of_token ON sessions (token_hash, position);
CREATE INDEX sessions_by_end ON sessions (expires_at);

-- The SSH CA's keys, newest last. The private half is sealed with a key that is not in
-- this database.
CREATE TABLE ca_keys (
    position   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id         text COLLATE "C" NOT NULL UNIQUE,
    public_key text COLLATE "C" NOT NULL UNIQUE,
    sealed     bytea NOT NULL,
    created_at bigint NOT NULL,
    ends_at    bigint            -- NULL is in force until another replaces it
);

-- One key alone is in force without an end: of several servers that start together,
-- one makes it.
CREATE UNIQUE INDEX ca_keys_newest ON ca_keys ((ends_at IS NULL)) WHERE ends_at IS NULL;

-- The replicas that are alive: what a replica without a lease has left running, others
-- complete. Its times are by the clock of this database, which all replicas share.
CREATE TABLE leases (
    replica    text COLLATE "C" PRIMARY KEY,
    expires_at timestamptz NOT NULL
) WITH (fillfactor = 50);

-- The second wall. Every table refuses all rows to all, its owner too, but for two roles:
-- what asks for one organisation runs as sallyport_tenant, and sees the rows of the
-- organisation that its transaction names; what must look further runs as
-- sallyport_system. The login role is a member of both and may inherit what they are
-- granted, so the policy of the latter asks who it is now.

-- +goose StatementBegin
DO $$
DECLARE
    name text;
BEGIN
    IF NOT has_schema_privilege('sallyport_tenant', current_schema(), 'USAGE') THEN
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO sallyport_tenant', current_schema());
    END IF;
    IF NOT has_schema_privilege('sallyport_system', current_schema(), 'USAGE') THEN
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO sallyport_system', current_schema());
    END IF;
    FOREACH name IN ARRAY ARRAY['orgs', 'workspaces', 'tokens', 'activity', 'activity_counters', 'idempotency_keys', 'sessions', 'ca_keys', 'leases'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY system ON %I TO sallyport_system USING (current_user = ''sallyport_system'')', name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO sallyport_system', name);
    END LOOP;
    FOREACH name IN ARRAY ARRAY['workspaces', 'tokens', 'activity', 'activity_counters'] LOOP
        EXECUTE format('CREATE POLICY tenant ON %I TO sallyport_tenant '
            'USING (org_id = nullif(current_setting(''sallyport.org_id'', true), ''''))', name);
    END LOOP;
END
$$;
-- +goose StatementEnd

CREATE POLICY tenant ON orgs TO sallyport_tenant
    USING (id = nullif(current_setting('sallyport.org_id', true), ''));

GRANT SELECT ON orgs, activity, activity_counters TO sallyport_tenant;
GRANT SELECT, INSERT, UPDATE, DELETE ON workspaces TO sallyport_tenant;
GRANT SELECT, INSERT, UPDATE ON tokens TO sallyport_tenant;

-- The lowest schema version that a program must know to use this database, of which the
-- largest counts. A migration that the version before can't work with adds a row.
CREATE TABLE schema_floor (
    version bigint PRIMARY KEY
);

GRANT SELECT ON schema_floor, goose_db_version TO sallyport_system;
