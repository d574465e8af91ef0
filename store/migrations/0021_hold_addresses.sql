-- Addresses may be held for a while, and kept away from while somebody who is
-- not Sprout has them. One whose time is over counts as free: whoever wants it
-- takes its place, and nothing sweeps.
-- +goose Up
ALTER TABLE address
    ADD COLUMN purpose text NOT NULL DEFAULT '',
    ADD COLUMN expires_at timestamptz,
    DROP CONSTRAINT address_kind_check,
    ADD CONSTRAINT address_kind_check CHECK (kind IN ('machine', 'gateway', 'agent', 'manual', 'hold', 'quarantined'));
CREATE INDEX address_expiry_index ON address (subnet, ip) WHERE expires_at IS NOT NULL;
-- Lists of a site are by address.
ALTER TABLE address
    DROP CONSTRAINT address_ip_key,
    ADD CONSTRAINT address_ip_key UNIQUE (site, ip, vrf);
