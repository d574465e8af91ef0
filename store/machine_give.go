package store

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"sprout"
)

// A Gift is a machine that was chosen for an owner.
type Gift struct {
	Machine  sprout.MachineID
	Revision int64 // of the machine as it was chosen
	Owner    string
	Actor    string
	Reason   string
}

// holdWait is how long a machine is waited for that somebody holds.
const holdWait = "3s"

// ErrHeld says that a transaction which lasts has a machine.
var ErrHeld = errors.New("somebody holds the machine")

// Give gives machines to their owners by one statement, with their history, and
// returns those that were given, whole. One that is no longer what was chosen (not
// ready, locked, busy, ill, or of another revision) is passed over; so is one that
// somebody else holds at this moment, unless wait is set: then it is waited for for
// some seconds, in one order, so that no two who wait for several do so for each
// other. ErrHeld: it was in vain, and tx cannot go on. Their sites are not told: what
// they know of a machine has not changed.
func (s *Store) Give(ctx context.Context, tx pgx.Tx, gifts []Gift, wait bool) ([]sprout.Machine, error) {
	to, err := sprout.Next(sprout.Ready, sprout.Allocate)
	if err != nil || len(gifts) == 0 {
		return nil, err
	}
	var columns [4][]string
	revisions := make([]int64, len(gifts))
	for i, g := range gifts {
		revisions[i] = g.Revision
		for c, v := range []string{string(g.Machine), g.Owner, g.Actor, g.Reason} {
			columns[c] = append(columns[c], v)
		}
	}
	hold := `FOR UPDATE OF m SKIP LOCKED`
	if wait {
		hold = `ORDER BY m.id FOR UPDATE OF m`
		if _, err := exec(ctx, tx, `SELECT set_config('lock_timeout', $1, true)`, holdWait); err != nil {
			return nil, err
		}
	}
	ids, err := many(ctx, tx, pgx.RowTo[string], `
		WITH held AS MATERIALIZED (
			SELECT m.site, m.id, g.owner, g.actor, g.reason
			FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[]) g (id, owner, actor, reason, revision)
			JOIN machine m ON m.id = g.id AND m.revision = g.revision
			WHERE m.state = $6 AND NOT m.locked
			  AND NOT EXISTS (SELECT FROM workflow w WHERE w.machine = m.id AND w.state IN ('running', 'unwinding'))
			  AND NOT EXISTS (SELECT FROM problem p WHERE p.subject = m.id AND p.cleared_at IS NULL AND p.severity = 'critical')
			`+hold+`),
		given AS (
			UPDATE machine m SET state = $7, owner = h.owner, changed_at = now() FROM held h
			WHERE m.site = h.site AND m.id = h.id AND m.state = $6
			RETURNING m.site, m.id, h.actor, h.reason),
		moved AS (
			INSERT INTO machine_history (site, machine, actor, from_state, event, to_state, reason)
			SELECT site, id, actor, $6, $8, $7, reason FROM given)
		SELECT id FROM given`,
		columns[0], columns[1], columns[2], columns[3], revisions, sprout.Ready, to, sprout.Allocate)
	if lockTimeout(err) {
		return nil, ErrHeld
	}
	if err == nil && wait {
		_, err = exec(ctx, tx, `SELECT set_config('lock_timeout', '0', true)`)
	}
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	given, err := s.In(tx).machines(ctx, `WHERE m.id = ANY ($1)`, ids)
	for _, m := range given {
		if err := s.touch(ctx, tx, sprout.WatchEvent{What: sprout.WasChanged, Subject: string(m.ID), Site: m.Site, Machine: m.ID, State: string(to)}); err != nil {
			return nil, err
		}
	}
	return given, err
}

// lockTimeout tells whether a lock was waited for in vain.
func lockTimeout(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "55P03" // lock_not_available
}
