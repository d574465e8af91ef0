-- A key of a site may sign its zones. What is public of it is shown.
-- +goose Up
ALTER TABLE dns_key
    ADD COLUMN public text NOT NULL DEFAULT '',
    DROP CONSTRAINT dns_key_algorithm_check,
    ADD CONSTRAINT dns_key_algorithm_check CHECK (algorithm IN ('hmac-sha256', 'hmac-sha512', 'ecdsap256sha256'));
