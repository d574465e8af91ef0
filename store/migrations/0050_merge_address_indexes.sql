-- What one address costs is mostly its indexes: two of them said what others say.
-- Nothing asks for an address by site and id, and all that a port holds is the
-- beginning of what is unique to it in a subnet.
-- +goose Up
ALTER TABLE address
    DROP CONSTRAINT address_pkey,
    DROP CONSTRAINT address_id_key,
    ADD CONSTRAINT address_pkey PRIMARY KEY (id);
DROP INDEX address_port_key;
CREATE UNIQUE INDEX address_port_key ON address (machine, mac, subnet) WHERE machine IS NOT NULL;
DROP INDEX address_machine_index;
