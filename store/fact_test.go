package store_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/store/storetest"
)

func TestEachFactOnceAndInOrder(t *testing.T) {
	s := storetest.New(t)
	site := storetest.Site(t, s, "lon1")
	var mu sync.Mutex
	var taken []int64
	take := func(seq int64, after error) error {
		var fresh bool
		err := s.Tx(t.Context(), func(ctx context.Context, tx pgx.Tx) (err error) {
			if fresh, err = s.TakeFact(ctx, tx, site.ID, seq); err != nil {
				return err
			}
			return after
		})
		if err == nil && fresh {
			mu.Lock()
			taken = append(taken, seq)
			mu.Unlock()
		}
		return err
	}
	wantKind(t, take(2, nil), sprout.Conflict) // 1 has not arrived
	failed := errors.New("its effects failed")
	if err := take(1, failed); !errors.Is(err, failed) {
		t.Error(err)
	}
	for seq := int64(1); seq <= 3; seq++ {
		var all sync.WaitGroup
		for range 6 { // delivered six times at once
			all.Go(func() {
				if err := take(seq, nil); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
	if len(taken) != 3 || taken[0] != 1 || taken[1] != 2 || taken[2] != 3 {
		t.Errorf("taken %v", taken)
	}
	err := s.Tx(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
		_, err := s.TakeFact(ctx, tx, "sit_none", 1)
		return err
	})
	wantKind(t, err, sprout.NotFound)
}
