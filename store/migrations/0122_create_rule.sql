-- Rules take in machines that were discovered, and say what those get. The secret is
-- the password of the BMCs, sealed. What took a machine in is kept beside it.
-- +goose Up
CREATE TABLE rule (
    name        text NOT NULL CONSTRAINT rule_pkey PRIMARY KEY,
    number      bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT rule_number_key UNIQUE,
    priority    integer NOT NULL CONSTRAINT rule_priority_check CHECK (priority BETWEEN -1000000 AND 1000000),
    constraints jsonb NOT NULL,
    request     jsonb NOT NULL,
    gift        jsonb NOT NULL,
    secret      bytea,
    taken       bigint NOT NULL DEFAULT 0,
    made_by     text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    revision    bigint NOT NULL DEFAULT 1
);

CREATE TABLE rule_taken (
    site    text NOT NULL,
    machine text NOT NULL,
    rule    text NOT NULL,
    at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT rule_taken_pkey PRIMARY KEY (site, machine),
    CONSTRAINT rule_taken_site_machine_fkey FOREIGN KEY (site, machine) REFERENCES machine (site, id) ON DELETE CASCADE
);
