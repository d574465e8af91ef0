package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/store"
	"sprout/store/storetest"
)

// inVRF makes a network with one subnet of 10.0.0.0/24.
func inVRF(t *testing.T, s *store.Store, site sprout.SiteID, vrf string, vlan int) sprout.SubnetID {
	t.Helper()
	var n sprout.Network
	inTx(t, s, func(ctx context.Context, tx pgx.Tx) (err error) {
		n, err = s.CreateNetwork(ctx, tx, sprout.Network{Site: site, Name: "n" + vrf, VRF: vrf, VLAN: vlan,
			Subnets: []sprout.Subnet{{CIDR: netip.MustParsePrefix("10.0.0.0/24")}}})
		return err
	})
	return n.Subnets[0].ID
}

// In two VRFs of a site everything may be there twice: subnet, address, lease
// and name. In one it may not.
func TestVRFsOverlap(t *testing.T) {
	s := storetest.New(t)
	site := storetest.Site(t, s, "lon1")
	m := storetest.Machine(t, s, site.ID, "m1", "52:54:00:00:00:01")
	ip := netip.MustParseAddr("10.0.0.9")
	for i, vrf := range []string{"", "red"} {
		sub := inVRF(t, s, site.ID, vrf, i)
		a, err := s.AllocateAddress(t.Context(), sprout.Address{Subnet: sub, Machine: m.ID, MAC: "52:54:00:00:00:01", IP: ip})
		if err != nil || a.VRF != vrf || a.IP != ip {
			t.Fatalf("in VRF %q: %+v, %v", vrf, a, err)
		}
		if b, err := s.AllocateAddress(t.Context(), sprout.Address{Subnet: sub, Kind: "manual", Name: "any"}); err != nil || b.IP != netip.MustParseAddr("10.0.0.1") {
			t.Errorf("in VRF %q the next free one is %v, %v", vrf, b.IP, err)
		}
		inTx(t, s, func(ctx context.Context, tx pgx.Tx) error {
			return errors.Join(
				s.SetLeases(ctx, tx, site.ID, []sprout.Lease{{Subnet: sub, IP: ip, MAC: "52:54:00:00:00:01", State: "bound", ExpiresAt: time.Now().Add(time.Hour)}}),
				s.SetRecord(ctx, tx, sprout.Record{Site: site.ID, Name: "m" + vrf + ".lon1.example", IP: ip, VRF: vrf}))
		})
		_, err = s.AllocateAddress(t.Context(), sprout.Address{Subnet: sub, Kind: "manual", IP: ip})
		wantField(t, err, sprout.Conflict, "ip")
		err = s.Tx(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
			return s.SetRecord(ctx, tx, sprout.Record{Site: site.ID, Name: "other.lon1.example", IP: ip, VRF: vrf})
		})
		wantField(t, err, sprout.Conflict, "ip")
	}
	if leases, _, err := s.Leases(t.Context(), store.LeaseFilter{}); err != nil || len(leases) != 2 {
		t.Errorf("leases %v, %v", leases, err)
	}
	list, err := s.OutboxAfter(t.Context(), site.ID, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	var last sprout.Reservation
	for _, c := range list {
		if c.Kind == sprout.ChangeReservation {
			last = sprout.Reservation{}
			if err := json.Unmarshal(c.Body, &last); err != nil {
				t.Fatal(err)
			}
		}
	}
	if all := last.All(); len(all) != 2 || all[0].Subnet == all[1].Subnet || len(all[0].More) != 0 {
		t.Errorf("the site hears of %+v", last)
	}
}

// A name has an address of each family, which are set apart and deleted together.
func TestNameHasAnAddressOfEachFamily(t *testing.T) {
	s := storetest.New(t)
	site := storetest.Site(t, s, "lon1")
	v4, v6, next := netip.MustParseAddr("10.0.0.9"), netip.MustParseAddr("fd00::9"), netip.MustParseAddr("fd00::a")
	last := outboxEnd(t, s, site.ID)
	set := func(ip netip.Addr) {
		inTx(t, s, func(ctx context.Context, tx pgx.Tx) error {
			return s.SetRecord(ctx, tx, sprout.Record{Site: site.ID, Name: "m1.lon1.example", IP: ip})
		})
	}
	set(v4)
	set(v6)
	set(next)
	if r, ok, err := s.FindRecord(t.Context(), site.ID, "m1.lon1.example"); err != nil || !ok || r.IP != v4 {
		t.Errorf("got %v, %v", r, err)
	}
	inTx(t, s, func(ctx context.Context, tx pgx.Tx) error { return s.DeleteRecord(ctx, tx, site.ID, "m1.lon1.example") })
	list, err := s.OutboxAfter(t.Context(), site.ID, last, 20)
	if err != nil {
		t.Fatal(err)
	}
	left := map[string]bool{}
	for _, c := range list {
		left[c.Key] = !c.Deleted
	}
	if len(left) != 3 || left["m1.lon1.example 10.0.0.9"] || left["m1.lon1.example fd00::9"] || left["m1.lon1.example fd00::a"] {
		t.Errorf("the site is left with %v", left)
	}
}
