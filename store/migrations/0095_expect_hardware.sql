-- +goose Up
-- The hardware that a machine is expected to have, where what was found last is
-- not that: absent, it is.
ALTER TABLE machine ADD COLUMN expected jsonb;
