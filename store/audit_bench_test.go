package store_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/postgres"
	"sprout/store"
	"sprout/store/storetest"
)

// BenchmarkAuditWriters is 32 writers, each of which changes a machine of its
// own in a transaction with a record, on a PostgreSQL that keeps its commits:
// what they wait for each other shows.
func BenchmarkAuditWriters(b *testing.B) {
	server, err := postgres.Start(b.Context(), postgres.Config{Dir: storetest.Dir(b), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer server.Stop() //nolint:errcheck // what was measured is measured
	s, err := store.Open(b.Context(), server.DatabaseURL("postgres"), 40, store.Config{Key: benchKey(b)})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	if err := store.Migrate(b.Context(), s.Pool(), slog.New(slog.DiscardHandler)); err != nil {
		b.Fatal(err)
	}
	const writers = 32
	site := storetest.Site(b, s, "lon1")
	for i := range writers {
		storetest.Machine(b, s, site.ID, fmt.Sprint("m", i), fmt.Sprintf("52:54:00:00:00:%02x", i))
	}
	stop := sealing(b, s)
	defer stop()
	for _, records := range []int{0, 1} {
		b.Run(fmt.Sprintf("records=%d", records), func(b *testing.B) {
			work := make(chan struct{}, b.N)
			for range b.N {
				work <- struct{}{}
			}
			close(work)
			b.ResetTimer()
			var all sync.WaitGroup
			for i := range writers {
				all.Go(func() {
					for range work {
						if err := changeAndRecord(b.Context(), s, site.ID, fmt.Sprint("m", i), records); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			all.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "changes/s")
		})
	}
}

// sealing seals as the server does, until stop is called.
func sealing(b *testing.B, s *store.Store) (stop func()) {
	ctx, cancel := context.WithCancel(b.Context())
	var ended sync.WaitGroup
	ended.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-s.AuditNews():
			}
			_ = sprout.Pause(ctx, 200*time.Millisecond)
			if _, _, err := s.SealAudit(ctx); err != nil && ctx.Err() == nil {
				b.Error(err)
			}
		}
	})
	return func() { cancel(); ended.Wait() }
}

// changeAndRecord changes one row that nobody else changes.
func changeAndRecord(ctx context.Context, s *store.Store, site sprout.SiteID, name string, records int) error {
	return s.Tx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `UPDATE machine SET changed_at = now() WHERE site = $1 AND name = $2`, site, name); err != nil {
			return err
		}
		for range records {
			if err := s.Audit(ctx, tx, sprout.AuditRecord{Site: site, Actor: "ann", Action: "machine lock", Name: name, Outcome: "done"}); err != nil {
				return err
			}
		}
		return nil
	})
}

func benchKey(b *testing.B) store.Key {
	b.Helper()
	key, err := store.NewKey(make([]byte, 32))
	if err != nil {
		b.Fatal(err)
	}
	return key
}
