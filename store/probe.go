package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// A Probe is how the database is now.
type Probe struct {
	ReadOnly bool          // it takes no changes: a standby, or set so
	Took     time.Duration // of a commit that is on disk; of a read where it takes no changes
	Ahead    time.Duration // its clock before ours
}

// Probe asks the database how it is. It commits an empty message to the write-ahead
// log, which no table keeps.
func (s *Store) Probe(ctx context.Context) (p Probe, err error) {
	began := time.Now()
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		var now time.Time
		asked := time.Now()
		if err := tx.QueryRow(ctx, `SELECT current_setting('transaction_read_only')::boolean, clock_timestamp()`).Scan(&p.ReadOnly, &now); err != nil {
			return err
		}
		p.Ahead = now.Sub(asked.Add(time.Since(asked) / 2))
		if p.ReadOnly {
			return nil
		}
		_, err := tx.Exec(ctx, `SELECT pg_logical_emit_message(true, 'sprout', '')`)
		return err
	})
	p.Took = time.Since(began)
	return p, explain(err)
}
