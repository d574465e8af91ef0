-- Labels of machines, and an index for every order and frequent filter of a list.
-- Names of machines are ordered byte by byte, whatever the database's locale:
-- then an index serves their beginnings too.
-- +goose Up
ALTER TABLE machine ADD COLUMN labels jsonb NOT NULL DEFAULT '{}';

CREATE INDEX machine_name_index ON machine (name COLLATE "C", id);
CREATE INDEX machine_site_name_index ON machine (site, name COLLATE "C", id);
CREATE INDEX machine_any_state_index ON machine (state, id);
CREATE INDEX machine_owner_index ON machine (owner, id) WHERE owner <> '';
CREATE INDEX machine_pool_index ON machine (pool, id) WHERE pool <> '';
CREATE INDEX machine_label_index ON machine USING gin (labels) WHERE labels <> '{}';
CREATE INDEX machine_tag_index ON machine USING gin (tags) WHERE tags <> '{}';

CREATE INDEX workflow_state_index ON workflow (state, id);
CREATE INDEX workflow_site_state_index ON workflow (site, state, id);

CREATE INDEX problem_subject_index ON problem (subject, id);
CREATE INDEX problem_code_index ON problem (code, id);
CREATE INDEX problem_severity_index ON problem (severity, id);
CREATE INDEX problem_open_index ON problem (id) WHERE cleared_at IS NULL;

CREATE INDEX network_name_index ON network (name, id);
CREATE INDEX audit_site_index ON audit (site, seq);
