-- Options that operators have agents send: to the clients of a site, of one of
-- its subnets, of a class, or to one machine.
-- +goose Up
CREATE TABLE dhcp_option (
    site       text NOT NULL REFERENCES site (id) ON DELETE CASCADE,
    id         text NOT NULL CONSTRAINT dhcp_option_id_key UNIQUE,
    subnet     text,
    class      text NOT NULL DEFAULT '',
    machine    text,
    version    integer NOT NULL CONSTRAINT dhcp_option_version_check CHECK (version IN (4, 6)),
    code       integer NOT NULL CONSTRAINT dhcp_option_code_check CHECK (code BETWEEN 1 AND 65535),
    name       text NOT NULL,
    value      text NOT NULL,
    data       bytea NOT NULL,
    always     boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (site, id),
    CONSTRAINT dhcp_option_scope_check CHECK ((subnet IS NOT NULL)::integer + (class <> '')::integer + (machine IS NOT NULL)::integer <= 1),
    CONSTRAINT dhcp_option_subnet_fkey FOREIGN KEY (site, subnet) REFERENCES subnet (site, id) ON DELETE CASCADE,
    CONSTRAINT dhcp_option_machine_fkey FOREIGN KEY (site, machine) REFERENCES machine (site, id) ON DELETE CASCADE,
    CONSTRAINT dhcp_option_key UNIQUE NULLS NOT DISTINCT (site, subnet, class, machine, version, code)
);
CREATE INDEX dhcp_option_subnet_index ON dhcp_option (subnet);
CREATE INDEX dhcp_option_machine_index ON dhcp_option (machine);
