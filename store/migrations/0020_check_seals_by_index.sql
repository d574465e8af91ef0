-- Whether records were sealed is looked up record by record, by their ids alone: a
-- plan that was made when there were few read a site's whole audit for each.
-- +goose Up
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION refuse_audit_loss() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    IF EXISTS (
        SELECT FROM gone g LEFT JOIN LATERAL (SELECT * FROM audit WHERE id = g.id LIMIT 1) a ON true
        WHERE (a.id, a.site, a.at, a.kind, a.actor, a.token, a.source, a.action, a.subject, a.name, a.outcome, a.detail, a.request, a.changes::text)
          IS DISTINCT FROM
              (g.id, g.site, g.at, g.kind, g.actor, g.token, g.source, g.action, g.subject, g.name, g.outcome, g.detail, g.request, g.changes::text)
    ) THEN
        RAISE EXCEPTION 'the audit record is append-only: it is not sealed yet';
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
