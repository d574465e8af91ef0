-- Names beside those of machines: made by hand, or by updates at the site
-- (RFC 2136), who may do what with a site's zones, and the keys that they show.
-- +goose Up
CREATE TABLE dns_record (
    site       text NOT NULL REFERENCES site (id) ON DELETE CASCADE,
    id         text NOT NULL CONSTRAINT dns_record_id_key UNIQUE,
    name       text NOT NULL,
    type       text NOT NULL CONSTRAINT dns_record_type_check CHECK (type IN ('A', 'AAAA', 'CNAME', 'MX', 'PTR', 'SRV', 'TXT')),
    data       text NOT NULL,
    ttl        integer NOT NULL CONSTRAINT dns_record_ttl_check CHECK (ttl >= 0),
    source     text NOT NULL CONSTRAINT dns_record_source_check CHECK (source IN ('manual', 'update')),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (site, id)
);
-- The data of a text is longer than an index takes.
CREATE UNIQUE INDEX dns_record_key ON dns_record (site, name, type, source, md5(data));

CREATE TABLE dns_policy (
    site     text PRIMARY KEY REFERENCES site (id) ON DELETE CASCADE,
    transfer text[] NOT NULL,
    updaters text[] NOT NULL,
    notify   text[] NOT NULL,
    forward  text[] NOT NULL
);

CREATE TABLE dns_key (
    site       text NOT NULL REFERENCES site (id) ON DELETE CASCADE,
    name       text NOT NULL,
    algorithm  text NOT NULL CONSTRAINT dns_key_algorithm_check CHECK (algorithm IN ('hmac-sha256', 'hmac-sha512')),
    secret     bytea NOT NULL, -- sealed
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (site, name)
);
