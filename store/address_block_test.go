package store_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/store"
	"sprout/store/storetest"
)

func reserve(t *testing.T, s *store.Store, b sprout.AddressBlock) string {
	t.Helper()
	got, err := s.ReserveAddresses(t.Context(), b)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%s %s-%s", got[0].Kind, got[0].IP, got[len(got)-1].IP)
}

func TestReserveFindsRoom(t *testing.T) {
	s := storetest.New(t)
	site := storetest.Site(t, s, "lon1")
	sub := subnet(t, s, site.ID, "10.0.0.0/26", rangeOf(sprout.Dynamic, "10.0.0.20", "10.0.0.29")) // the gateway is .1
	for _, c := range []struct {
		want  sprout.AddressBlock
		given string
	}{
		{sprout.AddressBlock{}, "manual 10.0.0.2-10.0.0.2"},
		{sprout.AddressBlock{Count: 4}, "manual 10.0.0.3-10.0.0.6"},
		{sprout.AddressBlock{Count: 8, Aligned: true}, "manual 10.0.0.8-10.0.0.15"},
		{sprout.AddressBlock{Count: 6, For: time.Hour}, "hold 10.0.0.30-10.0.0.35"},
		{sprout.AddressBlock{First: netip.MustParseAddr("10.0.0.50"), Count: 2}, "manual 10.0.0.50-10.0.0.51"},
		{sprout.AddressBlock{First: netip.MustParseAddr("10.0.0.49"), Count: 2}, "ip: 10.0.0.50 is taken by manual"},
		{sprout.AddressBlock{Count: 2}, "manual 10.0.0.16-10.0.0.17"}, // what was refused left nothing
		{sprout.AddressBlock{}, "manual 10.0.0.7-10.0.0.7"},
		{sprout.AddressBlock{Count: 16, Aligned: true}, "cannot allocate an address: subnet-full: no room is left in 10.0.0.0/26 for so many addresses one after the other"},
	} {
		c.want.Subnet = sub
		if got := reserve(t, s, c.want); got != c.given {
			t.Errorf("%+v: got %s, want %s", c.want, got, c.given)
		}
	}
}

// An expired hold is free, whoever asks and however, and nothing sweeps.
func TestExpiredHoldIsFree(t *testing.T) {
	s := storetest.New(t)
	site := storetest.Site(t, s, "lon1")
	m := storetest.Machine(t, s, site.ID, "m1", "52:54:00:00:00:01")
	sub := subnet(t, s, site.ID, "10.0.0.0/29") // .2 to .6
	expire := func() {
		if _, err := s.Pool().Exec(t.Context(), `UPDATE address SET expires_at = now() - interval '1 second' WHERE expires_at IS NOT NULL`); err != nil {
			t.Fatal(err)
		}
	}
	if got := reserve(t, s, sprout.AddressBlock{Subnet: sub, Count: 5, For: time.Hour}); got != "hold 10.0.0.2-10.0.0.6" {
		t.Fatal(got)
	}
	_, err := s.AllocateAddress(t.Context(), sprout.Address{Subnet: sub, Machine: m.ID, MAC: "52:54:00:00:00:01"})
	var full *sprout.Failure
	if !errors.As(err, &full) || full.Code != sprout.SubnetFull {
		t.Errorf("while all is held: %v", err)
	}
	expire()
	if list, _, err := s.Addresses(t.Context(), store.AddressFilter{}); err != nil || len(list) != 0 {
		t.Errorf("listed: %v, %v", list, err)
	}
	if a, err := s.AllocateAddress(t.Context(), sprout.Address{Subnet: sub, Machine: m.ID, MAC: "52:54:00:00:00:01"}); err != nil || !a.IP.Less(netip.MustParseAddr("10.0.0.4")) {
		t.Errorf("any: %v, %v", a.IP, err)
	}
	if got := reserve(t, s, sprout.AddressBlock{Subnet: sub, First: netip.MustParseAddr("10.0.0.4")}); got != "manual 10.0.0.4-10.0.0.4" {
		t.Errorf("a certain one: %s", got)
	}
	if got := reserve(t, s, sprout.AddressBlock{Subnet: sub, Count: 2, For: time.Hour}); got != "hold 10.0.0.5-10.0.0.6" {
		t.Errorf("two: %s", got)
	}
}

func TestFreeAddress(t *testing.T) {
	s := storetest.New(t)
	site := storetest.Site(t, s, "lon1")
	m := storetest.Machine(t, s, site.ID, "m1", "52:54:00:00:00:01")
	sub := subnet(t, s, site.ID, "10.0.0.0/29")
	mine, err := s.AllocateAddress(t.Context(), sprout.Address{Subnet: sub, Machine: m.ID})
	if err != nil {
		t.Fatal(err)
	}
	wantKind(t, s.FreeAddress(t.Context(), mine.ID), sprout.Conflict)
	block, err := s.ReserveAddresses(t.Context(), sprout.AddressBlock{Subnet: sub, Count: 2})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.FreeAddress(t.Context(), block[0].ID); err != nil {
		t.Error(err)
	}
	wantKind(t, s.FreeAddress(t.Context(), block[0].ID), sprout.NotFound)
	if got := reserve(t, s, sprout.AddressBlock{Subnet: sub}); got != "manual "+block[0].IP.String()+"-"+block[0].IP.String() {
		t.Errorf("after it was free: %s", got)
	}
}

// Sixty-four clients, at two servers, fill a /22 with different addresses, and
// are then told that it is full. The same of a /16 is BenchmarkFill.
func TestFill(t *testing.T) { fill(t, "10.0.0.0/22") }

func BenchmarkFill(b *testing.B) {
	for b.Loop() {
		fill(b, "10.0.0.0/16")
	}
}

func fill(t testing.TB, cidr string) {
	s := storetest.New(t)
	servers := []*store.Store{s, store.New(s.Pool(), store.Config{})}
	site := storetest.Site(t, s, "lon1")
	m := storetest.Machine(t, s, site.ID, "m1", "52:54:00:00:00:01")
	var n sprout.Network
	err := s.Tx(t.Context(), func(ctx context.Context, tx pgx.Tx) (err error) {
		n, err = s.CreateNetwork(ctx, tx, sprout.Network{Site: site.ID, Name: "n", Subnets: []sprout.Subnet{{CIDR: netip.MustParsePrefix(cidr)}}})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	free := 1<<(32-netip.MustParsePrefix(cidr).Bits()) - 2
	var next atomic.Int64
	var mu sync.Mutex
	seen := map[netip.Addr]bool{}
	var clients sync.WaitGroup
	for c := range 64 {
		clients.Go(func() {
			for {
				i := next.Add(1)
				mac := fmt.Sprintf("02:00:%02x:%02x:%02x:%02x", byte(i>>24), byte(i>>16), byte(i>>8), byte(i))
				a, err := servers[c%2].AllocateAddress(t.Context(), sprout.Address{Subnet: n.Subnets[0].ID, Machine: m.ID, MAC: mac})
				if err != nil {
					var f *sprout.Failure
					if !errors.As(err, &f) || f.Code != sprout.SubnetFull || f.Remedy == "" {
						t.Errorf("want full, got %v", err)
					}
					return
				}
				mu.Lock()
				if seen[a.IP] {
					t.Errorf("%s was given out twice", a.IP)
				}
				seen[a.IP] = true
				mu.Unlock()
			}
		})
	}
	clients.Wait()
	if len(seen) != free {
		t.Errorf("%d addresses were given out, want %d", len(seen), free)
	}
}
