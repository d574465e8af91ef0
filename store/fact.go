package store

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"sprout"
)

// TakeFact says whether fact seq of the site is the next one, and notes it as
// taken when tx commits: so each fact has its effects once and in order. A fact
// that was taken before is not fresh. Conflict if one before it is missing: it
// must be delivered again later. Others that take a fact of the site wait.
func (s *Store) TakeFact(ctx context.Context, tx pgx.Tx, site sprout.SiteID, seq int64) (fresh bool, err error) {
	n, err := exec(ctx, tx, `UPDATE inbox SET last_fact = $2 WHERE site = $1 AND last_fact = $2 - 1`, site, seq)
	if err != nil || n == 1 {
		return n == 1, err
	}
	last, err := s.In(tx).LastFact(ctx, site)
	if err != nil || seq <= last {
		return false, err
	}
	return false, sprout.Errorf(sprout.Conflict, "cannot take fact %d of site %s: fact %d has not arrived", seq, site, last+1)
}

// LastFact returns the number of the last fact taken from the site.
func (s *Store) LastFact(ctx context.Context, site sprout.SiteID) (int64, error) {
	last, err := one(ctx, s.db, pgx.RowTo[int64], `SELECT last_fact FROM inbox WHERE site = $1`, site)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, orNotFound(err, "site", string(site))
	}
	return last, err
}
