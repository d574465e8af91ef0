package store_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/store"
	"sprout/store/storetest"
)

func TestEachFactOnceAndInOrder(t *testing.T) {
	s := storetest.New(t)
	site := storetest.Site(t, s, "lon1")
	agent := enrolled(t, s, site.ID, "1")
	var mu sync.Mutex
	var taken []int64
	take := func(seq int64, after error) error {
		var fresh bool
		err := s.Tx(t.Context(), func(ctx context.Context, tx pgx.Tx) (err error) {
			if fresh, err = s.TakeFact(ctx, tx, site.ID, sprout.Fact{Agent: agent, Seq: seq}); err != nil {
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
		_, err := s.TakeFact(ctx, tx, "sit_none", sprout.Fact{Seq: 1})
		return err
	})
	wantKind(t, err, sprout.NotFound)
}

func enrolled(t *testing.T, s *store.Store, site sprout.SiteID, n string) sprout.AgentID {
	t.Helper()
	var a sprout.Agent
	inTx(t, s, func(ctx context.Context, tx pgx.Tx) (err error) {
		a, err = s.EnrolAgent(ctx, tx, sprout.Agent{Site: site, Name: "a" + n, PublicKey: "U" + n, SealKey: "X" + n})
		return err
	})
	return a.ID
}

// What an agent left behind that was replaced, or deleted, is never taken, also
// where its number would be the next.
func TestFactsOfARetiredAgentAreNotTaken(t *testing.T) {
	s := storetest.New(t)
	site := storetest.Site(t, s, "lon1")
	take := func(agent sprout.AgentID, seq int64) (fresh bool, err error) {
		err = s.Tx(t.Context(), func(ctx context.Context, tx pgx.Tx) (err error) {
			fresh, err = s.TakeFact(ctx, tx, site.ID, sprout.Fact{Agent: agent, Seq: seq})
			return err
		})
		return fresh, err
	}
	first := enrolled(t, s, site.ID, "1")
	if fresh, err := take(first, 1); err != nil || !fresh {
		t.Fatal(fresh, err)
	}
	second := enrolled(t, s, site.ID, "2")
	for _, seq := range []int64{1, 2} {
		_, err := take(first, seq)
		wantKind(t, err, sprout.Invalid)
	}
	if fresh, err := take(second, 1); err != nil || !fresh {
		t.Fatal(fresh, err)
	}
	_, err := take(first, 2)
	wantKind(t, err, sprout.Invalid)
	inTx(t, s, func(ctx context.Context, tx pgx.Tx) error { return s.RetireAgent(ctx, tx, second) })
	_, err = take(second, 2)
	wantKind(t, err, sprout.Invalid)
}
