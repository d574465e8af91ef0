package store_test

import (
	"context"
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/store/storetest"
)

// BenchmarkAllocate fills a /12 with addresses, two callers at a time. PostgreSQL
// runs without fsync: it shows the cost of finding an address, not of the disk.
func BenchmarkAllocate(b *testing.B) {
	s := storetest.New(b)
	site := storetest.Site(b, s, "lon1")
	m := storetest.Machine(b, s, site.ID, "m1", "52:54:00:00:00:01")
	var sub sprout.SubnetID
	err := s.Tx(b.Context(), func(ctx context.Context, tx pgx.Tx) error {
		n, err := s.CreateNetwork(ctx, tx, sprout.Network{Site: site.ID, Name: "big", Subnets: []sprout.Subnet{{CIDR: netip.MustParsePrefix("10.16.0.0/12")}}})
		if err == nil {
			sub = n.Subnets[0].ID
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	var n atomic.Int64
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			i := n.Add(1)
			mac := fmt.Sprintf("52:54:%02x:%02x:%02x:%02x", i>>24&255, i>>16&255, i>>8&255, i&255)
			if _, err := s.AllocateAddress(b.Context(), sprout.Address{Subnet: sub, Machine: m.ID, MAC: mac}); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "addresses/s")
}
