-- A subnet may be without any DHCP of the agent's.
-- +goose Up
ALTER TABLE subnet
    DROP CONSTRAINT subnet_dhcp_check,
    ADD CONSTRAINT subnet_dhcp_check CHECK (dhcp IN ('', 'server', 'proxy', 'off'));
