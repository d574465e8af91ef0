package store

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/jackc/pgx/v5"

	"sprout"
)

// Tx runs do in one transaction and commits if it returns nil. Changes for
// sites and audit records that do queued are written last (see the package).
// Do must not keep tx, and must not use s itself inside where it wants to see
// its own writes: that is s.In(tx).
func (s *Store) Tx(ctx context.Context, do func(ctx context.Context, tx pgx.Tx) error) error {
	if whole := joined(ctx); whole != nil {
		return nest(ctx, whole, do)
	}
	var done txn
	err := pgx.BeginFunc(ctx, s.pool, func(inner pgx.Tx) error {
		tx := &txn{Tx: inner}
		if err := do(ctx, tx); err != nil {
			return err
		}
		if err := witness(ctx, tx); err != nil {
			return err
		}
		err := s.flush(ctx, tx)
		done = *tx
		return err
	})
	if err != nil {
		return explain(err)
	}
	if done.audited {
		s.tellSealer()
	}
	s.teller.tell(done.news)
	for _, do := range done.after {
		if err := do(ctx); err != nil {
			return err
		}
	}
	return nil
}

// notify queues a notification to be sent once tx has committed; within a plain
// transaction or none it is sent with it.
func notify(ctx context.Context, q querier, channel, payload string) error {
	t, ok := q.(*txn)
	if !ok {
		_, err := exec(ctx, q, `SELECT pg_notify($1, $2)`, channel, payload)
		return err
	}
	t.notify(notice{channel, payload})
	return nil
}

func (t *txn) notify(n notice) {
	if !slices.Contains(t.news, n) {
		t.news = append(t.news, n)
	}
}

// A txn is a transaction with what is to be written last in it.
type txn struct {
	pgx.Tx
	changes  []change
	machines []sprout.MachineID // to be replicated as they are at the end
	records  []sprout.AuditRecord
	mover    struct { // of the run that it saved last
		id sprout.WorkflowID
		mover
	}
	events  []sprout.WatchEvent
	anew    sprout.SiteID // its changes are numbered in this transaction: see Snapshot
	audited bool          // records of it wait to be sealed
	news    []notice      // to be sent after the commit
	after   []func(context.Context) error
	over    bool // it has ended
}

// take adds what a savepoint within t queued.
func (t *txn) take(inner *txn) {
	for _, id := range inner.machines {
		if !slices.Contains(t.machines, id) {
			t.machines = append(t.machines, id)
		}
	}
	t.changes, t.records = append(t.changes, inner.changes...), append(t.records, inner.records...)
	t.mover, t.anew = inner.mover, cmp.Or(inner.anew, t.anew)
	t.events, t.news = append(t.events, inner.events...), append(t.news, inner.news...)
}

// Try runs do within tx, so that what it did can be undone alone: when do fails,
// tx is as it was before, and goes on. The error is do's; only where tx cannot go
// on any more is it another, of kind Unavailable.
func (s *Store) Try(ctx context.Context, tx pgx.Tx, do func(ctx context.Context) error) error {
	t, ok := tx.(*txn)
	if !ok {
		return errors.New("cannot try within a transaction that is not of Store.Tx")
	}
	point, err := t.Begin(ctx)
	if err != nil {
		return explain(err)
	}
	before := *t
	failed := do(ctx)
	if failed == nil {
		return explain(point.Commit(ctx))
	}
	*t = before // what was queued is forgotten
	if err := point.Rollback(ctx); err != nil {
		return sprout.Errorf(sprout.Unavailable, "cannot go on in the database now, try again: %w", errors.Join(failed, err))
	}
	return failed
}

// queued returns tx with its queue. A plain transaction has none: what is
// queued there is written by finish at once.
func queued(tx pgx.Tx) (t *txn, finish func(ctx context.Context, s *Store) error) {
	if t, ok := tx.(*txn); ok {
		return t, func(context.Context, *Store) error { return nil }
	}
	t = &txn{Tx: tx}
	return t, func(ctx context.Context, s *Store) error { return s.flush(ctx, t) }
}

// flush writes what is queued.
func (s *Store) flush(ctx context.Context, t *txn) error {
	changes, err := s.gatherChanges(ctx, t)
	if err != nil {
		return err
	}
	b := &pgx.Batch{}
	if t.anew != "" {
		changes, err = s.numberNow(ctx, t, changes)
		if err != nil {
			return err
		}
	}
	queueChanges(b, t, changes)
	queueEvents(b, t)
	queueAudit(b, t)
	if b.Len() == 0 {
		return nil
	}
	return explain(t.SendBatch(ctx, b).Close())
}

func many[T any](ctx context.Context, q querier, scan pgx.RowToFunc[T], sql string, args ...any) ([]T, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, explain(err)
	}
	list, err := pgx.CollectRows(rows, scan)
	return list, explain(err)
}

// one returns the only row, pgx.ErrNoRows if there is none.
func one[T any](ctx context.Context, q querier, scan pgx.RowToFunc[T], sql string, args ...any) (T, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		var zero T
		return zero, explain(err)
	}
	v, err := pgx.CollectOneRow(rows, scan)
	return v, explain(err)
}

// exec runs a statement and returns how many rows it touched.
func exec(ctx context.Context, q querier, sql string, args ...any) (int64, error) {
	tag, err := q.Exec(ctx, sql, args...)
	return tag.RowsAffected(), explain(err)
}

// orNotFound turns "no rows" into a NotFound error about the noun.
func orNotFound(err error, noun, ref string) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return sprout.Errorf(sprout.NotFound, "cannot find %s %q", noun, ref)
	}
	return err
}

// mustTouch turns "zero rows touched" into a NotFound error about the noun.
func mustTouch(n int64, err error, noun, ref string) error {
	if err == nil && n == 0 {
		return sprout.Errorf(sprout.NotFound, "cannot find %s %q", noun, ref)
	}
	return err
}

// orEmpty keeps a nil slice from becoming NULL.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
