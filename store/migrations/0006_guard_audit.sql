-- The audit record is append-only for everybody who does not switch this off
-- on purpose; the chain shows who did. An agent may enrol again with the key of
-- one that was retired: its own, mostly.
-- +goose Up
-- +goose StatementBegin
CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit record is append-only';
END $$;
-- +goose StatementEnd
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();

ALTER TABLE agent DROP CONSTRAINT agent_public_key_key;
CREATE UNIQUE INDEX agent_public_key_key ON agent (public_key) WHERE retired_at IS NULL;
