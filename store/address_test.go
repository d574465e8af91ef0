package store_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/store"
	"sprout/store/storetest"
)

// subnet makes a network of one subnet and returns the subnet's id.
func subnet(t *testing.T, s *store.Store, site sprout.SiteID, cidr string, ranges ...sprout.Range) sprout.SubnetID {
	t.Helper()
	var n sprout.Network
	p := netip.MustParsePrefix(cidr)
	inTx(t, s, func(ctx context.Context, tx pgx.Tx) (err error) {
		n, err = s.CreateNetwork(ctx, tx, sprout.Network{Site: site, Name: "net" + string(sprout.NewID[sprout.NetworkID]("x"))[2:],
			Subnets: []sprout.Subnet{{CIDR: p, Gateway: p.Addr().Next(), Ranges: ranges}}})
		return err
	})
	return n.Subnets[0].ID
}

func rangeOf(kind sprout.RangeKind, first, last string) sprout.Range {
	return sprout.Range{Kind: kind, First: netip.MustParseAddr(first), Last: netip.MustParseAddr(last)}
}

func TestAllocateSkipsWhatIsNotFree(t *testing.T) {
	s := storetest.New(t)
	site := storetest.Site(t, s, "lon1")
	m := storetest.Machine(t, s, site.ID, "m1", "52:54:00:00:00:01")
	// .1 is the gateway, .4 the agent, .0 and .15 the edges
	sub := subnet(t, s, site.ID, "10.0.0.0/28", rangeOf(sprout.Dynamic, "10.0.0.6", "10.0.0.9"), rangeOf(sprout.ReservedRange, "10.0.0.12", "10.0.0.13"))
	inTx(t, s, func(ctx context.Context, tx pgx.Tx) error {
		_, err := s.EnrolAgent(ctx, tx, sprout.Agent{Site: site.ID, Name: "a", PublicKey: "U1", SealKey: "X1", Address: "10.0.0.4"})
		return err
	})
	for _, fresh := range []bool{false, true} { // with the hint of one store, and without
		var got []string
		for {
			use := s
			if fresh {
				use = store.New(s.Pool(), store.Config{})
			}
			a, err := use.AllocateAddress(t.Context(), sprout.Address{Subnet: sub, Machine: m.ID, MAC: "52:54:00:00:01:" + string("0123456789abcdef"[len(got)]) + "0"})
			if err != nil {
				var f *sprout.Failure
				if !errors.As(err, &f) || f.Code != sprout.SubnetFull || sprout.KindOf(err) != sprout.Conflict {
					t.Errorf("want full, got %v", err)
				}
				break
			}
			got = append(got, a.IP.String())
		}
		want := []string{"10.0.0.2", "10.0.0.3", "10.0.0.5", "10.0.0.10", "10.0.0.11", "10.0.0.14"}
		if len(got) != len(want) {
			t.Fatalf("got %v, want %v", got, want)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("got %v, want %v", got, want)
			}
		}
		if err := s.ReleaseAddresses(t.Context(), m.ID); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAllocateSmallAndLargePrefixes(t *testing.T) {
	s := storetest.New(t)
	site := storetest.Site(t, s, "lon1")
	m := storetest.Machine(t, s, site.ID, "m1", "52:54:00:00:00:01")
	for cidr, want := range map[string]string{"10.1.0.0/31": "10.1.0.0", "10.2.0.4/32": "10.2.0.4", "fd00:1::/64": "fd00:1::1", "10.3.0.0/16": "10.3.0.1"} {
		var n sprout.Network
		inTx(t, s, func(ctx context.Context, tx pgx.Tx) (err error) {
			n, err = s.CreateNetwork(ctx, tx, sprout.Network{Site: site.ID, Name: "n" + string(sprout.NewID[sprout.NetworkID]("x"))[2:],
				Subnets: []sprout.Subnet{{CIDR: netip.MustParsePrefix(cidr)}}})
			return err
		})
		a, err := s.AllocateAddress(t.Context(), sprout.Address{Subnet: n.Subnets[0].ID, Machine: m.ID})
		if err != nil || a.IP.String() != want {
			t.Errorf("%s: got %s, %v; want %s", cidr, a.IP, err, want)
		}
	}
}

func TestSubnetsMayOverlapInTwoSitesOnly(t *testing.T) {
	s := storetest.New(t)
	lon, par := storetest.Site(t, s, "lon1"), storetest.Site(t, s, "par1")
	subnet(t, s, lon.ID, "10.0.0.0/24")
	subnet(t, s, par.ID, "10.0.0.0/24")
	create := func(n sprout.Network) error {
		n.Site = lon.ID
		return s.Tx(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
			_, err := s.CreateNetwork(ctx, tx, n)
			return err
		})
	}
	wantField(t, create(sprout.Network{Name: "b", Subnets: []sprout.Subnet{{CIDR: netip.MustParsePrefix("10.0.0.128/25")}}}), sprout.Conflict, "subnets.cidr")
	wantField(t, create(sprout.Network{Name: "b", VLAN: 5000}), sprout.Invalid, "vlan")
	wantField(t, create(sprout.Network{Name: "b", Subnets: []sprout.Subnet{{CIDR: netip.MustParsePrefix("10.1.0.0/24"), Gateway: netip.MustParseAddr("10.2.0.1")}}}), sprout.Invalid, "subnets.gateway")
	wantField(t, create(sprout.Network{Name: "b", Subnets: []sprout.Subnet{{CIDR: netip.MustParsePrefix("10.1.0.0/24"),
		Ranges: []sprout.Range{rangeOf(sprout.Dynamic, "10.1.0.10", "10.1.0.20"), rangeOf(sprout.Dynamic, "10.1.0.20", "10.1.0.30")}}}}), sprout.Conflict, "subnets.ranges")
	if list, err := s.Networks(t.Context(), sprout.At(lon.ID)); err != nil || len(list) != 1 {
		t.Errorf("what was refused left something: %v, %v", list, err)
	}
}

func TestRangeOverAnAddressInUse(t *testing.T) {
	s := storetest.New(t)
	site := storetest.Site(t, s, "lon1")
	m := storetest.Machine(t, s, site.ID, "m1", "52:54:00:00:00:01")
	sub := subnet(t, s, site.ID, "10.0.0.0/24")
	if _, err := s.AllocateAddress(t.Context(), sprout.Address{Subnet: sub, Machine: m.ID, IP: netip.MustParseAddr("10.0.0.9")}); err != nil {
		t.Fatal(err)
	}
	add := func(r sprout.Range) error {
		return s.Tx(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
			_, err := s.AddRange(ctx, tx, sub, r)
			return err
		})
	}
	wantField(t, add(rangeOf(sprout.Dynamic, "10.0.0.5", "10.0.0.9")), sprout.Conflict, "ranges")
	if err := add(rangeOf(sprout.Dynamic, "10.0.0.10", "10.0.0.20")); err != nil {
		t.Error(err)
	}
	n, err := s.Subnet(t.Context(), sub)
	if err != nil || len(n.Ranges) != 1 {
		t.Fatalf("subnet %+v, %v", n, err)
	}
	drop := func(ctx context.Context, tx pgx.Tx) error { return s.DeleteNetwork(ctx, tx, n.Network) }
	wantKind(t, s.Tx(t.Context(), drop), sprout.Conflict)
	if err := s.ReleaseAddresses(t.Context(), m.ID); err != nil {
		t.Fatal(err)
	}
	inTx(t, s, drop)
}
