package store_test

import (
	"context"
	"net/netip"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/store"
	"sprout/store/storetest"
)

// An option is set once for the same clients, its site is told of each change,
// and it goes with the subnet or the machine that it is set for.
func TestDHCPOptions(t *testing.T) {
	s := storetest.New(t)
	site := storetest.Site(t, s, "lon1")
	m := storetest.Machine(t, s, site.ID, "m1", "52:54:00:00:00:01")
	tx := func(do func(ctx context.Context, tx pgx.Tx) error) {
		t.Helper()
		if err := s.Tx(t.Context(), do); err != nil {
			t.Fatal(err)
		}
	}
	var n sprout.Network
	tx(func(ctx context.Context, tx pgx.Tx) (err error) {
		n, err = s.CreateNetwork(ctx, tx, sprout.Network{Site: site.ID, Name: "n1", MTU: 1500, Subnets: []sprout.Subnet{{CIDR: netip.MustParsePrefix("10.0.0.0/24")}}})
		return err
	})
	set := func(value string, scope func(*sprout.DHCPSetting)) (now, before sprout.DHCPSetting) {
		t.Helper()
		o := sprout.SiteDHCPOption{DHCPSetting: sprout.DHCPSetting{Site: site.ID, Version: 4, Code: 100, Name: "pcode", Value: value}, Data: []byte(value)}
		scope(&o.DHCPSetting)
		tx(func(ctx context.Context, tx pgx.Tx) (err error) {
			now, before, err = s.SetDHCPOption(ctx, tx, o)
			return err
		})
		return now, before
	}
	ofSite := func(*sprout.DHCPSetting) {}
	first, before := set("GMT", ofSite)
	if before.ID != "" {
		t.Errorf("it was there before: %+v", before)
	}
	second, before := set("CET", ofSite)
	if second.ID != first.ID || before.Value != "GMT" || second.Value != "CET" {
		t.Errorf("set again: %+v, before %+v", second, before)
	}
	set("UTC", func(o *sprout.DHCPSetting) { o.Subnet = n.Subnets[0].ID })
	set("UTC", func(o *sprout.DHCPSetting) { o.Machine = m.ID })
	set("UTC", func(o *sprout.DHCPSetting) { o.Class = "arch=7" })
	list, _, err := s.DHCPOptions(t.Context(), store.DHCPOptionFilter{Sites: sprout.At(site.ID)})
	if err != nil || len(list) != 4 {
		t.Fatalf("listed: %+v, %v", list, err)
	}
	tx(func(ctx context.Context, tx pgx.Tx) error { return s.DeleteNetwork(ctx, tx, n.ID) })
	tx(func(ctx context.Context, tx pgx.Tx) error { return s.DeleteMachine(ctx, tx, m.ID) })
	tx(func(ctx context.Context, tx pgx.Tx) error { return s.UnsetDHCPOption(ctx, tx, second) })
	if list, _, err = s.DHCPOptions(t.Context(), store.DHCPOptionFilter{}); err != nil || len(list) != 1 || list[0].Class != "arch=7" {
		t.Errorf("left: %+v, %v", list, err)
	}
	told, err := s.OutboxAfter(t.Context(), site.ID, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	told = slices.DeleteFunc(told, func(c sprout.Change) bool { return c.Kind != sprout.ChangeDHCPOption })
	gone := 0
	for _, c := range told {
		if c.Deleted {
			gone++
		}
	}
	if len(told) != 8 || gone != 3 {
		t.Errorf("the site was told %d changes, %d of them of what is gone", len(told), gone)
	}
}
