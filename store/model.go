package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
)

// Models lists the models of the machines of sites, those of which
// there are most first, with the limits that people have set for them.
func (s *Store) Models(ctx context.Context, sites sprout.Sites) ([]sprout.Model, error) {
	return many(ctx, s.db, func(row pgx.CollectableRow) (m sprout.Model, err error) {
		err = row.Scan(&m.Vendor, &m.Name, &m.Machines, &m.MemoryBytes, &m.DiskBytes, &m.Limits)
		return m, err
	}, `
		SELECT m.vendor, m.model, m.machines, m.memory, m.disks, coalesce((
			SELECT jsonb_agg(jsonb_build_object('step', l.step, 'seconds', l.seconds, 'by', l.set_by, 'at', l.set_at) ORDER BY l.step)
			FROM model_limit l WHERE l.vendor = m.vendor AND l.model = m.model), '[]')
		FROM (
			SELECT inventory ->> 'vendor' AS vendor, inventory ->> 'model' AS model, count(*) AS machines,
			       coalesce(max((inventory ->> 'memoryBytes')::bigint), 0) AS memory,
			       coalesce(max((SELECT sum((d ->> 'bytes')::bigint) FROM jsonb_array_elements(
			         CASE jsonb_typeof(inventory -> 'disks') WHEN 'array' THEN inventory -> 'disks' ELSE '[]' END) d)), 0)::bigint AS disks
			FROM machine WHERE inventory ->> 'model' <> '' AND inventory ->> 'vendor' IS NOT NULL AND ($1::text[] IS NULL OR site = ANY ($1))
			GROUP BY 1, 2) m
		ORDER BY m.machines DESC, m.vendor, m.model LIMIT 1000`, sites)
}

// ModelLimits lists the limits that people have set for a model.
func (s *Store) ModelLimits(ctx context.Context, vendor, model string) ([]sprout.ModelLimit, error) {
	return many(ctx, s.db, pgx.RowToStructByPos[sprout.ModelLimit], `
		SELECT step, seconds, set_by, set_at FROM model_limit WHERE vendor = $1 AND model = $2 ORDER BY step`, vendor, model)
}

// SetModelLimit sets how long a step may take on a model; 0 takes that back.
func (s *Store) SetModelLimit(ctx context.Context, tx pgx.Tx, vendor, model, step string, limit time.Duration, by string) error {
	if limit <= 0 {
		_, err := exec(ctx, tx, `DELETE FROM model_limit WHERE vendor = $1 AND model = $2 AND step = $3`, vendor, model, step)
		return err
	}
	_, err := exec(ctx, tx, `
		INSERT INTO model_limit (vendor, model, step, seconds, set_by) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (vendor, model, step) DO UPDATE SET seconds = excluded.seconds, set_by = excluded.set_by, set_at = now()`,
		vendor, model, step, int64(limit/time.Second), by)
	return err
}

// usualRuns is of how many workflows UsualSteps tells: the latest.
const usualRuns = 200

// UsualSteps tells how long each step of a kind of workflow took, at the centre
// and at the sites, on machines of the vendor and model. Steps that were skipped
// do not count.
func (s *Store) UsualSteps(ctx context.Context, kind, vendor, model string) (map[string]sprout.Usual, error) {
	rows, err := s.db.Query(ctx, `
		WITH latest AS (
			SELECT w.id, w.run FROM workflow w JOIN machine m ON m.id = w.machine
			WHERE m.inventory ->> 'vendor' = $1 AND m.inventory ->> 'model' = $2 AND w.kind = $3 ORDER BY w.id DESC LIMIT $4),
		took AS (
			SELECT t.name, t.ended_at - t.started_at AS took FROM latest JOIN site_step t ON t.workflow = latest.id
			WHERE t.outcome = 'done' AND t.ended_at IS NOT NULL AND t.detail NOT LIKE 'skipped%'
			UNION ALL
			SELECT t ->> 'name', (t ->> 'endedAt')::timestamptz - (t ->> 'startedAt')::timestamptz
			FROM latest CROSS JOIN LATERAL jsonb_array_elements(latest.run -> 'steps') t
			WHERE t ->> 'outcome' = 'done' AND t ->> 'endedAt' IS NOT NULL)
		SELECT name, count(*), percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds), percentile_cont(0.95) WITHIN GROUP (ORDER BY seconds)
		FROM (SELECT name, extract(epoch FROM took)::float8 AS seconds FROM took) x GROUP BY name`, vendor, model, kind, usualRuns)
	if err != nil {
		return nil, explain(err)
	}
	usual := map[string]sprout.Usual{}
	var name string
	var runs int
	var p50, p95 float64
	err = eachRow(rows, func() {
		usual[name] = sprout.Usual{Runs: runs, P50: time.Duration(p50 * float64(time.Second)), P95: time.Duration(p95 * float64(time.Second))}
	}, &name, &runs, &p50, &p95)
	return usual, explain(err)
}
