-- The flight recorder: what each boot attempt was seen to do. Both tables are
-- bounded when a row is added, so nothing ever sweeps them.
-- +goose Up
CREATE TABLE boot_attempt (
    site       text NOT NULL REFERENCES site (id) ON DELETE CASCADE,
    id         text NOT NULL,
    owner      text NOT NULL, -- the machine's id, or its MAC while it was unknown
    machine    text,
    mac        macaddr,
    started_at timestamptz NOT NULL,
    last_at    timestamptz NOT NULL,
    seen       integer NOT NULL DEFAULT 0, -- events, those that were pruned included
    last       text NOT NULL DEFAULT '',
    PRIMARY KEY (site, id),
    FOREIGN KEY (site, machine) REFERENCES machine (site, id) ON DELETE CASCADE
);
CREATE INDEX boot_attempt_owner_index ON boot_attempt (site, owner, id);
CREATE INDEX boot_attempt_machine_index ON boot_attempt (machine) WHERE machine IS NOT NULL;
CREATE INDEX boot_attempt_stranger_index ON boot_attempt (site, id) WHERE machine IS NULL;

CREATE TABLE boot_event (
    site    text NOT NULL,
    attempt text NOT NULL,
    seq     bigint GENERATED ALWAYS AS IDENTITY,
    at      timestamptz NOT NULL,
    event   jsonb NOT NULL,
    PRIMARY KEY (site, attempt, seq),
    FOREIGN KEY (site, attempt) REFERENCES boot_attempt (site, id) ON DELETE CASCADE
);

-- How long a step usually takes on a model: from the model to its machines, and
-- from those by their workflows to the steps.
CREATE INDEX machine_model_index ON machine ((inventory ->> 'vendor'), (inventory ->> 'model'));
