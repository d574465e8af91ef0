package store_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/store"
	"sprout/store/storetest"
)

// A MAC tells a machine before UUID and serial number do, and these only together
// and in the site.
func TestMachineOfHardware(t *testing.T) {
	s := storetest.New(t)
	lon, par := storetest.Site(t, s, "lon1"), storetest.Site(t, s, "par1")
	m1 := storetest.Machine(t, s, lon.ID, "m1", "52:54:00:00:00:01")
	m2 := storetest.Machine(t, s, lon.ID, "m2", "52:54:00:00:00:02")
	inTx(t, s, func(ctx context.Context, tx pgx.Tx) error {
		_, err := s.SetInventory(ctx, tx, m2.ID, sprout.Inventory{UUID: "ABCD", Serial: "SN1"})
		return err
	})
	for _, c := range []struct {
		site sprout.SiteID
		hw   store.Hardware
		want sprout.MachineID
	}{
		{lon.ID, store.Hardware{MACs: []string{"52:54:00:00:00:09", "52:54:00:00:00:01"}, UUID: "abcd", Serial: "SN1"}, m1.ID},
		{lon.ID, store.Hardware{MACs: []string{"52:54:00:00:00:02", "52:54:00:00:00:01"}}, m2.ID},
		{lon.ID, store.Hardware{MACs: []string{"52:54:00:00:00:09"}, UUID: "abcd", Serial: "SN1"}, m2.ID},
		{lon.ID, store.Hardware{MACs: []string{"52:54:00:00:00:09"}, UUID: "abcd"}, ""},
		{lon.ID, store.Hardware{MACs: []string{"52:54:00:00:00:09"}, UUID: "abcd", Serial: "SN2"}, ""},
		{par.ID, store.Hardware{MACs: []string{"52:54:00:00:00:01"}, UUID: "abcd", Serial: "SN1"}, ""},
	} {
		got, err := s.MachineOf(t.Context(), c.site, c.hw)
		if got != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%+v: got %q, want %q (%v)", c.hw, got, c.want, err)
		}
		if c.want == "" {
			wantKind(t, err, sprout.NotFound)
		}
	}
}

func TestFreeName(t *testing.T) {
	s := storetest.New(t)
	lon, par := storetest.Site(t, s, "lon1"), storetest.Site(t, s, "par1")
	storetest.Machine(t, s, par.ID, "new-a", "52:54:00:00:00:09")
	free := func() (name string, err error) {
		err = s.Tx(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
			name, err = s.FreeName(ctx, tx, lon.ID, "new-a")
			return err
		})
		return name, err
	}
	for n := 1; n <= 10; n++ {
		want := "new-a"
		if n > 1 {
			want = fmt.Sprintf("new-a-%d", n)
		}
		got, err := free()
		if err != nil || got != want {
			t.Fatalf("got %q (%v), want %q", got, err, want)
		}
		storetest.Machine(t, s, lon.ID, got, fmt.Sprintf("52:54:00:00:01:%02x", n))
	}
	_, err := free()
	wantKind(t, err, sprout.Invalid)
}

// Leases that are told together are kept as the last word about each address says.
func TestLeasesToldTogether(t *testing.T) {
	s := storetest.New(t)
	site := storetest.Site(t, s, "lon1")
	sub := subnet(t, s, site.ID, "10.0.0.0/24")
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond)
	said := func(ip, mac, state, host string) sprout.Lease {
		return sprout.Lease{Site: site.ID, Subnet: sub, IP: netip.MustParseAddr(ip), MAC: mac, State: state, Hostname: host, ExpiresAt: until}
	}
	set := func(list ...sprout.Lease) {
		inTx(t, s, func(ctx context.Context, tx pgx.Tx) error { return s.SetLeases(ctx, tx, site.ID, list) })
	}
	set()
	set(said("10.0.0.9", "52:54:00:00:00:09", "bound", ""))
	set(said("10.0.0.5", "52:54:00:00:00:01", "offered", ""), said("10.0.0.6", "52:54:00:00:00:02", "bound", "h2"),
		said("10.0.0.5", "52:54:00:00:00:03", "bound", "h3"), said("10.0.0.9", "52:54:00:00:00:09", "released", ""))
	list, _, err := s.Leases(t.Context(), store.LeaseFilter{})
	for i := range list {
		list[i].ExpiresAt = list[i].ExpiresAt.UTC()
	}
	if err != nil || !slices.Equal(list, []sprout.Lease{said("10.0.0.5", "52:54:00:00:00:03", "bound", "h3"), said("10.0.0.6", "52:54:00:00:00:02", "bound", "h2")}) {
		t.Errorf("leases are %+v, %v", list, err)
	}
}
