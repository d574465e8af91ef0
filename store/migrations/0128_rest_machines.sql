-- Until when a machine waits in the ramdisk, switched on: a deploy needs no power cycle.
-- +goose Up
ALTER TABLE machine ADD COLUMN rests_until timestamptz;
