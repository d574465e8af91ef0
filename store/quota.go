package store

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"sprout"
)

// mostQuotas bounds how many owners have a quota.
const mostQuotas = 10_000

// quotaHas counts what an owner has.
const quotaHas = `(SELECT count(*) FROM machine m WHERE m.owner <> '' AND m.owner = q.owner AND m.state IN ('allocated', 'deployed'))`

const quotaSelect = `SELECT q.owner, q.machines, ` + quotaHas + `, q.set_by, q.set_at FROM quota q `

var quotaListing = listing[sprout.Quota]{"quota", "owner", map[string]order[sprout.Quota]{
	"owner": {[]key{text("q.owner")}, func(q sprout.Quota) []string { return []string{q.Owner} }},
}}

// Quotas lists what owners may have, by owner.
func (s *Store) Quotas(ctx context.Context, p Page) ([]sprout.Quota, string, error) {
	return page(quotaListing, p, selection{}, func(tail string, args ...any) ([]sprout.Quota, error) {
		return many(ctx, s.db, pgx.RowToStructByPos[sprout.Quota], quotaSelect+tail, args...)
	})
}

// Quota returns that of an owner; NotFound if it may have any number.
func (s *Store) Quota(ctx context.Context, owner string) (sprout.Quota, error) {
	q, err := one(ctx, s.db, pgx.RowToStructByPos[sprout.Quota], quotaSelect+`WHERE q.owner = $1`, owner)
	return q, orNotFound(err, "quota of", owner)
}

// SetQuota sets how many machines an owner may have. Who has more keeps them.
func (s *Store) SetQuota(ctx context.Context, tx pgx.Tx, q sprout.Quota) error {
	n, err := one(ctx, tx, pgx.RowTo[int], `SELECT count(*) FROM quota WHERE owner <> $1`, q.Owner)
	if err != nil {
		return err
	}
	if n >= mostQuotas {
		return sprout.Errorf(sprout.Conflict, "cannot set a quota of %s: %d owners have one already", q.Owner, n).WithRemedy("sprout quota delete OWNER")
	}
	_, err = exec(ctx, tx, `
		INSERT INTO quota (owner, machines, set_by) VALUES ($1, $2, $3)
		ON CONFLICT (owner) DO UPDATE SET machines = excluded.machines, set_by = excluded.set_by, set_at = now()`, q.Owner, q.Machines, q.By)
	return err
}

// DeleteQuota has an owner have any number of machines.
func (s *Store) DeleteQuota(ctx context.Context, tx pgx.Tx, owner string) error {
	n, err := exec(ctx, tx, `DELETE FROM quota WHERE owner = $1`, owner)
	return mustTouch(n, err, "quota of", owner)
}

// quotaWait is how long those who ask together wait for a quota that somebody holds:
// far longer than it is held to give machines.
const quotaWait = "250ms"

// LockQuotas returns the quotas of those owners that have one, and keeps others
// from giving machines to these until tx ends. Owners without a quota lock nothing.
// Patient waits for whoever has one of them; else ErrHeld says that it lasts, and tx
// cannot go on.
func (s *Store) LockQuotas(ctx context.Context, tx pgx.Tx, owners []string, patient bool) (map[string]sprout.Quota, error) {
	owners = slices.Compact(slices.Sorted(slices.Values(owners)))
	of := map[string]sprout.Quota{}
	locked, err := many(ctx, tx, pgx.RowTo[string], `SELECT owner FROM quota WHERE owner = ANY ($1)`, owners)
	if err != nil || len(locked) == 0 {
		return of, err
	}
	wait := "0"
	if !patient {
		wait = quotaWait
	}
	if _, err := exec(ctx, tx, `SELECT set_config('lock_timeout', $1, true)`, wait); err != nil {
		return of, err
	}
	locked, err = many(ctx, tx, pgx.RowTo[string], `SELECT owner FROM quota WHERE owner = ANY ($1) ORDER BY owner FOR UPDATE`, locked)
	if lockTimeout(err) {
		return of, ErrHeld
	}
	if err != nil {
		return of, err
	}
	if _, err := exec(ctx, tx, `SELECT set_config('lock_timeout', '0', true)`); err != nil {
		return of, err
	}
	// A statement of its own: it counts what whoever had the lock has given.
	list, err := many(ctx, tx, pgx.RowToStructByPos[sprout.Quota], quotaSelect+`WHERE q.owner = ANY ($1)`, locked)
	for _, q := range list {
		of[q.Owner] = q
	}
	return of, err
}
