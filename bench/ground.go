package bench

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"sprout/postgres"
)

// A Ground is what a benchmark of the database stands on: a private PostgreSQL whose
// commits are durable, and the peer's way to it.
type Ground struct {
	Dir  string // for whatever belongs to the benchmark; Close removes it
	DB   *postgres.Server
	Pool *pgxpool.Pool
}

// NewGround starts PostgreSQL, with room for so many connections of the peer. Where
// it fails nothing is left.
func NewGround(ctx context.Context, connections int32) (_ *Ground, err error) {
	g := &Ground{}
	defer func() {
		if err != nil {
			err = errors.Join(err, g.Close())
		}
	}()
	if g.Dir, err = os.MkdirTemp("", "bench-"); err != nil {
		return g, err
	}
	if err := os.Chmod(g.Dir, 0o755); err != nil { // PostgreSQL runs as somebody else
		return g, err
	}
	if g.DB, err = postgres.Start(ctx, postgres.Config{Dir: filepath.Join(g.Dir, "postgres"), Log: slog.New(slog.DiscardHandler)}); err != nil {
		return g, err
	}
	config, err := pgxpool.ParseConfig(g.DB.URL())
	if err != nil {
		return g, err
	}
	config.MaxConns = connections
	g.Pool, err = pgxpool.NewWithConfig(ctx, config)
	return g, err
}

// Close ends what was started and removes what it left.
func (g *Ground) Close() (failed error) {
	if g.Pool != nil {
		g.Pool.Close()
	}
	if g.DB != nil {
		failed = g.DB.Stop()
	}
	if g.Dir != "" {
		failed = errors.Join(failed, os.RemoveAll(g.Dir))
	}
	return failed
}

// Timed has so many clients do something count times together, each time with
// another number from 1 on, and returns how often a second they did.
func Timed(clients, count int, do func(client, n int) error) (float64, error) {
	var next atomic.Int64
	errs := make([]error, clients)
	var all sync.WaitGroup
	began := time.Now()
	for i := range clients {
		all.Go(func() {
			for errs[i] == nil {
				n := int(next.Add(1))
				if n > count {
					return
				}
				errs[i] = do(i, n)
			}
		})
	}
	all.Wait()
	return float64(count) / time.Since(began).Seconds(), errors.Join(errs...)
}

// Median sorts the figures and returns the one in the middle.
func Median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}
