-- What an installation keeps for itself, sealed; and the leases that agents reported.
-- +goose Up
CREATE TABLE setting (
    name       text PRIMARY KEY,
    sealed     bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE lease (
    site       text NOT NULL REFERENCES site (id) ON DELETE CASCADE,
    ip         inet NOT NULL,
    subnet     text NOT NULL,
    mac        macaddr NOT NULL,
    client_id  text NOT NULL DEFAULT '',
    hostname   text NOT NULL DEFAULT '',
    state      text NOT NULL CONSTRAINT lease_state_check CHECK (state IN ('offered', 'bound', 'released', 'declined')),
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (site, ip)
);
