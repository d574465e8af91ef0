-- When a replica of the control plane last said that a problem of its own goes on:
-- one that says nothing more has its problems ended by the others.
-- +goose Up
ALTER TABLE problem ADD COLUMN said_at timestamptz;
