package store

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"sprout"
)

// TakeFact is TakeFacts for one fact; fresh tells that it was not taken before.
func (s *Store) TakeFact(ctx context.Context, tx pgx.Tx, site sprout.SiteID, f sprout.Fact) (fresh bool, err error) {
	before, err := s.TakeFacts(ctx, tx, site, []sprout.Fact{f})
	return err == nil && before == 0, err
}

// TakeFacts says whether facts of the site, whose numbers follow each other, are
// the next ones of the site's agent, and notes them as taken when tx commits: so
// each fact has its effects once and in order. So many of the first were taken
// before and are not fresh. Conflict if one before them is missing: they must be
// delivered again later. Invalid if they are of an agent that is not the site's,
// or no more: they never will be taken. Others that take facts of the site wait.
func (s *Store) TakeFacts(ctx context.Context, tx pgx.Tx, site sprout.SiteID, facts []sprout.Fact) (before int, err error) {
	first, last := facts[0], facts[len(facts)-1].Seq
	move := func(from int64) (int64, error) {
		return exec(ctx, tx, `
			UPDATE inbox SET last_fact = $2, moved_at = now() WHERE site = $1 AND agent = $3 AND last_fact = $4`, site, last, first.Agent, from)
	}
	n, err := move(first.Seq - 1)
	if err != nil || n == 1 {
		return 0, err
	}
	type row struct {
		Last  int64
		Agent sprout.AgentID
	}
	now, err := one(ctx, tx, pgx.RowToStructByPos[row], `SELECT last_fact, agent FROM inbox WHERE site = $1 FOR NO KEY UPDATE`, site)
	switch {
	case err != nil:
		return 0, orNotFound(err, "site", string(site))
	case now.Agent != first.Agent:
		return 0, sprout.Errorf(sprout.Invalid, "cannot take fact %d of agent %s: it is not the agent of site %s", first.Seq, first.Agent, site)
	case last <= now.Last:
		return len(facts), nil
	case first.Seq <= now.Last+1:
		_, err = move(now.Last)
		return int(now.Last - first.Seq + 1), err
	}
	return 0, sprout.Errorf(sprout.Conflict, "cannot take fact %d of site %s: fact %d has not arrived", first.Seq, site, now.Last+1)
}

// HoldForFacts holds the rows that facts are about to change, in the order in
// which every transaction comes to them: workflows, machines, and each by id.
// Those that are not there are passed over.
func (s *Store) HoldForFacts(ctx context.Context, tx pgx.Tx, workflows []sprout.WorkflowID, machines []sprout.MachineID) error {
	for _, held := range []struct {
		n   int
		ids any
		sql string
	}{
		{len(workflows), workflows, `SELECT FROM workflow WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE`},
		{len(machines), machines, `SELECT FROM machine WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE`},
	} {
		if held.n == 0 {
			continue
		}
		if _, err := exec(ctx, tx, held.sql, held.ids); err != nil {
			return err
		}
	}
	return nil
}

// LastFact returns the number of the last fact taken from the site.
func (s *Store) LastFact(ctx context.Context, site sprout.SiteID) (int64, error) {
	last, err := one(ctx, s.db, pgx.RowTo[int64], `SELECT last_fact FROM inbox WHERE site = $1`, site)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, orNotFound(err, "site", string(site))
	}
	return last, err
}
