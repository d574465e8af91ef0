-- Writers leave audit records unsealed, without a lock that they share; a sealer
-- moves them into the chain and signs its end. The chain's own table stays
-- append-only, and a replica of the version before may go on writing to it.
-- +goose Up
ALTER TABLE audit
    ADD COLUMN kind text NOT NULL DEFAULT '' CONSTRAINT audit_kind_check CHECK (kind IN ('', 'request', 'workflow', 'system')),
    ADD COLUMN token text NOT NULL DEFAULT '',
    ADD COLUMN source text NOT NULL DEFAULT '',
    ADD COLUMN changes json, -- not jsonb: its text is a part of the hash
    ADD COLUMN id bigint;    -- what it had unsealed; none in records of the version before
CREATE UNIQUE INDEX audit_id_key ON audit (id);
CREATE INDEX audit_name_index ON audit (name, seq);
CREATE INDEX audit_actor_index ON audit (actor, seq);
CREATE INDEX audit_at_index ON audit USING brin (at);

CREATE TABLE audit_unsealed (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- in the order of writing; gaps say nothing
    site    text NOT NULL,
    at      timestamptz NOT NULL,
    kind    text NOT NULL CONSTRAINT audit_unsealed_kind_check CHECK (kind IN ('request', 'workflow', 'system')),
    actor   text NOT NULL,
    token   text NOT NULL,
    source  text NOT NULL,
    action  text NOT NULL,
    subject text NOT NULL,
    name    text NOT NULL,
    outcome text NOT NULL CONSTRAINT audit_unsealed_outcome_check CHECK (outcome IN ('done', 'refused', 'failed')),
    detail  text NOT NULL,
    changes json,
    request text NOT NULL
);

-- The end of the chain, signed with a key that is not in the database: without
-- it records could be cut off at the end, or the chain made anew, unseen.
CREATE TABLE audit_head (
    single    boolean PRIMARY KEY DEFAULT true CHECK (single),
    records   bigint NOT NULL,
    hash      text NOT NULL,
    sealed_at timestamptz NOT NULL,
    signature bytea NOT NULL
);

-- An unsealed record may go only when the chain holds it, word by word.
-- +goose StatementBegin
CREATE FUNCTION refuse_audit_loss() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM gone g WHERE NOT EXISTS (
            SELECT FROM audit a WHERE a.id = g.id
            AND (a.site, a.at, a.kind, a.actor, a.token, a.source, a.action, a.subject, a.name, a.outcome, a.detail, a.request)
              = (g.site, g.at, g.kind, g.actor, g.token, g.source, g.action, g.subject, g.name, g.outcome, g.detail, g.request)
            AND a.changes::text IS NOT DISTINCT FROM g.changes::text)
    ) THEN
        RAISE EXCEPTION 'the audit record is append-only: it is not sealed yet';
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION refuse_audit_return() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.records < OLD.records THEN
        RAISE EXCEPTION 'the audit record is append-only: its head does not go back';
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER audit_unsealed_append_only BEFORE UPDATE OR TRUNCATE ON audit_unsealed
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();
CREATE TRIGGER audit_unsealed_until_sealed AFTER DELETE ON audit_unsealed REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_loss();
CREATE TRIGGER audit_head_stays BEFORE DELETE OR TRUNCATE ON audit_head
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();
CREATE TRIGGER audit_head_rises BEFORE UPDATE ON audit_head
    FOR EACH ROW EXECUTE FUNCTION refuse_audit_return();
