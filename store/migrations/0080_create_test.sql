-- Tests that operators add: an executable, and what its header declares. Results
-- keep what was said, and the serial number of the device, by which it is known
-- in whatever machine it is. Tests are skipped for a reason.
-- +goose Up
CREATE TABLE test (
    name       text NOT NULL CONSTRAINT test_pkey PRIMARY KEY,
    digest     text NOT NULL,
    declared   jsonb NOT NULL,
    content    bytea NOT NULL CONSTRAINT test_content_check CHECK (octet_length(content) BETWEEN 1 AND 16777216),
    added_by   text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX test_digest_index ON test (digest);
ALTER TABLE test ALTER COLUMN content SET STORAGE EXTERNAL;
ALTER TABLE test_result ADD COLUMN serial text NOT NULL DEFAULT '';
ALTER TABLE test_result ADD COLUMN output text NOT NULL DEFAULT '';
CREATE INDEX test_result_seq_index ON test_result (seq);
CREATE INDEX test_result_machine_index ON test_result (machine, seq);
CREATE INDEX test_result_serial_index ON test_result (serial, seq) WHERE serial <> '';
ALTER TABLE machine ADD COLUMN skip_reason text NOT NULL DEFAULT '';
