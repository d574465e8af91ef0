-- Results are compared with those of sisters: devices of one model, by the same test
-- with the same parameters. A machine keeps what of it is far worse than theirs.
-- +goose Up
ALTER TABLE test_result
    ADD COLUMN model text NOT NULL DEFAULT '',
    ADD COLUMN parameters jsonb NOT NULL DEFAULT '{}';
CREATE INDEX test_result_fleet_index ON test_result (test, model, seq) WHERE model <> '';
ALTER TABLE machine ADD COLUMN outliers jsonb NOT NULL DEFAULT '[]';
