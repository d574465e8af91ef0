-- Workflows, problems, the audit chain and the outbox to the sites.
-- +goose Up
CREATE TABLE workflow (
    site       text NOT NULL REFERENCES site (id),
    id         text NOT NULL CONSTRAINT workflow_id_key UNIQUE,
    kind       text NOT NULL,
    machine    text,
    actor      text NOT NULL,
    state      text NOT NULL CONSTRAINT workflow_state_check
               CHECK (state IN ('running', 'unwinding', 'succeeded', 'failed', 'cancelled')),
    step_name  text NOT NULL DEFAULT '',
    version    bigint NOT NULL,
    next_at    timestamptz, -- null: not before a signal
    run        jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    ended_at   timestamptz,
    PRIMARY KEY (site, id)
);
-- One workflow at a time on a machine.
CREATE UNIQUE INDEX workflow_live_key ON workflow (machine) WHERE machine IS NOT NULL AND state IN ('running', 'unwinding');
CREATE INDEX workflow_machine_index ON workflow (machine, id);
CREATE INDEX workflow_due_index ON workflow (next_at) WHERE state IN ('running', 'unwinding');

CREATE TABLE site_step (
    site       text NOT NULL,
    workflow   text NOT NULL,
    work       text NOT NULL,
    seq        bigint GENERATED ALWAYS AS IDENTITY,
    name       text NOT NULL,
    attempt    integer NOT NULL,
    outcome    text NOT NULL CONSTRAINT site_step_outcome_check CHECK (outcome IN ('running', 'done', 'failed', 'undone', 'skipped')),
    detail     text NOT NULL DEFAULT '',
    started_at timestamptz NOT NULL,
    ended_at   timestamptz,
    PRIMARY KEY (site, workflow, seq),
    CONSTRAINT site_step_key UNIQUE (work, name, attempt, started_at),
    FOREIGN KEY (site, workflow) REFERENCES workflow (site, id) ON DELETE CASCADE
);
CREATE INDEX site_step_workflow_index ON site_step (workflow, seq);

-- What running work looks like now. Losing it costs nothing.
CREATE UNLOGGED TABLE workflow_live (
    workflow text PRIMARY KEY,
    live     jsonb NOT NULL,
    at       timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE problem (
    id         text PRIMARY KEY,
    site       text REFERENCES site (id) ON DELETE CASCADE,
    subject    text NOT NULL,
    name       text NOT NULL,
    code       text NOT NULL,
    severity   text NOT NULL CONSTRAINT problem_severity_check CHECK (severity IN ('warning', 'critical')),
    reason     text NOT NULL,
    evidence   text NOT NULL DEFAULT '',
    remedy     text NOT NULL DEFAULT '',
    since      timestamptz NOT NULL DEFAULT now(),
    cleared_at timestamptz
);
CREATE UNIQUE INDEX problem_open_key ON problem (subject, code) WHERE cleared_at IS NULL;
CREATE INDEX problem_site_index ON problem (site, id);

CREATE TABLE audit (
    seq     bigint PRIMARY KEY, -- without gaps: a missing number is a missing record
    site    text NOT NULL DEFAULT '',
    at      timestamptz NOT NULL,
    actor   text NOT NULL,
    action  text NOT NULL,
    subject text NOT NULL DEFAULT '',
    name    text NOT NULL DEFAULT '',
    outcome text NOT NULL CONSTRAINT audit_outcome_check CHECK (outcome IN ('done', 'refused', 'failed')),
    detail  text NOT NULL DEFAULT '',
    request text NOT NULL DEFAULT '',
    hash    text NOT NULL
);
CREATE INDEX audit_subject_index ON audit (subject, seq);

CREATE TABLE outbox (
    site         text NOT NULL REFERENCES site (id) ON DELETE CASCADE,
    seq          bigint NOT NULL,
    kind         text NOT NULL,
    key          text NOT NULL,
    deleted      boolean NOT NULL,
    body         jsonb,
    created_at   timestamptz NOT NULL DEFAULT now(),
    published_at timestamptz,
    PRIMARY KEY (site, seq)
);
CREATE INDEX outbox_unpublished_index ON outbox (site, seq) WHERE published_at IS NULL;
CREATE INDEX outbox_key_index ON outbox (site, kind, key, seq);
