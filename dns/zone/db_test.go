package zone_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"sprout"
	"sprout/dns"
	"sprout/dns/zone"
)

func layout(prefixes ...string) zone.Layout {
	l := zone.Layout{Domain: "lon1.example", Agent: []netip.Addr{netip.MustParseAddr("10.0.0.1")}}
	for _, p := range prefixes {
		l.Subnets = append(l.Subnets, zone.Subnet{Prefix: netip.MustParsePrefix(p)})
	}
	return l
}

func host(name, ip string) sprout.Record {
	return sprout.Record{Name: name + ".lon1.example", IP: netip.MustParseAddr(ip), TTL: 60}
}

const (
	forward  = "\x04lon1\x07example\x00"
	backward = "\x010\x010\x0210\x07in-addr\x04arpa\x00"
)

func serial(t *testing.T, db *zone.DB, origin string) uint32 {
	t.Helper()
	z, ok := db.Zone(origin)
	if !ok {
		t.Fatalf("there is no zone %s", dns.Unwire(origin))
	}
	return z.Serial
}

// Every zone has a serial of its own, which rises with its changes only.
func TestSerials(t *testing.T) {
	db := zone.New()
	var told []string
	db.Watch(func(origins []string) { told = origins })
	db.Load(layout("10.0.0.0/24", "10.0.1.0/24"), slices.Values([]sprout.Record(nil)), 100)
	a := host("a", "10.0.0.5")
	for _, c := range []struct {
		name     string
		old, now []sprout.Record
		serial   uint32
		forward  uint32
		backward uint32
	}{
		{"a host comes", nil, []sprout.Record{a}, 200, 200, 200},
		{"it comes again", []sprout.Record{a}, []sprout.Record{a}, 300, 200, 200},
		{"an alias comes", nil, []sprout.Record{{Name: "b.lon1.example", Type: "CNAME", Data: "a.lon1.example"}}, 300, 300, 200},
		{"a change with a serial of before", nil, []sprout.Record{{Name: "c.lon1.example", Type: "TXT", Data: "x"}}, 250, 301, 200},
		{"a name of no zone", nil, []sprout.Record{{Name: "c.example", Type: "TXT", Data: "x"}}, 400, 301, 200},
		{"the host goes", []sprout.Record{a}, nil, 500, 500, 500},
	} {
		told = nil
		before := serial(t, db, forward)
		db.Change(c.old, c.now, c.serial)
		if f, b := serial(t, db, forward), serial(t, db, backward); f != c.forward || b != c.backward {
			t.Errorf("%s: serials %d and %d, want %d and %d", c.name, f, b, c.forward, c.backward)
		}
		if slices.Contains(told, forward) != (before != c.forward) {
			t.Errorf("%s: told %q", c.name, told)
		}
	}
	if got := serial(t, db, "\x011\x010\x0210\x07in-addr\x04arpa\x00"); got != 100 {
		t.Errorf("the zone that nothing changed is at %d", got)
	}
}

// Whoever has any state of a zone that the journal reaches comes to the present
// one by its deltas, and a DB that is loaded anew has the same zones.
func TestDeltasLeadToTheZone(t *testing.T) {
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 2))
		db, l := zone.New(), layout("10.0.0.0/24", "192.0.2.128/25")
		records := map[int]sprout.Record{}
		db.Load(l, maps.Values(records), 1)
		states := map[uint32]map[zone.Item]bool{serial(t, db, forward): state(db, forward)}
		for step := range 200 {
			change(r, db, records, uint32(step))
			if step == 100 {
				l.Subnets = append(l.Subnets, zone.Subnet{Prefix: netip.MustParsePrefix("2001:db8::/64")})
				db.Load(l, maps.Values(records), 1000)
			}
			states[serial(t, db, forward)] = state(db, forward)
		}
		now := state(db, forward)
		for from, had := range states {
			_, steps, ok := db.Changes(forward, from)
			if !ok {
				t.Fatalf("seed %d: the journal does not reach back to %d", seed, from)
			}
			for _, s := range steps {
				for _, i := range s.Del {
					if !had[i] {
						t.Fatalf("seed %d: %q goes and was not there", seed, i)
					}
					delete(had, i)
				}
				for _, i := range s.Add {
					if had[i] {
						t.Fatalf("seed %d: %q comes and was there", seed, i)
					}
					had[i] = true
				}
			}
			if !maps.Equal(had, now) {
				t.Fatalf("seed %d: from %d: %v, want %v", seed, from, had, now)
			}
		}
		again := zone.New()
		again.Load(l, maps.Values(records), 1)
		for _, origin := range db.Origins() {
			if a, b := state(db, origin), state(again, origin); !maps.Equal(a, b) {
				t.Fatalf("seed %d: %s was changed to\n%v and is loaded as\n%v", seed, dns.Unwire(origin), a, b)
			}
		}
	}
}

