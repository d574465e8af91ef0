package store

import (
	"net/netip"
	"testing"
)

// What others take meanwhile is looked at anew, once: who asks does not try all of
// it, one address after the other.
func TestPoolLooksAnewAtWhatIsStale(t *testing.T) {
	at := netip.MustParseAddr
	bounds := run{at("10.0.0.1"), at("10.0.0.254")}
	var looks []netip.Addr
	free := run{at("10.0.0.1"), at("10.0.0.254")}
	look := func(from netip.Addr) ([]run, netip.Addr, error) {
		looks = append(looks, from)
		return without([]run{{from, bounds.last}}, []run{{at("10.0.0.0"), free.first.Prev()}}), netip.Addr{}, nil
	}
	var p pool
	take := func(n int, want string) {
		t.Helper()
		got, err := p.take(n, bounds, nil, look)
		if err != nil || len(got) != n || got[0] != at(want) {
			t.Fatalf("took %v, %v; want %d from %s", got, err, n, want)
		}
	}
	take(2, "10.0.0.1")
	free.first = at("10.0.0.200") // somebody else took the rest until there
	take(1, "10.0.0.3")
	p.stale()
	take(2, "10.0.0.200")
	if len(looks) != 2 || looks[1] != at("10.0.0.4") {
		t.Errorf("looked at %v", looks)
	}
	take(53, "10.0.0.202")
	p.stale() // at its very end
	free.first = at("10.0.0.100")
	take(1, "10.0.0.100")
	free.first = at("10.0.0.255")
	p.stale() // in the middle, and nothing is left
	if got, err := p.take(1, bounds, nil, look); err != nil || len(got) != 0 {
		t.Errorf("of what is full it took %v, %v", got, err)
	}
}

// What is given back is what is taken next, once, and what is not given out is
// passed over wherever it lies.
func TestPoolTakesWhatIsGivenBack(t *testing.T) {
	at := netip.MustParseAddr
	bounds := run{at("10.0.0.1"), at("10.0.0.254")}
	look := func(from netip.Addr) ([]run, netip.Addr, error) {
		return []run{{at("10.0.0.10"), at("10.0.0.12")}, {at("10.0.0.20"), at("10.0.0.30")}}, netip.Addr{}, nil
	}
	var p pool
	taken := []run{{at("10.0.0.11"), at("10.0.0.21")}, {at("10.0.0.4"), at("10.0.0.4")}, {at("10.0.0.30"), at("10.0.0.40")}}
	take := func(n int, want ...string) {
		t.Helper()
		got, err := p.take(n, bounds, taken, look)
		if err != nil || len(got) != len(want) {
			t.Fatalf("took %v, %v; want %v", got, err, want)
		}
		for i := range want {
			if got[i] != at(want[i]) {
				t.Fatalf("took %v; want %v", got, want)
			}
		}
	}
	take(2, "10.0.0.10", "10.0.0.22")
	p.put(at("10.0.0.10"), at("10.0.0.4"), at("10.0.0.25"), at("10.0.0.3"), at("10.0.0.10"))
	take(4, "10.0.0.3", "10.0.0.10", "10.0.0.23", "10.0.0.24")
	take(5, "10.0.0.25", "10.0.0.26", "10.0.0.27", "10.0.0.28", "10.0.0.29")
}
