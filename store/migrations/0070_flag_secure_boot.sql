-- A machine whose firmware enforces Secure Boot is given signed loaders.
-- +goose Up
ALTER TABLE machine ADD COLUMN secure_boot boolean NOT NULL DEFAULT false;