// change sets or removes a record.
func change(r *rand.Rand, db *zone.DB, records map[int]sprout.Record, serial uint32) {
	k := r.IntN(30)
	var old, now []sprout.Record
	if was, ok := records[k]; ok {
		old = append(old, was)
	}
	delete(records, k)
	if r.IntN(3) > 0 {
		is := host(fmt.Sprintf("m%d", r.IntN(12)), []string{"10.0.0.", "192.0.2.13", "10.9.9."}[r.IntN(3)]+fmt.Sprint(r.IntN(10)))
		is.TTL = 1 + r.IntN(3)
		if r.IntN(3) == 0 {
			is.IP, is.Type, is.Data = netip.Addr{}, "CNAME", fmt.Sprintf("m%d.lon1.example", r.IntN(12))
		}
		now, records[k] = append(now, is), is
	}
	db.Change(old, now, serial)
}

func state(db *zone.DB, origin string) map[zone.Item]bool {
	_, items, _ := db.Transfer(origin)
	all := map[zone.Item]bool{}
	for _, i := range items {
		all[i] = true
	}
	return all
}

// The journal is bounded: who is far behind is told so.
func TestTheJournalIsBounded(t *testing.T) {
	db := zone.New()
	db.Load(layout("10.0.0.0/24"), slices.Values([]sprout.Record(nil)), 1)
	first := serial(t, db, forward)
	a := []sprout.Record{host("a", "10.0.0.5")}
	for i := range uint32(3000) {
		db.Change(nil, a, 2*i+10)
		db.Change(a, nil, 2*i+11)
	}
	last := serial(t, db, forward)
	if _, _, ok := db.Changes(forward, first); ok {
		t.Error("the journal has all of 6,000 changes")
	}
	if _, steps, ok := db.Changes(forward, last-100); !ok || len(steps) != 100 {
		t.Errorf("of the last 100 changes the journal has %d", len(steps))
	}
}

func TestZonesOfSubnets(t *testing.T) {
	for prefix, want := range map[string][]string{
		"10.0.0.0/24":      {"0.0.10.in-addr.arpa"},
		"10.8.4.0/22":      {"4.8.10.in-addr.arpa", "5.8.10.in-addr.arpa", "6.8.10.in-addr.arpa", "7.8.10.in-addr.arpa"},
		"10.0.0.0/8":       {"10.in-addr.arpa"},
		"192.0.2.128/25":   {"128/25.2.0.192.in-addr.arpa", "2.0.192.in-addr.arpa"},
		"192.0.2.7/32":     {"2.0.192.in-addr.arpa", "7/32.2.0.192.in-addr.arpa"},
		"255.255.252.0/23": {"252.255.255.in-addr.arpa", "253.255.255.in-addr.arpa"},
		"2001:db8::/64":    {"0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"},
		"2001:db8::/31":    {"8.b.d.0.1.0.0.2.ip6.arpa", "9.b.d.0.1.0.0.2.ip6.arpa"},
	} {
		db := zone.New()
		db.Load(zone.Layout{Subnets: []zone.Subnet{{Prefix: netip.MustParsePrefix(prefix)}}}, slices.Values([]sprout.Record(nil)), 1)
		var got []string
		for _, origin := range db.Origins() {
			got = append(got, dns.Unwire(origin))
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", prefix, got, want)
		}
	}
}

// Two VRFs may have the same address: the reverse name is that of the name
// server's own, and both names lead to it.
func TestReverseNamesOfVRFs(t *testing.T) {
	l := layout("10.0.0.0/24")
	l.Subnets = append(l.Subnets, zone.Subnet{Prefix: netip.MustParsePrefix("10.0.0.0/16"), VRF: "storage"})
	own, other, alone := host("own", "10.0.0.5"), host("other", "10.0.0.5"), host("alone", "10.0.7.5")
	other.VRF, alone.VRF = "storage", "storage"
	db := zone.New()
	db.Load(l, slices.Values([]sprout.Record{own, other, alone}), 1)
	for reverse, want := range map[string]string{"5.0.0.10.in-addr.arpa": "own.lon1.example", "5.7.0.10.in-addr.arpa": "alone.lon1.example"} {
		found, _ := db.Look(dns.Wire(reverse))
		if len(found.Records) != 1 || dns.Unwire(found.Records[0].Value()) != want {
			t.Errorf("%s leads to %q, want %s", reverse, found.Records, want)
		}
	}
	if found, _ := db.Look(dns.Wire("other.lon1.example")); len(found.Records) != 1 {
		t.Errorf("the other name has %q", found.Records)
	}
}
