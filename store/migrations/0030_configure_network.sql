-- How the system that is installed on a machine configures its network, where an
-- operator has said so.
-- +goose Up
ALTER TABLE machine ADD COLUMN network jsonb;
