-- Sites, their agents, and the tokens that let agents and people in.
-- +goose Up
CREATE SCHEMA river;
CREATE EXTENSION IF NOT EXISTS btree_gist;

CREATE TABLE site (
    id          text PRIMARY KEY,
    name        text NOT NULL CONSTRAINT site_name_key UNIQUE,
    domain      text NOT NULL,
    outbox_seq  bigint NOT NULL DEFAULT 0, -- last change made for the site
    created_at  timestamptz NOT NULL DEFAULT now()
);

-- The inbox has a row of its own: taking a fact must not lock the row of the
-- site, which every change takes last.
CREATE TABLE inbox (
    site      text PRIMARY KEY REFERENCES site (id) ON DELETE CASCADE,
    last_fact bigint NOT NULL DEFAULT 0 -- last fact taken from the site
);

CREATE TABLE agent (
    site        text NOT NULL REFERENCES site (id) ON DELETE CASCADE,
    id          text NOT NULL CONSTRAINT agent_id_key UNIQUE,
    name        text NOT NULL,
    version     text NOT NULL DEFAULT '',
    public_key  text NOT NULL CONSTRAINT agent_public_key_key UNIQUE,
    seal_key    text NOT NULL,
    address     text NOT NULL DEFAULT '',
    last_seen   timestamptz,
    applied     bigint NOT NULL DEFAULT 0,
    enrolled_at timestamptz NOT NULL DEFAULT now(),
    retired_at  timestamptz,
    PRIMARY KEY (site, id)
);
CREATE UNIQUE INDEX agent_live_key ON agent (site) WHERE retired_at IS NULL;

CREATE TABLE enrol_token (
    site       text NOT NULL REFERENCES site (id) ON DELETE CASCADE,
    hash       bytea NOT NULL CONSTRAINT enrol_token_hash_key UNIQUE,
    expires_at timestamptz NOT NULL,
    used_at    timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (site, hash)
);

CREATE TABLE token (
    id         text PRIMARY KEY,
    site       text REFERENCES site (id) ON DELETE CASCADE, -- null: good for every site
    name       text NOT NULL,
    hash       bytea NOT NULL CONSTRAINT token_hash_key UNIQUE,
    role       text NOT NULL CONSTRAINT token_role_check CHECK (role IN ('viewer', 'operator', 'admin', 'agent')),
    expires_at timestamptz,
    revoked_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX token_name_key ON token (name) WHERE revoked_at IS NULL;
