-- What a person logged in with, as a hash: it is good for one token.
-- +goose Up
ALTER TABLE token ADD COLUMN proof bytea;
CREATE UNIQUE INDEX token_proof_key ON token (proof) WHERE proof IS NOT NULL;
