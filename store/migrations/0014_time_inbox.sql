-- When the facts of a site last moved on: a gap before them is over then.
-- +goose Up
ALTER TABLE inbox ADD COLUMN moved_at timestamptz NOT NULL DEFAULT now();
