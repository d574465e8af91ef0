package store

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"sprout"
)

func scanRecord(row pgx.CollectableRow) (r sprout.Record, err error) {
	err = row.Scan(&r.Site, &r.Name, &r.IP, &r.TTL)
	return r, err
}

const recordSelect = `SELECT site, name, ip, ttl FROM record `

// recordKey is the key of a record's sprout.Change.
func recordKey(r sprout.Record) string { return r.Name + " " + r.IP.String() }

// SetRecord publishes r.Name → r.IP and the reverse, in place of what the name
// had. A TTL of 0 becomes 300 s. Conflict if another name has the address.
func (s *Store) SetRecord(ctx context.Context, tx pgx.Tx, r sprout.Record) error {
	if r.TTL == 0 {
		r.TTL = 300
	}
	old, err := one(ctx, tx, scanRecord, recordSelect+`WHERE site = $1 AND name = $2 FOR UPDATE`, r.Site, r.Name)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return err
	}
	if _, err := exec(ctx, tx, `
		INSERT INTO record (site, name, ip, ttl) VALUES ($1, $2, $3, $4)
		ON CONFLICT (site, name) DO UPDATE SET ip = excluded.ip, ttl = excluded.ttl`, r.Site, r.Name, r.IP, r.TTL); err != nil {
		return err
	}
	if old.IP.IsValid() && old.IP != r.IP {
		if err := s.forgetAtSite(ctx, tx, r.Site, sprout.ChangeRecord, recordKey(old)); err != nil {
			return err
		}
	}
	return s.Replicate(ctx, tx, r.Site, sprout.ChangeRecord, recordKey(r), r)
}

// DeleteRecord withdraws a name and its reverse; a missing name is no error.
func (s *Store) DeleteRecord(ctx context.Context, tx pgx.Tx, site sprout.SiteID, name string) error {
	old, err := one(ctx, tx, scanRecord, `
		DELETE FROM record WHERE site = $1 AND name = $2 RETURNING site, name, ip, ttl`, site, name)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.forgetAtSite(ctx, tx, site, sprout.ChangeRecord, recordKey(old))
}

// FindRecord returns what a name was set to, and whether it was.
func (s *Store) FindRecord(ctx context.Context, site sprout.SiteID, name string) (sprout.Record, bool, error) {
	r, err := one(ctx, s.db, scanRecord, recordSelect+`WHERE site = $1 AND name = $2`, site, name)
	if errors.Is(err, pgx.ErrNoRows) {
		return r, false, nil
	}
	return r, err == nil, err
}
