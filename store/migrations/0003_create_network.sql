-- Networks, subnets, ranges, addresses and the names published for them.
-- +goose Up
CREATE TYPE inetrange AS RANGE (subtype = inet);

CREATE TABLE network (
    site text NOT NULL REFERENCES site (id),
    id   text NOT NULL CONSTRAINT network_id_key UNIQUE,
    name text NOT NULL,
    vlan integer NOT NULL DEFAULT 0 CONSTRAINT network_vlan_check CHECK (vlan BETWEEN 0 AND 4094),
    mtu  integer NOT NULL DEFAULT 1500 CONSTRAINT network_mtu_check CHECK (mtu BETWEEN 576 AND 9216),
    PRIMARY KEY (site, id),
    CONSTRAINT network_name_key UNIQUE (site, name)
);

CREATE TABLE subnet (
    site     text NOT NULL,
    id       text NOT NULL CONSTRAINT subnet_id_key UNIQUE,
    network  text NOT NULL,
    cidr     cidr NOT NULL,
    gateway  inet CONSTRAINT subnet_gateway_check CHECK (gateway << cidr OR masklen(cidr) = 32 OR masklen(cidr) = 128),
    dns      inet[] NOT NULL DEFAULT '{}',
    ntp      inet[] NOT NULL DEFAULT '{}',
    discover boolean NOT NULL DEFAULT false,
    mtu      integer NOT NULL DEFAULT 1500 CONSTRAINT subnet_mtu_check CHECK (mtu BETWEEN 576 AND 9216),
    PRIMARY KEY (site, id),
    FOREIGN KEY (site, network) REFERENCES network (site, id) ON DELETE CASCADE,
    -- Two sites may use the same prefix; one site may not use it twice.
    CONSTRAINT subnet_overlap EXCLUDE USING gist (site WITH =, cidr inet_ops WITH &&)
);

CREATE TABLE address_range (
    site   text NOT NULL,
    id     text NOT NULL CONSTRAINT address_range_id_key UNIQUE,
    subnet text NOT NULL,
    kind   text NOT NULL CONSTRAINT address_range_kind_check CHECK (kind IN ('dynamic', 'reserved')),
    first  inet NOT NULL,
    last   inet NOT NULL,
    PRIMARY KEY (site, id),
    FOREIGN KEY (site, subnet) REFERENCES subnet (site, id) ON DELETE CASCADE,
    CONSTRAINT address_range_order_check CHECK (first <= last),
    CONSTRAINT address_range_overlap EXCLUDE USING gist (subnet WITH =, inetrange(first, last, '[]') WITH &&)
);

CREATE TABLE address (
    site       text NOT NULL,
    id         text NOT NULL CONSTRAINT address_id_key UNIQUE,
    subnet     text NOT NULL,
    ip         inet NOT NULL,
    kind       text NOT NULL CONSTRAINT address_kind_check CHECK (kind IN ('machine', 'gateway', 'agent', 'manual')),
    machine    text,
    mac        macaddr,
    name       text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (site, id),
    CONSTRAINT address_ip_key UNIQUE (site, ip),
    FOREIGN KEY (site, subnet) REFERENCES subnet (site, id),
    FOREIGN KEY (site, machine) REFERENCES machine (site, id)
);
CREATE INDEX address_machine_index ON address (machine);
CREATE INDEX address_subnet_index ON address (subnet, ip);
-- A machine's port holds one address in a subnet: asking twice yields the same.
CREATE UNIQUE INDEX address_port_key ON address (subnet, machine, mac) WHERE machine IS NOT NULL;

CREATE TABLE record (
    site text NOT NULL REFERENCES site (id) ON DELETE CASCADE,
    name text NOT NULL,
    ip   inet NOT NULL,
    ttl  integer NOT NULL CONSTRAINT record_ttl_check CHECK (ttl > 0),
    PRIMARY KEY (site, name),
    CONSTRAINT record_ip_key UNIQUE (site, ip)
);

CREATE TABLE image (
    id           text PRIMARY KEY,
    name         text NOT NULL CONSTRAINT image_name_key UNIQUE,
    digest       text NOT NULL,
    bytes        bigint NOT NULL,
    compression  text NOT NULL CONSTRAINT image_compression_check CHECK (compression IN ('none', 'gzip', 'xz', 'zstd')),
    raw_digest   text NOT NULL,
    raw_bytes    bigint NOT NULL,
    architecture text NOT NULL,
    boot_modes   text[] NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX image_digest_index ON image (digest);
