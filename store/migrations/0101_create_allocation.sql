-- Machines that were asked for together: given, or waited for in the order of
-- number, and for how long. Which machines these are, until they leave their owner.
-- +goose Up
CREATE TABLE allocation (
    id          text NOT NULL CONSTRAINT allocation_pkey PRIMARY KEY,
    number      bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT allocation_number_key UNIQUE,
    state       text NOT NULL CONSTRAINT allocation_state_check CHECK (state IN ('queued', 'given', 'expired', 'cancelled')),
    sites       text[],
    owner       text NOT NULL,
    machines    integer NOT NULL CONSTRAINT allocation_machines_check CHECK (machines BETWEEN 1 AND 1000),
    spread      text NOT NULL CONSTRAINT allocation_spread_check CHECK (spread IN ('', 'zone')),
    constraints jsonb NOT NULL,
    seconds     bigint NOT NULL CONSTRAINT allocation_seconds_check CHECK (seconds >= 0),
    asked_by    text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    given_at    timestamptz,
    expires_at  timestamptz,
    warned      boolean NOT NULL DEFAULT false,
    ended_at    timestamptz,
    revision    bigint NOT NULL DEFAULT nextval('revision')
);
CREATE INDEX allocation_queue_index ON allocation (number) WHERE state = 'queued';
CREATE INDEX allocation_expires_index ON allocation (expires_at) WHERE state = 'given' AND expires_at IS NOT NULL;
CREATE INDEX allocation_ended_index ON allocation (ended_at) WHERE ended_at IS NOT NULL;
CREATE TABLE allocation_machine (
    allocation  text NOT NULL REFERENCES allocation (id) ON DELETE CASCADE,
    site        text NOT NULL,
    machine     text NOT NULL,
    generation  bigint NOT NULL,
    returned_at timestamptz,
    left_at     timestamptz,
    PRIMARY KEY (allocation, machine),
    CONSTRAINT allocation_machine_machine_fkey FOREIGN KEY (site, machine) REFERENCES machine (site, id) ON DELETE CASCADE
);
CREATE INDEX allocation_machine_machine_index ON allocation_machine (site, machine);
CREATE UNIQUE INDEX allocation_machine_live_key ON allocation_machine (machine) WHERE left_at IS NULL;
