package builtin_test

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/network/builtin"
	"sprout/network/networktest"
	"sprout/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

func TestContract(t *testing.T) {
	networktest.Run(t, func(t *testing.T) networktest.Site {
		s := storetest.New(t)
		lon, par := storetest.Site(t, s, "lon1"), storetest.Site(t, s, "par1")
		m := storetest.Machine(t, s, lon.ID, "m1", "52:54:00:00:00:01")
		return networktest.Site{
			Provider: builtin.Provider{Ledger: ledger{s}}, Site: lon.ID, Other: par.ID,
			Use: func(t *testing.T, subnet sprout.SubnetID) {
				t.Helper()
				if _, err := s.AllocateAddress(t.Context(), sprout.Address{Subnet: subnet, Machine: m.ID}); err != nil {
					t.Fatal(err)
				}
			},
			Lease: func(t *testing.T, subnet sprout.SubnetID, ip netip.Addr) {
				t.Helper()
				l := sprout.Lease{Subnet: subnet, IP: ip, MAC: "52:54:00:00:00:09", State: "bound", ExpiresAt: time.Now().Add(time.Hour)}
				err := s.Tx(t.Context(), func(ctx context.Context, tx pgx.Tx) error { return s.SetLeases(ctx, tx, lon.ID, []sprout.Lease{l}) })
				if err != nil {
					t.Fatal(err)
				}
			},
		}
	})
}

func TestRangeOverAnAddressInUse(t *testing.T) {
	sub := networktest.Good("").Subnets[0]
	used := []sprout.Address{{IP: netip.MustParseAddr("10.20.0.50"), Name: "web-01.lon1.example"}}
	r := sprout.Range{Kind: sprout.Dynamic, First: netip.MustParseAddr("10.20.0.40"), Last: netip.MustParseAddr("10.20.0.60")}
	err := builtin.CheckRange("ranges[2]", sub, sub.Ranges, used, r)
	want := "ranges[2]: 10.20.0.40-10.20.0.60 lies over 10.20.0.50, which is in use by web-01.lon1.example"
	if sprout.KindOf(err) != sprout.Conflict || err.Error() != want {
		t.Errorf("got %v", err)
	}
	if err := builtin.CheckRange("ranges[2]", sub, sub.Ranges, nil, r); err != nil {
		t.Error(err)
	}
}
