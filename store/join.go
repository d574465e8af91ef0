package store

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

type joinKey struct{}

// Join runs do so that everything which it does with its ctx, reads and every
// Tx, is one transaction: a Tx within is a savepoint, and what is queued is
// written at the end. It is for one goroutine. At most half of the connections
// are held so: who holds one may wait for somebody who has yet to get one.
func (s *Store) Join(ctx context.Context, do func(ctx context.Context, tx pgx.Tx) error) error {
	select {
	case s.joins <- struct{}{}:
		defer func() { <-s.joins }()
	case <-ctx.Done():
		return ctx.Err()
	}
	return s.Tx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		whole := tx.(*txn)                   // Tx gives nothing else
		defer func() { whole.over = true }() // a ctx that outlives it uses the pool again
		return do(context.WithValue(ctx, joinKey{}, whole), tx)
	})
}

// After runs do once what ctx joined has committed, at once where there is
// nothing to wait for: for what cannot be rolled back. Its error is the caller's
// only then.
func (s *Store) After(ctx context.Context, do func(ctx context.Context) error) error {
	if t := joined(ctx); t != nil {
		t.after = append(t.after, do)
		return nil
	}
	return do(ctx)
}

// Joined tells whether what is done with ctx is a part of a transaction of Join.
func Joined(ctx context.Context) bool { return joined(ctx) != nil }

func joined(ctx context.Context) *txn {
	if t, ok := ctx.Value(joinKey{}).(*txn); ok && !t.over {
		return t
	}
	return nil
}

// nest runs do in a savepoint of t, and takes over what it queued.
func nest(ctx context.Context, t *txn, do func(ctx context.Context, tx pgx.Tx) error) error {
	inner := &txn{}
	err := pgx.BeginFunc(ctx, t.Tx, func(tx pgx.Tx) error {
		inner.Tx = tx
		return do(ctx, inner)
	})
	if err != nil {
		return explain(err)
	}
	t.take(inner)
	return nil
}

// pooled is the pool, or what ctx joined.
type pooled struct{ *pgxpool.Pool }

func (p pooled) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	if t := joined(ctx); t != nil {
		return t.Exec(ctx, sql, args...)
	}
	return p.Pool.Exec(ctx, sql, args...)
}

func (p pooled) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if t := joined(ctx); t != nil {
		return t.Query(ctx, sql, args...)
	}
	return p.Pool.Query(ctx, sql, args...)
}

func (p pooled) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	if t := joined(ctx); t != nil {
		return t.SendBatch(ctx, b)
	}
	return p.Pool.SendBatch(ctx, b)
}
