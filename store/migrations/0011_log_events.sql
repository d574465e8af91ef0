-- The log of changes that people and programs watch. A row is written in the
-- transaction of its change and carries that transaction's number: which rows a
-- reader has not seen is a question to its last snapshot, so a row of a
-- transaction that took its number early and committed late is neither skipped
-- nor holds back the others.
-- +goose Up
CREATE TABLE event (
    xid     xid8 NOT NULL DEFAULT pg_current_xact_id(),
    seq     bigint GENERATED ALWAYS AS IDENTITY,
    at      timestamptz NOT NULL DEFAULT now(),
    what    text NOT NULL CONSTRAINT event_what_check CHECK (what IN ('created', 'changed', 'deleted')),
    subject text NOT NULL, -- an id: its prefix says of what kind
    site    text NOT NULL, -- empty: of no site
    machine text NOT NULL,
    name    text NOT NULL, -- of what was deleted
    state   text NOT NULL, -- that it moved to
    PRIMARY KEY (xid, seq)
);

-- Numbers of transactions are good in one history of one cluster: epoch names
-- it. The rows up to pruned are gone.
CREATE TABLE event_log (
    one    boolean PRIMARY KEY DEFAULT true CONSTRAINT event_log_one_check CHECK (one),
    epoch  text NOT NULL,
    pruned xid8 NOT NULL
);
INSERT INTO event_log (epoch, pruned) VALUES ('', '0');
