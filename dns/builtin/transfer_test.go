package builtin_test

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"

	"sprout"
	"sprout/dns/builtin"
)

// transfer takes a zone as a secondary does, and returns what every message of it
// had, each of them signed.
func transfer(t *testing.T, at netip.AddrPort, q *dns.Msg) (messages [][]dns.RR) {
	t.Helper()
	q.SetTsig("ns2.", dns.HmacSHA256, 300, time.Now().Unix())
	tr := &dns.Transfer{DialTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, TsigSecret: map[string]string{"ns2.": testSecret}}
	in, err := tr.In(q, at.String())
	if err != nil {
		t.Fatal(err)
	}
	for e := range in {
		if e.Error != nil {
			t.Fatal(e.Error)
		}
		messages = append(messages, e.RR)
	}
	return messages
}

// hosts are so many names with an address, from the first on.
func hosts(first, n int) []sprout.Record {
	all := make([]sprout.Record, n)
	for i := range all {
		k := first + i
		all[i] = sprout.Record{Name: fmt.Sprintf("host-%05d.lon1.example", k), IP: netip.AddrFrom4([4]byte{10, 9, byte(k >> 8), byte(k)}), TTL: 60}
	}
	return all
}

// A zone of more than one message arrives whole, every message signed after the
// one before (RFC 8945 section 5.3.1), AXFR and IXFR alike; and so much less by
// IXFR as less has changed.
func TestTransfersOfManyMessages(t *testing.T) {
	db, policy := lon1(), builtin.NewPolicy()
	db.Change(nil, hosts(0, 6000), 1000)
	at := serveWith(t, builtin.ServerConfig{Zones: db, Rules: policy})
	policy.Set(secondaryOf(freePort(t)))
	_, items, _ := db.Transfer("\x04lon1\x07example\x00")
	whole := transfer(t, at, new(dns.Msg).SetAxfr("lon1.example."))
	got := slices.Concat(whole...)
	if len(whole) < 5 || len(got) != len(items)+2 {
		t.Errorf("%d records came in %d messages; the zone has %d and its SOA", len(got), len(whole), len(items))
	}
	names := map[string]bool{}
	for _, rr := range got {
		names[rr.String()] = true
	}
	if len(names) != len(items)+1 { // the SOA comes twice
		t.Errorf("%d of them are different", len(names))
	}
	first, last := got[0].(*dns.SOA), got[len(got)-1].(*dns.SOA)
	if first.Serial != last.Serial {
		t.Errorf("it begins with serial %d and ends with %d", first.Serial, last.Serial)
	}

	db.Change(hosts(0, 1000), hosts(7000, 1000), 1001)
	changes := transfer(t, at, new(dns.Msg).SetIxfr("lon1.example.", first.Serial, "ns.", "host."))
	got = slices.Concat(changes...)
	if len(changes) < 2 || len(changes) >= len(whole) || len(got) != 2004 {
		t.Errorf("the change came as %d records in %d messages; all of it came in %d", len(got), len(changes), len(whole))
	}
	old, isSOA := got[1].(*dns.SOA)
	if !isSOA || old.Serial != first.Serial {
		t.Errorf("it says %v where it tells since when", got[1])
	}
}

// A secondary that goes away in the middle of a transfer leaves nothing behind, and
// keeps nobody else from theirs.
func TestATransferThatNobodyTakes(t *testing.T) {
	s := newSite(t, filepath.Join(t.TempDir(), "site.db"))
	s.zones.Change(nil, hosts(0, 20000), 2000000000)
	q := new(dns.Msg).SetAxfr("lon1.example.")
	q.SetTsig("ns2.", dns.HmacSHA256, 300, time.Now().Unix())
	wire, _, err := dns.TsigGenerate(q, testSecret, "", false)
	if err != nil {
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()
	for range 50 {
		c := connect(t, s.at, "127.0.0.1")
		if _, err := c.Write(append([]byte{byte(len(wire) >> 8), byte(len(wire))}, wire...)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1024)); err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
	}
	whole := transfer(t, s.at, new(dns.Msg).SetAxfr("lon1.example."))
	if n := len(slices.Concat(whole...)); n < 20000 {
		t.Errorf("%d records", n)
	}
	for late := time.After(20 * time.Second); runtime.NumGoroutine() > before; {
		select {
		case <-late:
			t.Fatalf("%d goroutines run, before it were %d", runtime.NumGoroutine(), before)
		case <-time.After(10 * time.Millisecond): // nobody tells when a connection is closed
		}
	}
}
