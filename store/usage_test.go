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

func TestUsage(t *testing.T) {
	s := storetest.New(t)
	site := storetest.Site(t, s, "lon1")
	// The gateway is 10.0.0.1.
	sub := subnet(t, s, site.ID, "10.0.0.0/24", rangeOf(sprout.ReservedRange, "10.0.0.2", "10.0.0.9"), rangeOf(sprout.Dynamic, "10.0.0.100", "10.0.0.199"))
	for range 3 {
		if _, err := s.AllocateAddress(t.Context(), sprout.Address{Subnet: sub, Kind: "manual", Name: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	lease := func(ip string, left time.Duration, state string) sprout.Lease {
		return sprout.Lease{Subnet: sub, IP: netip.MustParseAddr(ip), MAC: "52:54:00:00:00:09", State: state, ExpiresAt: time.Now().Add(left)}
	}
	inTx(t, s, func(ctx context.Context, tx pgx.Tx) error {
		return s.SetLeases(ctx, tx, site.ID, []sprout.Lease{
			lease("10.0.0.100", time.Hour, "bound"), lease("10.0.0.101", time.Hour, "bound"), lease("10.0.0.102", -time.Hour, "bound"),
			lease("10.0.0.103", time.Hour, "released"), lease("10.0.0.10", time.Hour, "bound"), // which is allocated
		})
	})
	is, err := s.Subnet(t.Context(), sub)
	if err != nil {
		t.Fatal(err)
	}
	list, err := s.Usages(t.Context(), []sprout.Subnet{is})
	if err != nil {
		t.Fatal(err)
	}
	u := list[0]
	if u.Size != 254 || u.Reserved != 8 || u.Dynamic != 100 || u.Leased != 2 || u.Allocated != 3 || u.Percent != 2 {
		t.Errorf("got %+v", u)
	}
	if want := 254 - 8 - 100 - 3 - 1.; u.Free != want {
		t.Errorf("%v are free, want %v", u.Free, want)
	}
	if len(u.Cells) != 128 || u.Block != 31 || u.Drawn != is.CIDR {
		t.Fatalf("drawn are %d cells of /%d of %s", len(u.Cells), u.Block, u.Drawn)
	}
	for i, want := range map[int]sprout.Cell{
		0: {Size: 2}, 1: {Size: 2, Reserved: 2}, 5: {Size: 2, Allocated: 2}, 6: {Size: 2, Allocated: 1},
		50: {Size: 2, Dynamic: 2, Leased: 2}, 51: {Size: 2, Dynamic: 2}, 127: {Size: 2},
	} {
		if u.Cells[i] != want {
			t.Errorf("cell %d is %+v, want %+v", i, u.Cells[i], want)
		}
	}
	if r := u.Ranges[1]; r.Used != 2 || r.Size != 100 || r.Percent != 2 || r.Kind != sprout.Dynamic {
		t.Errorf("the dynamic range: %+v", r)
	}
}

// Of a large IPv6 prefix the part in use is drawn; all of it is counted.
func TestUsageOfIPv6(t *testing.T) {
	s := storetest.New(t)
	site := storetest.Site(t, s, "lon1")
	sub := subnet(t, s, site.ID, "fd00:20::/64", rangeOf(sprout.Dynamic, "fd00:20::1000", "fd00:20::1fff"))
	if _, err := s.AllocateAddress(t.Context(), sprout.Address{Subnet: sub, Kind: "manual", IP: netip.MustParseAddr("fd00:20::20")}); err != nil {
		t.Fatal(err)
	}
	is, err := s.Subnet(t.Context(), sub)
	if err != nil {
		t.Fatal(err)
	}
	list, err := s.Usages(t.Context(), []sprout.Subnet{is})
	if err != nil {
		t.Fatal(err)
	}
	u := list[0]
	if u.Drawn.String() != "fd00:20::/115" || u.Block != 122 || len(u.Cells) != 128 || u.Cells[0].Allocated != 1 || u.Cells[64].Dynamic != 64 {
		t.Errorf("drawn is %s in blocks of /%d: %+v", u.Drawn, u.Block, u.Cells)
	}
	if u.Size != 1<<64 || u.Dynamic != 4096 || u.Allocated != 1 {
		t.Errorf("got size %v, dynamic %v, allocated %d", u.Size, u.Dynamic, u.Allocated)
	}
}
