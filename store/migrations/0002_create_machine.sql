-- Machines and what belongs to one.
-- +goose Up
CREATE TABLE machine (
    site          text NOT NULL REFERENCES site (id),
    id            text NOT NULL CONSTRAINT machine_id_key UNIQUE,
    name          text NOT NULL,
    state         text NOT NULL CONSTRAINT machine_state_check
                  CHECK (state IN ('discovered', 'registered', 'ready', 'allocated', 'deployed', 'broken', 'retired')),
    power         text NOT NULL DEFAULT 'unknown' CONSTRAINT machine_power_check CHECK (power IN ('on', 'off', 'unknown')),
    power_at      timestamptz,
    architecture  text NOT NULL DEFAULT 'amd64' CONSTRAINT machine_architecture_check CHECK (architecture IN ('amd64', 'arm64')),
    boot_mode     text NOT NULL DEFAULT '' CONSTRAINT machine_boot_mode_check CHECK (boot_mode IN ('', 'bios', 'uefi')),
    tags          text[] NOT NULL DEFAULT '{}',
    pool          text NOT NULL DEFAULT '',
    zone          text NOT NULL DEFAULT '',
    owner         text NOT NULL DEFAULT '',
    locked        boolean NOT NULL DEFAULT false,
    protected     boolean NOT NULL DEFAULT false,
    generation    bigint NOT NULL DEFAULT 0,
    image         text NOT NULL DEFAULT '',
    tests_skipped boolean NOT NULL DEFAULT false,
    inventory     jsonb,
    created_at    timestamptz NOT NULL DEFAULT now(),
    changed_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (site, id),
    CONSTRAINT machine_name_key UNIQUE (site, name)
);
CREATE INDEX machine_state_index ON machine (site, state, id);

CREATE TABLE machine_history (
    site       text NOT NULL,
    machine    text NOT NULL,
    seq        bigint GENERATED ALWAYS AS IDENTITY,
    at         timestamptz NOT NULL DEFAULT now(),
    actor      text NOT NULL,
    from_state text NOT NULL, -- empty: the machine was made
    event      text NOT NULL,
    to_state   text NOT NULL,
    reason     text NOT NULL DEFAULT '',
    PRIMARY KEY (site, machine, seq),
    FOREIGN KEY (site, machine) REFERENCES machine (site, id) ON DELETE CASCADE
);

CREATE TABLE interface (
    site      text NOT NULL,
    mac       macaddr NOT NULL,
    machine   text NOT NULL,
    position  integer NOT NULL,
    name      text NOT NULL DEFAULT '',
    boot      boolean NOT NULL DEFAULT false,
    driver    text NOT NULL DEFAULT '',
    link      boolean NOT NULL DEFAULT false,
    speed_mbs integer NOT NULL DEFAULT 0,
    pci       text NOT NULL DEFAULT '',
    CONSTRAINT interface_mac_key PRIMARY KEY (site, mac),
    FOREIGN KEY (site, machine) REFERENCES machine (site, id) ON DELETE CASCADE
);
CREATE INDEX interface_machine_index ON interface (machine);

CREATE TABLE bmc (
    site     text NOT NULL,
    machine  text NOT NULL CONSTRAINT bmc_machine_key UNIQUE,
    driver   text NOT NULL CONSTRAINT bmc_driver_check CHECK (driver IN ('redfish', 'manual')),
    url      text NOT NULL DEFAULT '',
    username text NOT NULL DEFAULT '',
    system   text NOT NULL DEFAULT '',
    insecure boolean NOT NULL DEFAULT false,
    secret   bytea, -- the password, sealed with the control plane's key
    PRIMARY KEY (site, machine),
    FOREIGN KEY (site, machine) REFERENCES machine (site, id) ON DELETE CASCADE
);

CREATE TABLE test_result (
    site    text NOT NULL,
    machine text NOT NULL,
    seq     bigint GENERATED ALWAYS AS IDENTITY,
    test    text NOT NULL,
    kind    text NOT NULL,
    device  text NOT NULL,
    outcome text NOT NULL CONSTRAINT test_result_outcome_check CHECK (outcome IN ('passed', 'failed', 'skipped')),
    message text NOT NULL DEFAULT '',
    metrics jsonb NOT NULL DEFAULT '[]',
    at      timestamptz NOT NULL,
    seconds double precision NOT NULL DEFAULT 0,
    latest  boolean NOT NULL DEFAULT true, -- of the machine's last run of tests
    PRIMARY KEY (site, machine, seq),
    FOREIGN KEY (site, machine) REFERENCES machine (site, id) ON DELETE CASCADE
);
CREATE INDEX test_result_latest_index ON test_result (machine) WHERE latest;
