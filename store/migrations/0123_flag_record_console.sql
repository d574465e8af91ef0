-- A machine's console is kept open while work boots it, so that what it says is in
-- the boot timeline. A BMC has one console: it is not so unless it was asked for.
-- +goose Up
ALTER TABLE machine ADD COLUMN record_console boolean NOT NULL DEFAULT false;
