-- An address that somebody uses who was not given it: by whom, and when the
-- site's agent looks again whether that is still so.
-- +goose Up
ALTER TABLE address
    ADD COLUMN taken_by macaddr,
    ADD COLUMN probe_at timestamptz;
CREATE INDEX address_probe_index ON address (probe_at) WHERE probe_at IS NOT NULL;
