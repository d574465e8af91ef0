package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"sprout"
)

// refusedFor is how long news that was passed over stays a problem of its site;
// one that is about a machine ends with the machine's next success.
const refusedFor = "24 hours"

// ClearSettled closes the problems between the control plane and its sites that
// are over: a refused change was published, or made void by a new agent; facts
// that were missing have come; an agent was upgraded and is heard again; a site has
// every change that the bus had dropped. It only writes what changes, and any number of
// replicas may call it.
func (s *Store) ClearSettled(ctx context.Context) error {
	type row struct {
		Subject string
		Code    sprout.Code
	}
	over, err := many(ctx, s.db, pgx.RowToStructByPos[row], `
		SELECT p.subject, p.code FROM problem p
		WHERE p.cleared_at IS NULL AND (
			p.code = $1 AND NOT EXISTS (SELECT FROM outbox o
				WHERE o.site = p.subject AND o.published_at IS NULL AND o.created_at <= p.since) OR
			p.code = $2 AND EXISTS (SELECT FROM inbox i WHERE i.site = p.subject AND i.moved_at > p.since) OR
			p.code = $3 AND p.subject = p.site AND p.since < now() - $4::interval OR
			p.code = $5 AND EXISTS (SELECT FROM agent a WHERE a.id = p.subject AND a.last_seen > p.since) OR
			p.code = $6 AND p.subject = p.site AND NOT EXISTS (SELECT FROM outbox o JOIN agent a ON a.site = o.site AND a.retired_at IS NULL
				WHERE o.site = p.subject AND o.seq > a.applied AND o.created_at <= p.since))`,
		sprout.ChangeRefused, sprout.FactsMissing, sprout.FactRefused, refusedFor, sprout.AgentVersion, sprout.BusFull)
	if err != nil || len(over) == 0 {
		return err
	}
	return s.Tx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		for _, p := range over {
			if _, err := s.ClearProblems(ctx, tx, p.Subject, p.Code); err != nil {
				return err
			}
		}
		return nil
	})
}
