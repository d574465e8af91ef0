-- A subnet may have another DHCP server, beside which the agent only says what
-- to boot, and it knows which servers belong there.
-- +goose Up
ALTER TABLE subnet
    ADD COLUMN dhcp text NOT NULL DEFAULT '' CONSTRAINT subnet_dhcp_check CHECK (dhcp IN ('', 'server', 'proxy')),
    ADD COLUMN dhcp_servers text[] NOT NULL DEFAULT '{}';
