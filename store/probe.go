package store

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A Probe is how the database is now.
type Probe struct {
	ReadOnly bool          // it takes no changes: a standby, or set so
	Full     bool          // its disk has no room: it has refused a statement for that, and would again
	Took     time.Duration // of a commit that is on disk; of a read where it takes no changes
	Ahead    time.Duration // its clock before ours
}

// diskFull is the SQLSTATE disk_full (PostgreSQL, appendix A).
const diskFull = "53100"

func isFull(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == diskFull
}

// lookForFull has full set once PostgreSQL refuses a statement of any connection
// for want of room.
func lookForFull(c *pgx.ConnConfig, full *atomic.Bool) {
	keep := c.OnPgError
	c.OnPgError = func(conn *pgconn.PgConn, pg *pgconn.PgError) bool {
		if pg.Code == diskFull {
			full.Store(true)
		}
		return keep(conn, pg)
	}
}

// spill sorts 8 MiB that work_mem does not hold: they are written to a file that
// no table keeps, and are gone at the end.
const spill = `SELECT count(*) FROM (SELECT repeat('x', 1000) || n FROM generate_series(1, 8192) n ORDER BY 1 DESC OFFSET 1) AS sorted`

// stillFull tells whether a disk that had no room still has none.
func (s *Store) stillFull(ctx context.Context) (bool, error) {
	if !s.full.Load() {
		return false, nil
	}
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SET LOCAL work_mem = '64kB'`); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, spill)
		return err
	})
	switch {
	case isFull(err):
		return true, nil
	case err == nil:
		s.full.Store(false)
	}
	return false, err
}

// Probe asks the database how it is. It commits an empty message to the write-ahead
// log, which no table keeps. A disk is tried only after it was full: until
// something needs room, nobody misses it.
func (s *Store) Probe(ctx context.Context) (p Probe, err error) {
	if p, err = s.probe(ctx); err == nil || isFull(err) {
		p.Full, err = s.stillFull(ctx)
	}
	return p, explain(err)
}

func (s *Store) probe(ctx context.Context) (p Probe, err error) {
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
	return p, err
}
