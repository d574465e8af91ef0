package store_test

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/store/storetest"
)

// Who allocates holds up nobody else: neither in another subnet nor in the same one. One
// address is one record among the changes of its site, whether it is allocated together
// with others or within somebody's transaction.
func TestAnAllocationIsOneRecordAndNoLock(t *testing.T) {
	s := storetest.New(t)
	site := storetest.Site(t, s, "lon1")
	m := storetest.Machine(t, s, site.ID, "m1", "52:54:00:00:00:01")
	var subnets []sprout.SubnetID
	for _, cidr := range []string{"10.0.0.0/24", "10.1.0.0/24"} {
		err := s.Tx(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
			n, err := s.CreateNetwork(ctx, tx, sprout.Network{Site: site.ID, Name: "n" + cidr[3:4], Subnets: []sprout.Subnet{{CIDR: netip.MustParsePrefix(cidr)}}})
			if err == nil {
				subnets = append(subnets, n.Subnets[0].ID)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	records := func(what string, want int, do func() error) {
		t.Helper()
		before := outboxEnd(t, s, site.ID)
		if err := do(); err != nil {
			t.Fatal(err)
		}
		list, err := s.OutboxAfter(t.Context(), site.ID, before, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range list {
			if c.Kind != sprout.ChangeReservation {
				t.Errorf("%s makes a record of %s", what, c.Kind)
			}
		}
		if len(list) != want {
			t.Errorf("%s makes %d records, want %d", what, len(list), want)
		}
	}
	together := func(subnet sprout.SubnetID, mac string) error {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err := s.AllocateAddress(ctx, sprout.Address{Subnet: subnet, Machine: m.ID, MAC: mac})
		return err
	}
	records("an allocation together", 1, func() error { return together(subnets[0], "02:00:00:00:00:01") })
	records("one in a transaction, and two beside it", 3, func() error {
		return s.Tx(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
			if _, err := s.Allocate(ctx, tx, sprout.Address{Subnet: subnets[0], Machine: m.ID, MAC: "02:00:00:00:00:02"}); err != nil {
				return err
			}
			// It has not committed yet: this is what a lock would hold up.
			if err := together(subnets[1], "02:00:00:00:00:03"); err != nil {
				t.Errorf("in another subnet meanwhile: %v", err)
			}
			if err := together(subnets[0], "02:00:00:00:00:04"); err != nil {
				t.Errorf("in the same subnet meanwhile: %v", err)
			}
			return nil
		})
	})
}
