package sitestore

import (
	"encoding/json"
	"net/netip"
	"testing"
	"time"

	"sprout"
)

// FuzzLeaseIsWrittenAsJSON: what is written by hand is what encoding/json writes.
func FuzzLeaseIsWrittenAsJSON(f *testing.F) {
	f.Add("sub_1", "52:54:00:00:00:01", "", "web-01", uint32(0x0a000001), int64(1795353600_000000001), true)
	f.Add("", "", "ff00", "<\"\\&\u2028\xff\n", uint32(0), int64(0), false)
	f.Fuzz(func(t *testing.T, subnet, mac, id, name string, ip uint32, nanos int64, tell bool) {
		at := time.Unix(0, nanos).UTC()
		k := kept{Tell: tell}
		k.Lease = sprout.Lease{
			Site: "sit_1", Subnet: sprout.SubnetID(subnet), MAC: mac, ClientID: id, Hostname: name, State: "bound", ExpiresAt: at,
			IP: netip.AddrFrom4([4]byte{byte(ip >> 24), byte(ip >> 16), byte(ip >> 8), byte(ip)}),
		}
		switch ip & 3 {
		case 1:
			k.IP = netip.MustParseAddr("2001:db8::1")
		case 2:
			k.IP = netip.Addr{}
		}
		if tell {
			k.Told, k.At = at.Add(time.Second), at.In(time.FixedZone("", 3600))
		}
		fact, err := NewFact(sprout.FactLease, k.Lease)
		if err != nil {
			t.Fatal(err)
		}
		fact.Seq, fact.At = 7, k.At.UTC()
		for got, want := range map[string]any{
			string(appendKept(nil, &k)): k, string(appendHeld(nil, &k.held)): k.held, string(appendFact(nil, 7, &k.held)): fact,
		} {
			if raw, err := json.Marshal(want); err != nil || got != string(raw) {
				t.Errorf("%s, want %s, %v", got, raw, err)
			}
		}
	})
}

// The journal has nearly all of the disk's time: what goes behind it is paced by
// what it costs, and comes within seconds all the same.
func TestTheDiskIsLeftToTheJournal(t *testing.T) {
	for took, rest := range map[time.Duration]time.Duration{
		0: factsAfter, time.Millisecond: factsAfter, 10 * time.Millisecond: 2 * time.Second, time.Minute: factsWithin,
	} {
		if got := restAfter(took); got != rest {
			t.Errorf("after a transaction of %s the next waits for %s, not %s", took, got, rest)
		}
	}
}
