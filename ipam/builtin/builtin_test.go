package builtin_test

import (
	"context"
	"fmt"
	"net/netip"
	"testing"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/ipam"
	"sprout/ipam/builtin"
	"sprout/ipam/ipamtest"
	"sprout/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

func TestContract(t *testing.T) {
	ipamtest.Run(t, func(t *testing.T) ipamtest.Site {
		s := storetest.New(t)
		site := storetest.Site(t, s, "lon1")
		out := ipamtest.Site{Provider: builtin.Provider{Ledger: s}}
		for i := range 16 {
			m := storetest.Machine(t, s, site.ID, fmt.Sprint("m", i), fmt.Sprintf("52:54:00:09:00:%02x", i))
			out.Machines = append(out.Machines, m.ID)
		}
		err := s.Tx(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
			n, err := s.CreateNetwork(ctx, tx, sprout.Network{Site: site.ID, Name: "prov", Subnets: []sprout.Subnet{{
				CIDR: netip.MustParsePrefix("10.9.0.0/28"), Gateway: netip.MustParseAddr("10.9.0.1"),
				Ranges: []sprout.Range{{Kind: sprout.Dynamic, First: netip.MustParseAddr("10.9.0.8"), Last: netip.MustParseAddr("10.9.0.11")}},
			}}})
			if err == nil {
				out.Subnet = n.Subnets[0].ID
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	})
}

func TestIsEdge(t *testing.T) {
	for _, c := range []struct {
		prefix, ip string
		want       bool
	}{
		{"10.0.0.0/24", "10.0.0.0", true},
		{"10.0.0.0/24", "10.0.0.255", true},
		{"10.0.0.0/24", "10.0.0.1", false},
		{"10.0.0.0/31", "10.0.0.0", false},
		{"10.0.0.0/31", "10.0.0.1", false},
		{"255.255.255.0/24", "255.255.255.255", true},
		{"fd00::/64", "fd00::", true},
		{"fd00::/64", "fd00::ffff:ffff:ffff:ffff", false},
		{"fd00::/127", "fd00::", false},
	} {
		if got := ipam.IsEdge(netip.MustParsePrefix(c.prefix), netip.MustParseAddr(c.ip)); got != c.want {
			t.Errorf("%s in %s: %t", c.ip, c.prefix, got)
		}
	}
}
