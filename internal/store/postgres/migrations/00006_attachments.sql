-- +goose Up

-- Attachments: files on workspaces' machines, which go when their time is over. Their
-- records go with the workspace.
CREATE TABLE attachments (
    position      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id            text COLLATE "C" NOT NULL,
    org_id        text COLLATE "C" NOT NULL,
    workspace_id  text COLLATE "C" NOT NULL,
    name          text NOT NULL,
    size          bigint NOT NULL,  -- bytes
    media_type    text NOT NULL,
    sha256        text NOT NULL,    -- hexadecimal
    reserved      boolean NOT NULL, -- while its content is on its way
    created_at    bigint NOT NULL,
    expires_at    bigint NOT NULL,  -- of a reservation: when it is given up
    claimed_until bigint NOT NULL,  -- until then somebody takes the expired file away
    CONSTRAINT attachments_id UNIQUE (id),
    FOREIGN KEY (org_id, workspace_id) REFERENCES workspaces (org_id, id) ON DELETE CASCADE
);

-- For counting what an organisation has, too.
CREATE INDEX attachments_listed ON attachments (org_id, workspace_id, position);
CREATE INDEX attachments_by_end ON attachments (expires_at);

ALTER TABLE attachments ENABLE ROW LEVEL SECURITY;
ALTER TABLE attachments FORCE ROW LEVEL SECURITY;
CREATE POLICY system ON attachments TO sallyport_system USING (current_user = 'sallyport_system');
CREATE POLICY tenant ON attachments TO sallyport_tenant
    USING (org_id = nullif(current_setting('sallyport.org_id', true), ''));
GRANT SELECT, INSERT, UPDATE, DELETE ON attachments TO sallyport_system, sallyport_tenant;
