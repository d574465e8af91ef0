package server

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/store"
	"sprout/store/storetest"
)

// A moody bus refuses the changes of some sites.
type moody struct {
	away    error
	refuses map[sprout.SiteID]error
	took    map[sprout.SiteID][]int64
}

func (b *moody) Ready() error { return b.away }

func (b *moody) Publish(_ context.Context, site sprout.SiteID, c sprout.Change) error {
	if err := errors.Join(b.away, b.refuses[site]); err != nil {
		return err
	}
	b.took[site] = append(b.took[site], c.Seq)
	return nil
}

// A refusal that may pass is a problem of its site only when it repeats, a bus
// that is away is none, and what was refused is published in its order later.
func TestRelayTriesAgainInOrder(t *testing.T) {
	s := storetest.New(t)
	sick, well := storetest.Site(t, s, "lon1").ID, storetest.Site(t, s, "par1").ID
	bus := &moody{away: sprout.Errorf(sprout.Unavailable, "cannot reach it"), refuses: map[sprout.SiteID]error{}, took: map[sprout.SiteID][]int64{}}
	now := time.Now()
	r := newRelayer(s, slog.New(slog.DiscardHandler), bus)
	r.clock = func() time.Time { return now }
	pass := func() error { _, err := r.publish(t.Context()); return err }
	open := func() int {
		t.Helper()
		list, _, err := s.Problems(t.Context(), store.ProblemFilter{})
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	for range 2 * refusals {
		if err := pass(); err == nil {
			t.Fatal("a bus that is away is no error")
		}
	}
	bus.away, bus.refuses[sick] = nil, errors.New("no leader now")
	for n := range refusals {
		if open() != 0 {
			t.Fatalf("a problem after %d refusals", n)
		}
		if err := pass(); err != nil {
			t.Fatal(err)
		}
		if err := pass(); err != nil { // too early to be tried again
			t.Fatal(err)
		}
		now = now.Add(relayEvery)
	}
	if open() != 1 || len(bus.took[sick]) != 0 || len(bus.took[well]) == 0 {
		t.Fatalf("%d problems, published %v", open(), bus.took)
	}
	err := s.Tx(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
		return s.Replicate(ctx, tx, sick, sprout.ChangeSite, "later", struct{}{})
	})
	if err != nil {
		t.Fatal(err)
	}
	delete(bus.refuses, sick)
	if err := errors.Join(pass(), s.ClearSettled(t.Context())); err != nil {
		t.Fatal(err)
	}
	if took := bus.took[sick]; open() != 0 || len(took) != 2 || took[0] != 1 || took[1] != 2 {
		t.Errorf("%d problems, published %v", open(), took)
	}
}
