package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/store"
	"sprout/store/storetest"
)

// News is told once a transaction has committed, once however often it was
// queued, and never of one that was rolled back.
func TestNewsFollowsTheCommit(t *testing.T) {
	s := storetest.New(t)
	heard, ready, ended := make(chan string, 10), make(chan struct{}), make(chan error)
	ctx, stop := context.WithCancel(t.Context())
	go func() {
		ended <- s.Listen(ctx, []string{store.OutboxChannel}, func() { close(ready) }, func(_, site string) { heard <- site })
	}()
	<-ready
	hears := func(want sprout.SiteID) {
		t.Helper()
		select {
		case got := <-heard:
			if got != string(want) {
				t.Errorf("heard of %s, want %s", got, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("nobody told of %s", want)
		}
	}
	lon := storetest.Site(t, s, "lon1")
	hears(lon.ID)
	par := storetest.Site(t, s, "par1")
	hears(par.ID)
	send := func(ctx context.Context, tx pgx.Tx, site sprout.SiteID) error {
		return s.Replicate(ctx, tx, site, sprout.ChangeWork, "wfl_1/1", sprout.Work{ID: "wfl_1/1"})
	}
	refused := errors.New("refused")
	err := s.Tx(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
		return errors.Join(send(ctx, tx, lon.ID), refused)
	})
	if !errors.Is(err, refused) {
		t.Fatal(err)
	}
	inTx(t, s, func(ctx context.Context, tx pgx.Tx) error {
		select {
		case site := <-heard:
			t.Errorf("heard of %s before the commit", site)
		case <-time.After(100 * time.Millisecond):
		}
		return errors.Join(send(ctx, tx, par.ID), send(ctx, tx, par.ID))
	})
	inTx(t, s, func(ctx context.Context, tx pgx.Tx) error { return send(ctx, tx, lon.ID) })
	hears(par.ID)
	hears(lon.ID)
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
