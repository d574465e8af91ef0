package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
)

// A SiteStep is a step record of a piece of site work.
type SiteStep struct {
	Workflow sprout.WorkflowID
	Work     string
	sprout.StepRecord
}

// siteStepRow is a SiteStep as the statement reads it.
type siteStepRow struct {
	Workflow sprout.WorkflowID `json:"workflow"`
	Work     string            `json:"work"`
	Name     string            `json:"name"`
	Attempt  int               `json:"attempt"`
	Outcome  string            `json:"outcome"`
	Detail   string            `json:"detail"`
	Started  time.Time         `json:"started_at"`
	Ended    *time.Time        `json:"ended_at"`
	N        int               `json:"n"`
}

// ReportSteps keeps step records of a site's work, in order. The same record
// again replaces what it said before. Records of workflows that the site does
// not have are left out.
func (s *Store) ReportSteps(ctx context.Context, tx pgx.Tx, site sprout.SiteID, steps []SiteStep) error {
	if len(steps) == 0 {
		return nil
	}
	type row struct {
		id sprout.WorkflowID
		mover
	}
	kept, err := many(ctx, tx, func(c pgx.CollectableRow) (r row, err error) {
		err = c.Scan(&r.id, &r.Site, &r.Machine, &r.MachineName, &r.Actor, &r.Request, &r.Kind)
		return r, err
	}, `
		WITH kept AS (
			INSERT INTO site_step (site, workflow, work, name, attempt, outcome, detail, started_at, ended_at)
			SELECT w.site, w.id, r.work, r.name, r.attempt, r.outcome, r.detail, r.started_at, r.ended_at
			FROM jsonb_to_recordset($2) AS r (workflow text, work text, name text, attempt integer, outcome text, detail text,
				started_at timestamptz, ended_at timestamptz, n integer)
			CROSS JOIN LATERAL (SELECT id, site FROM workflow WHERE id = r.workflow AND site = $1 LIMIT 1) w ORDER BY r.n
			ON CONFLICT (work, name, attempt, started_at) DO UPDATE SET outcome = excluded.outcome,
				detail = excluded.detail, ended_at = excluded.ended_at
			RETURNING workflow)
		SELECT w.id, `+moverWords+` FROM workflow w WHERE w.id IN (SELECT workflow FROM kept) ORDER BY w.id`, site, siteStepRows(steps))
	if err != nil {
		return err
	}
	var ended, names []string
	for _, r := range steps {
		if r.EndedAt != nil {
			ended, names = append(ended, string(r.Workflow)), append(names, r.Name)
		}
	}
	if len(ended) > 0 {
		if _, err := exec(ctx, tx, `
			DELETE FROM workflow_live l USING unnest($1::text[], $2::text[]) AS r (workflow, name)
			WHERE l.workflow = r.workflow AND l.live ->> 'step' = r.name`, ended, names); err != nil {
			return err
		}
	}
	movers := map[sprout.WorkflowID]mover{}
	for _, of := range kept {
		movers[of.id] = of.mover
		if err := s.tellWorkflow(ctx, tx, sprout.WatchEvent{What: sprout.WasChanged, Subject: string(of.id), Site: site, Machine: of.Machine}); err != nil {
			return err
		}
	}
	var last sprout.AuditRecord
	for _, r := range steps {
		m, known := movers[r.Workflow]
		record, ended := m.stepRecord(string(r.Workflow), "site", r.StepRecord)
		if !known || !ended || record.Detail == last.Detail && record.Subject == last.Subject && record.Action == last.Action {
			continue
		}
		if err := s.Audit(ctx, tx, record); err != nil {
			return err
		}
		last = record
	}
	return nil
}

// siteStepRows keeps the last of several records of the same step, at the place
// of the first: one statement cannot write a row twice.
func siteStepRows(steps []SiteStep) (rows []siteStepRow) {
	type key struct {
		work, name string
		attempt    int
		started    time.Time
	}
	at := map[key]int{}
	for _, r := range steps {
		k := key{r.Work, r.Name, r.Attempt, r.StartedAt.UTC()}
		n, again := at[k]
		if !again {
			n = len(rows)
			at[k], rows = n, append(rows, siteStepRow{})
		}
		rows[n] = siteStepRow{r.Workflow, r.Work, r.Name, r.Attempt, r.Outcome, r.Detail, r.StartedAt, r.EndedAt, n}
	}
	return rows
}
