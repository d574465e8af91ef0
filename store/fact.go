package store

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"sprout"
)

// TakeFact says whether fact f of the site is the next one of the site's agent,
// and notes it as taken when tx commits: so each fact has its effects once and
// in order. A fact that was taken before is not fresh. Conflict if one before it
// is missing: it must be delivered again later. Invalid if it is of an agent
// that is not the site's, or no more: it never will be taken. Others that take a
// fact of the site wait.
func (s *Store) TakeFact(ctx context.Context, tx pgx.Tx, site sprout.SiteID, f sprout.Fact) (fresh bool, err error) {
	n, err := exec(ctx, tx, `
		UPDATE inbox SET last_fact = $2, moved_at = now() WHERE site = $1 AND agent = $3 AND last_fact = $2 - 1`, site, f.Seq, f.Agent)
	if err != nil || n == 1 {
		return n == 1, err
	}
	type row struct {
		Last  int64
		Agent sprout.AgentID
	}
	now, err := one(ctx, tx, pgx.RowToStructByPos[row], `SELECT last_fact, agent FROM inbox WHERE site = $1`, site)
	switch {
	case err != nil:
		return false, orNotFound(err, "site", string(site))
	case now.Agent != f.Agent:
		return false, sprout.Errorf(sprout.Invalid, "cannot take fact %d of agent %s: it is not the agent of site %s", f.Seq, f.Agent, site)
	case f.Seq <= now.Last:
		return false, nil
	}
	return false, sprout.Errorf(sprout.Conflict, "cannot take fact %d of site %s: fact %d has not arrived", f.Seq, site, now.Last+1)
}

// LastFact returns the number of the last fact taken from the site.
func (s *Store) LastFact(ctx context.Context, site sprout.SiteID) (int64, error) {
	last, err := one(ctx, s.db, pgx.RowTo[int64], `SELECT last_fact FROM inbox WHERE site = $1`, site)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, orNotFound(err, "site", string(site))
	}
	return last, err
}
