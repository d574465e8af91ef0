-- A machine whose BMC inserts what it boots needs no DHCP.
-- +goose Up
ALTER TABLE machine ADD COLUMN virtual_media boolean NOT NULL DEFAULT false;
