-- What the API needs to carry a request out once, and only on what its sender
-- has seen.
-- +goose Up
ALTER TABLE workflow ADD COLUMN request text NOT NULL DEFAULT ''; -- id of the request that asked for it

-- A revision is taken from one sequence, so that no two rows, nor a row and the
-- one of the same name that was deleted before it, ever have the same. It rises
-- with what people and workflows decide; what is only measured leaves it alone.
CREATE SEQUENCE revision;
ALTER TABLE machine ADD COLUMN revision bigint NOT NULL DEFAULT nextval('revision');
ALTER TABLE workflow ADD COLUMN revision bigint NOT NULL DEFAULT nextval('revision');

-- +goose StatementBegin
CREATE FUNCTION raise_revision() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.revision = nextval('revision');
    RETURN NEW;
END $$;

CREATE FUNCTION raise_revision_of_machine() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE machine SET revision = nextval('revision') WHERE id = coalesce(NEW.machine, OLD.machine);
    RETURN NULL;
END $$;
-- +goose StatementEnd

CREATE TRIGGER machine_revision BEFORE UPDATE ON machine FOR EACH ROW
    WHEN ((OLD.power, OLD.power_at) IS NOT DISTINCT FROM (NEW.power, NEW.power_at)) EXECUTE FUNCTION raise_revision();
CREATE TRIGGER bmc_revision AFTER INSERT OR UPDATE OR DELETE ON bmc FOR EACH ROW EXECUTE FUNCTION raise_revision_of_machine();
CREATE TRIGGER workflow_revision BEFORE UPDATE ON workflow FOR EACH ROW
    WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION raise_revision();

-- The answers of requests that bore an Idempotency-Key, for a day. Only digests
-- of the keys are kept, and the answers sealed: some hold secrets.
CREATE TABLE request_key (
    id         bytea PRIMARY KEY, -- of the bearer and its key
    digest     bytea NOT NULL,    -- of the request
    claim      text NOT NULL DEFAULT '', -- of who carries it out, where that is not one transaction
    sealed     bytea,             -- the answer; null: carried out, but the answer was lost
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX request_key_created_index ON request_key (created_at);
