package store

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"sprout"
	"sprout/crowd"
)

// A Config is what a store needs beside its database. Zero values work for a
// store that holds no BMC passwords.
type Config struct {
	// Key seals secrets at rest. The zero key refuses to.
	Key Key
	// SealFor seals a secret to the curve key of a site's agent. Nil: machines
	// are replicated without their BMC's password.
	SealFor func(sealKey string, secret []byte) ([]byte, error)
	// Tracer sees every statement of a pool that Open makes; nil: nobody does.
	Tracer pgx.QueryTracer
}

// A Store is the control plane's database.
type Store struct {
	pool   *pgxpool.Pool
	db     querier // the pool, or the transaction of In
	config Config
	pools  *pools                              // of free addresses
	crowd  *crowd.Crowd[sprout.SubnetID, *ask] // who wants one
	joins  chan struct{}                       // as many as may be open at once
	teller *teller
	// unsealed holds one: audit records wait to be sealed.
	unsealed chan struct{}
	full     *atomic.Bool // PostgreSQL has refused a statement for want of room; see Probe
	bare     bool         // machines are read without what other tables know of them
}

// querier is what the pool and a transaction have in common.
type querier interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// New makes a store over a pool that the caller closes.
func New(pool *pgxpool.Pool, config Config) *Store {
	return &Store{pool: pool, db: pooled{pool}, config: config, joins: make(chan struct{}, max(1, pool.Config().MaxConns/2)), pools: &pools{}, crowd: &crowd.Crowd[sprout.SubnetID, *ask]{}, teller: &teller{pool: pool}, unsealed: make(chan struct{}, 1), full: &atomic.Bool{}}
}

// Open connects to the database at url with a pool of at most connections
// (0: 16) and makes a store over it; close it with Close. Unavailable if the
// database does not answer.
func Open(ctx context.Context, url string, connections int, config Config) (*Store, error) {
	c, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, sprout.InvalidField("database.url", "cannot use the URL of the database: %v", err)
	}
	c.MaxConns = 16
	if connections > 0 {
		c.MaxConns = int32(connections)
	}
	c.ConnConfig.Tracer = config.Tracer
	full := &atomic.Bool{}
	lookForFull(c.ConnConfig, full)
	pool, err := pgxpool.NewWithConfig(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("cannot open the database: %w", err)
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, sprout.Errorf(sprout.Unavailable, "cannot reach the database: %w", err)
	}
	s := New(pool, config)
	s.full = full
	return s, nil
}

// Close sends what news is left and closes the pool. Only for a store made by
// Open.
func (s *Store) Close() {
	s.teller.wait()
	s.pool.Close()
}

// Pool returns the pool, for River and for LISTEN.
func (s *Store) Pool() *pgxpool.Pool { return s.pool }

// Ping says whether the database answers: Unavailable if not.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.pool.Ping(ctx); err != nil {
		return sprout.Errorf(sprout.Unavailable, "cannot reach the database: %w", err)
	}
	return nil
}

// In returns the store as seen from within tx: its reads see what tx wrote.
func (s *Store) In(tx pgx.Tx) *Store {
	within := *s
	within.db = tx
	return &within
}

// Bare returns the store as it reads machines by their own row alone: one
// statement, and without interfaces, addresses, BMC, problems, tests and activity.
func (s *Store) Bare() *Store {
	bare := *s
	bare.bare = true
	return &bare
}
