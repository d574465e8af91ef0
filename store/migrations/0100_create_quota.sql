-- How many machines an owner may have at most. Who has no row may have any number.
-- +goose Up
CREATE TABLE quota (
    owner    text NOT NULL CONSTRAINT quota_pkey PRIMARY KEY,
    machines integer NOT NULL CONSTRAINT quota_machines_check CHECK (machines BETWEEN 0 AND 1000000),
    set_by   text NOT NULL,
    set_at   timestamptz NOT NULL DEFAULT now()
);
