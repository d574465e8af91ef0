package zone_test

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"sprout"
	"sprout/dns"
	"sprout/dns/zone"
)

// FuzzSigned changes a signed zone in any way: its NSEC records lead through all of
// its names and back to the first, every name is signed, and the journal leads from
// every state to the present one. What is asked for that is not there is denied.
func FuzzSigned(f *testing.F) {
	secret, err := dns.NewSigningSecret()
	if err != nil {
		f.Fatal(err)
	}
	key, err := dns.ReadSigningKey(secret)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{1, 2, 3, 4, 129, 130}, "nobody.lon1.example")
	f.Add([]byte{0, 0, 128, 15, 16, 31, 144, 143}, "a.b.c.lon1.example")
	f.Add([]byte{}, "lon1.example")
	names := []string{"a", "b", "a.b", "z.y.x", "y.x", "0", "a-b", "_x._udp", "b.a", "c.sub", "sub.sub"}
	f.Fuzz(func(t *testing.T, steps []byte, asked string) {
		if len(steps) > 40 {
			return // each signs
		}
		db, l := zone.New(), layout("10.0.0.0/24")
		l.Domains = []string{"sub.lon1.example"}
		db.Sign([]dns.SigningKey{key}, time.Now())
		db.Load(l, slices.Values([]sprout.Record(nil)), 1)
		start, had := serial(t, db, forward), state(db, forward)
		for _, b := range steps {
			r := sprout.Record{Name: names[int(b&15)%len(names)] + ".lon1.example", TTL: 60, IP: netip.AddrFrom4([4]byte{10, 0, 0, b & 0x7f})}
			if b&0x10 != 0 {
				r.IP, r.Type, r.Data = netip.Addr{}, "CNAME", "a.lon1.example"
			}
			if b&0x80 != 0 {
				db.Change([]sprout.Record{r}, nil, 2)
			} else {
				db.Change(nil, []sprout.Record{r}, 2)
			}
		}
		_, deltas, ok := db.Changes(forward, start)
		for _, d := range deltas {
			for _, i := range d.Del {
				if !had[i] {
					t.Fatalf("%q goes and was not there", i)
				}
				delete(had, i)
			}
			for _, i := range d.Add {
				had[i] = true
			}
		}
		if ok && !maps.Equal(had, state(db, forward)) {
			t.Fatal("the journal does not lead to what is")
		}
		chained(t, db)
		name := dns.Canonical(asked)
		if dns.CheckName("name", name) != nil {
			return
		}
		found, ok := db.Look(dns.Wire(name))
		if ok && (found.Secure == nil || len(found.Secure.Start) == 0 || len(found.Secure.Denial) == 0) {
			t.Errorf("%s is denied by %+v", name, found)
		}
	})
}

// chained follows the NSEC records of the forward zone.
func chained(t *testing.T, db *zone.DB) {
	t.Helper()
	next, owners, signed := map[string]string{}, map[string]bool{}, map[string]int{}
	_, items, _ := db.Transfer(forward)
	for _, i := range items {
		switch i.Kind() {
		case dns.NSEC:
			v := i.Value()
			end := strings.IndexByte(v, 0) + 1
			next[i.Owner] = v[:end]
		case dns.RRSIG:
			signed[i.Owner]++
		default:
			owners[i.Owner] = true
		}
	}
	at := forward
	for range next {
		if !owners[at] || signed[at] == 0 {
			t.Fatalf("%q is in the chain and has no records, or no signatures", at)
		}
		at = next[at]
	}
	if at != forward || len(next) != len(owners) {
		t.Fatalf("the chain of %d names leads to %q; %d have records", len(next), at, len(owners))
	}
}
