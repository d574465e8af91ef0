package store_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/store"
	"sprout/store/storetest"
)

// What an update made at a site is listed, and is the site's: no operator
// takes it away.
func TestNamesOfUpdates(t *testing.T) {
	s := storetest.New(t)
	r := sprout.Record{Name: "dyn.lon1.example", Type: "A", Data: "10.0.0.7", TTL: 60, Source: sprout.UpdateRecord}
	var site sprout.Site
	take := func(f sprout.NamesFact) {
		t.Helper()
		if err := s.Tx(t.Context(), func(ctx context.Context, tx pgx.Tx) error { return s.TakeNames(ctx, tx, site.ID, f) }); err != nil {
			t.Fatal(err)
		}
	}
	err := s.Tx(t.Context(), func(ctx context.Context, tx pgx.Tx) (err error) {
		site, err = s.CreateSite(ctx, tx, sprout.Site{Name: "lon1", Domain: "lon1.example"})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	take(sprout.NamesFact{Added: []sprout.Record{r}})
	take(sprout.NamesFact{Added: []sprout.Record{r}}) // a repeat is no second one
	list, _, err := s.DNSRecords(t.Context(), store.DNSRecordFilter{Sites: sprout.At(site.ID)})
	if err != nil || len(list) != 1 || list[0].Source != sprout.UpdateRecord {
		t.Fatalf("listed: %+v, %v", list, err)
	}
	err = s.Tx(t.Context(), func(ctx context.Context, tx pgx.Tx) error { return s.DeleteDNSRecord(ctx, tx, list[0]) })
	if sprout.KindOf(err) != sprout.Conflict {
		t.Errorf("an operator deletes what is the site's: %v", err)
	}
	take(sprout.NamesFact{Removed: []sprout.Record{r}})
	if list, _, err = s.DNSRecords(t.Context(), store.DNSRecordFilter{}); err != nil || len(list) != 0 {
		t.Errorf("listed after it went: %+v, %v", list, err)
	}
}
