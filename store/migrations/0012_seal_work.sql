-- What is secret of a workflow (a deploy's user data) is kept sealed beside it,
-- and so in the outbox: the relay seals it to the site's agent. Tokens tell when
-- they were last used, and which of them are a person's login: a person may be
-- logged in more than once.
-- +goose Up
ALTER TABLE workflow ADD COLUMN secret bytea;
ALTER TABLE outbox ADD COLUMN secret bytea;

ALTER TABLE token ADD COLUMN last_used_at timestamptz;
ALTER TABLE token ADD COLUMN login boolean NOT NULL DEFAULT false;
DROP INDEX token_name_key;
CREATE UNIQUE INDEX token_name_key ON token (name) WHERE revoked_at IS NULL AND NOT login;
CREATE INDEX token_login_index ON token (name, expires_at) WHERE login;
