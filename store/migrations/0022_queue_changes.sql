-- Writers leave the changes for a site without a number, and without a lock that
-- they share: the number of a site was one row, and who had raised it kept all
-- others waiting until its commit was on disk. Who hands changes on numbers what
-- has committed, in the order of writing.
-- +goose Up
CREATE TABLE outbox_unnumbered (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- in the order of writing; gaps say nothing
    site       text NOT NULL, -- not tied to site: every writer would lock its row
    kind       text NOT NULL,
    key        text NOT NULL,
    deleted    boolean NOT NULL,
    body       jsonb,
    secret     bytea,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX outbox_unnumbered_site_index ON outbox_unnumbered (site, id);
