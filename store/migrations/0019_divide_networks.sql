-- Networks of one site may be in different VRFs, and prefixes of two VRFs may
-- overlap. What was unique in a site is unique in a VRF of it from now on.
-- +goose Up
ALTER TABLE network
    ADD COLUMN vrf text NOT NULL DEFAULT '',
    ADD CONSTRAINT network_vrf_key UNIQUE (site, id, vrf);
CREATE UNIQUE INDEX network_vlan_key ON network (site, vlan) WHERE vlan <> 0;

ALTER TABLE subnet
    ADD COLUMN vrf text NOT NULL DEFAULT '',
    ADD COLUMN domain text NOT NULL DEFAULT '',
    ADD COLUMN search text[] NOT NULL DEFAULT '{}',
    ADD COLUMN routes jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN advertise text NOT NULL DEFAULT '' CONSTRAINT subnet_advertise_check CHECK (advertise IN ('', 'none', 'slaac', 'stateless', 'managed')),
    DROP CONSTRAINT subnet_gateway_check,
    ADD CONSTRAINT subnet_gateway_check CHECK (gateway << cidr OR masklen(cidr) = 32 OR masklen(cidr) = 128 OR gateway <<= 'fe80::/10'),
    ADD CONSTRAINT subnet_vrf_key UNIQUE (site, id, vrf),
    -- The network's VRF, and it moves with it.
    ADD CONSTRAINT subnet_site_network_vrf_fkey FOREIGN KEY (site, network, vrf) REFERENCES network (site, id, vrf) ON UPDATE CASCADE ON DELETE CASCADE,
    DROP CONSTRAINT subnet_site_network_fkey,
    DROP CONSTRAINT subnet_overlap,
    ADD CONSTRAINT subnet_overlap EXCLUDE USING gist (site WITH =, vrf WITH =, cidr inet_ops WITH &&);
CREATE INDEX subnet_network_index ON subnet (network);

ALTER TABLE address
    ADD COLUMN vrf text NOT NULL DEFAULT '',
    ADD CONSTRAINT address_site_subnet_vrf_fkey FOREIGN KEY (site, subnet, vrf) REFERENCES subnet (site, id, vrf) ON UPDATE CASCADE,
    DROP CONSTRAINT address_site_subnet_fkey,
    DROP CONSTRAINT address_ip_key,
    ADD CONSTRAINT address_ip_key UNIQUE (site, vrf, ip);
-- All that one port of a machine holds is one record at its site.
DROP INDEX address_machine_index;
CREATE INDEX address_machine_index ON address (machine, mac);

-- A name has an address of each family.
ALTER TABLE record
    ADD COLUMN vrf text NOT NULL DEFAULT '',
    ADD COLUMN ip6 inet,
    ALTER COLUMN ip DROP NOT NULL,
    ADD CONSTRAINT record_some_ip_check CHECK (ip IS NOT NULL OR ip6 IS NOT NULL),
    DROP CONSTRAINT record_ip_key,
    ADD CONSTRAINT record_ip_key UNIQUE (site, vrf, ip),
    ADD CONSTRAINT record_ip6_key UNIQUE (site, vrf, ip6);
UPDATE record SET ip6 = ip, ip = NULL WHERE family(ip) = 6;

-- Takes the place of lease, whose key has no subnet in it. Servers of the
-- version before go on with that one until they are replaced.
CREATE TABLE subnet_lease (
    site       text NOT NULL REFERENCES site (id) ON DELETE CASCADE,
    subnet     text NOT NULL,
    ip         inet NOT NULL,
    mac        macaddr NOT NULL,
    client_id  text NOT NULL DEFAULT '',
    hostname   text NOT NULL DEFAULT '',
    state      text NOT NULL CONSTRAINT subnet_lease_state_check CHECK (state IN ('offered', 'bound', 'released', 'declined')),
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (site, ip, subnet)
);
CREATE INDEX subnet_lease_index ON subnet_lease (subnet, ip);
INSERT INTO subnet_lease (site, subnet, ip, mac, client_id, hostname, state, expires_at)
SELECT site, subnet, ip, mac, client_id, hostname, state, expires_at FROM lease;
