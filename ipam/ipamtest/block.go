package ipamtest

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"sprout"
)

// reserve asks for a block and returns what came of it, in short.
func (s Site) reserve(t *testing.T, b sprout.AddressBlock) string {
	t.Helper()
	b.Subnet = s.Subnet
	got, err := s.Provider.Reserve(t.Context(), b)
	if err != nil {
		return string(sprout.KindOf(err))
	}
	for _, a := range got {
		if a.Prefix != 28 || a.Subnet != s.Subnet || a.Machine != "" || a.Name != b.Name || a.Purpose != b.Purpose || (a.ExpiresAt != nil) != (b.For > 0) {
			t.Errorf("address %+v of %+v", a, b)
		}
	}
	return fmt.Sprintf("%s-%s", got[0].IP, got[len(got)-1].IP)
}

func at(ip string) netip.Addr { return netip.MustParseAddr(ip) }

func blocks(t *testing.T, s Site) {
	for _, c := range []struct {
		block sprout.AddressBlock
		want  string
	}{
		{sprout.AddressBlock{Name: "a.example", Purpose: "why"}, "10.9.0.2-10.9.0.2"},
		{sprout.AddressBlock{First: at("10.9.0.8")}, "invalid"}, // of a range
		{sprout.AddressBlock{First: at("10.9.0.14"), Count: 2}, "invalid"},
		{sprout.AddressBlock{First: at("10.9.0.2")}, "conflict"},
		{sprout.AddressBlock{Count: 4}, "10.9.0.3-10.9.0.6"},
		{sprout.AddressBlock{Count: 4}, "conflict"}, // .7, and .12 to .14
		{sprout.AddressBlock{Count: 2, Aligned: true}, "10.9.0.12-10.9.0.13"},
		{sprout.AddressBlock{First: at("10.9.0.13"), Count: 2}, "conflict"},
		{sprout.AddressBlock{}, "10.9.0.7-10.9.0.7"},
		{sprout.AddressBlock{}, "10.9.0.14-10.9.0.14"}, // which was refused with .13
		{sprout.AddressBlock{}, "conflict"},
	} {
		if got := s.reserve(t, c.block); got != c.want {
			t.Errorf("%+v: got %s, want %s", c.block, got, c.want)
		}
	}
	_, err := s.Provider.Reserve(t.Context(), sprout.AddressBlock{Subnet: s.Subnet})
	wantFull(t, err)
}

func blocksAtOnce(t *testing.T, s Site) {
	var mu sync.Mutex
	seen := map[netip.Addr]bool{}
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			got, err := s.Provider.Reserve(t.Context(), sprout.AddressBlock{Subnet: s.Subnet, Count: 3})
			if err != nil {
				wantFull(t, err)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, a := range got {
				if seen[a.IP] {
					t.Errorf("%s was given out twice", a.IP)
				}
				seen[a.IP] = true
			}
		})
	}
	all.Wait()
	if len(seen) != free { // .2-.4, .5-.7 and .12-.14
		t.Errorf("%d addresses were given out, want %d", len(seen), free)
	}
}

func holdEnds(t *testing.T, s Site) {
	hold := sprout.AddressBlock{First: at("10.9.0.5"), For: time.Second}
	if got := s.reserve(t, hold); got != "10.9.0.5-10.9.0.5" {
		t.Fatal(got)
	}
	other := s.request(0)
	other.IP = hold.First
	wantKind(t, s, other, sprout.Conflict)
	for end := time.Now().Add(20 * time.Second); ; { // until the provider's clock says so
		a, err := s.Provider.Allocate(t.Context(), other)
		if err == nil {
			if a.IP != hold.First {
				t.Errorf("got %s", a.IP)
			}
			return
		}
		if time.Now().After(end) {
			t.Fatalf("a hold of a second is there still: %v", err)
		}
	}
}

func freed(t *testing.T, s Site) {
	got, err := s.Provider.Reserve(t.Context(), sprout.AddressBlock{Subnet: s.Subnet, Count: 2})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Provider.Free(t.Context(), got[0].ID); err != nil {
		t.Error(err)
	}
	if err := s.Provider.Free(t.Context(), got[0].ID); sprout.KindOf(err) != sprout.NotFound {
		t.Errorf("freed twice: %v", err)
	}
	mine := s.must(t, s.request(0))
	if err := s.Provider.Free(t.Context(), mine.ID); sprout.KindOf(err) != sprout.Conflict {
		t.Errorf("a machine's: %v", err)
	}
}
