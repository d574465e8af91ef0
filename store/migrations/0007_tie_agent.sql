-- An agent's facts and changes are its own: its facts are taken while it is the
-- site's agent, and the changes for it begin with the snapshot that was made
-- when it enrolled. An enrolment whose answer was lost may be asked for again.
-- +goose Up
ALTER TABLE inbox ADD COLUMN agent text NOT NULL DEFAULT ''; -- whose facts are counted
UPDATE inbox SET agent = a.id FROM agent a WHERE a.site = inbox.site AND a.retired_at IS NULL;

ALTER TABLE agent ADD COLUMN begins_after bigint NOT NULL DEFAULT 0; -- last change before its snapshot

ALTER TABLE enrol_token ADD COLUMN agent text;    -- who enrolled by it
ALTER TABLE enrol_token ADD COLUMN sealed bytea;  -- the API token that it was answered, sealed
