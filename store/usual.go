package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
)

// UsualRun tells how long whole runs of a kind took on machines of the vendor
// and model: the latest ones that succeeded.
func (s *Store) UsualRun(ctx context.Context, kind, vendor, model string) (sprout.Usual, error) {
	return one(ctx, s.db, func(row pgx.CollectableRow) (u sprout.Usual, err error) {
		var p50, p95 float64
		err = row.Scan(&u.Runs, &p50, &p95)
		u.P50, u.P95 = time.Duration(p50*float64(time.Second)), time.Duration(p95*float64(time.Second))
		return u, err
	}, `
		SELECT count(*), coalesce(percentile_cont(0.5) WITHIN GROUP (ORDER BY took), 0), coalesce(percentile_cont(0.95) WITHIN GROUP (ORDER BY took), 0)
		FROM (SELECT extract(epoch FROM w.ended_at - w.created_at)::float8 AS took FROM machine m JOIN workflow w ON w.machine = m.id
		      WHERE m.inventory ->> 'vendor' = $1 AND m.inventory ->> 'model' = $2 AND w.kind = $3 AND w.state = 'succeeded'
		      ORDER BY w.id DESC LIMIT $4) latest`,
		vendor, model, kind, usualRuns)
}

// ErasedMachines tells which of the machines had every disk erased and read back
// by the last thing that was done to them.
func (s *Store) ErasedMachines(ctx context.Context, ids []sprout.MachineID) (map[sprout.MachineID]bool, error) {
	list, err := many(ctx, s.db, pgx.RowTo[sprout.MachineID], `
		SELECT l.machine FROM unnest($1::text[]) AS i (machine)
		CROSS JOIN LATERAL (SELECT w.machine, w.kind, w.state, w.run FROM workflow w WHERE w.machine = i.machine ORDER BY w.id DESC LIMIT 1) l
		WHERE l.kind = 'release' AND l.state = 'succeeded' AND l.run -> 'input' ->> 'erase' = 'true'
		AND coalesce(l.run -> 'data' ->> 'forced', '') = ''`, ids)
	erased := map[sprout.MachineID]bool{}
	for _, id := range list {
		erased[id] = true
	}
	return erased, err
}
