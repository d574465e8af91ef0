package builtin_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"sprout"
	"sprout/dns/builtin"
	"sprout/dns/zone"
)

// generated makes zones of a seed: few names, so that queries meet them.
func generated(r *rand.Rand) (*zone.DB, []string) {
	l := layout()
	var records []sprout.Record
	name := func() string {
		labels := []string{"a", "b", "c", "d", "_x"}
		all := []string{}
		for range 1 + r.IntN(3) {
			all = append(all, labels[r.IntN(len(labels))])
		}
		return strings.Join(all, ".") + "." + "lon1.example"
	}
	ip := func() netip.Addr {
		p := l.Subnets[r.IntN(len(l.Subnets))]
		b := p.Addr().AsSlice()
		b[len(b)-1] |= byte(r.IntN(8))
		ip, _ := netip.AddrFromSlice(b)
		return ip
	}
	for range r.IntN(40) {
		record := sprout.Record{Name: name(), TTL: r.IntN(5)}
		switch r.IntN(7) {
		case 0:
			record.Type, record.Data = "CNAME", name()
		case 1:
			record.Type, record.Data = "TXT", strings.Repeat("x", 1+r.IntN(600))
		case 2:
			record.Type, record.Data = "MX", fmt.Sprint(r.IntN(9), " ", strings.ReplaceAll(name(), "_", ""))
		case 3:
			record.Type, record.Data = "SRV", fmt.Sprint("1 2 ", r.IntN(9), " ", strings.ReplaceAll(name(), "_", ""))
		default:
			record.IP = ip()
		}
		records = append(records, record)
	}
	db := zone.New()
	db.Load(l, slices.Values(records), 1)
	names := []string{"lon1.example", "no.lon1.example", "www.debian.org", "128/25.2.0.192.in-addr.arpa"}
	for range 20 {
		reverse, _ := dns.ReverseAddr(ip().String())
		names = append(names, name(), "x."+name(), reverse)
	}
	return db, names
}

// What the fast way answers is what the other one does, record for record; and
// it answers every ordinary query of these zones that fits.
func TestTheFastWayAnswersTheSame(t *testing.T) {
	kinds := []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeCNAME, dns.TypeTXT, dns.TypeSRV, dns.TypeMX, dns.TypePTR, dns.TypeSOA, dns.TypeNS, dns.TypeANY, dns.TypeHTTPS, dns.TypeCAA}
	fast := 0
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		db, names := generated(r)
		for range 100 {
			q := new(dns.Msg).SetQuestion(mixed(r, dns.Fqdn(names[r.IntN(len(names))])), kinds[r.IntN(len(kinds))])
			q.RecursionDesired, q.CheckingDisabled, q.AuthenticatedData = r.IntN(2) == 0, r.IntN(2) == 0, r.IntN(2) == 0
			if r.IntN(2) == 0 {
				q.SetEdns0(uint16(r.IntN(5000)), r.IntN(2) == 0)
				if r.IntN(3) == 0 {
					q.IsEdns0().Option = append(q.IsEdns0().Option, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0123456789abcdef"})
				}
			}
			if compare(t, db, q) {
				fast++
			}
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		}
	}
	if fast < 300*100/3 {
		t.Errorf("only %d queries took the fast way", fast)
	}
}

// mixed writes some letters in upper case.
func mixed(r *rand.Rand, name string) string {
	b := []byte(name)
	for i := range b {
		if r.IntN(2) == 0 && b[i] >= 'a' && b[i] <= 'z' {
			b[i] -= 'a' - 'A'
		}
	}
	return string(b)
}

// compare asks both ways; false: the fast one left it to the other.
func compare(t *testing.T, db *zone.DB, q *dns.Msg) bool {
	t.Helper()
	wire, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	slow, _ := builtin.Answer(q, db)
	for _, udp := range []bool{true, false} {
		out := make([]byte, 65535)
		reader := db.NewReader()
		reader.Lock()
		n := reader.Respond(wire, out, udp)
		reader.Unlock()
		if n == 0 {
			return false
		}
		got := new(dns.Msg)
		if err := got.Unpack(out[:n]); err != nil {
			t.Fatalf("%v: the fast answer cannot be read: %v", q.Question, err)
		}
		if a, b := canonicalText(got), canonicalText(slow); a != b {
			t.Fatalf("%v\nfast: %s\nslow: %s", q, a, b)
		}
		if udp && n > max(512, min(1232, sizeOf(q))) {
			t.Fatalf("%v: %d octets by UDP", q, n)
		}
	}
	return true
}

func sizeOf(q *dns.Msg) int {
	if q.IsEdns0() == nil {
		return 512
	}
	return int(q.IsEdns0().UDPSize())
}

// canonicalText writes an answer, the sections each in order.
func canonicalText(m *dns.Msg) string {
	all := []string{fmt.Sprintf("%d %v %v", m.Id, m.MsgHdr, m.Question)}
	for _, section := range [][]dns.RR{m.Answer, m.Ns, m.Extra} {
		var lines []string
		for _, rr := range section {
			lines = append(lines, strings.ToLower(rr.String()))
		}
		slices.Sort(lines)
		all = append(all, strings.Join(lines, "\n"))
	}
	return strings.Join(all, "\n--\n")
}

func TestTheFastWayDoesNotAllocate(t *testing.T) {
	db := lon1()
	wire, err := new(dns.Msg).SetQuestion("ww2.lon1.example.", dns.TypeAAAA).SetEdns0(1232, false).Pack()
	if err != nil {
		t.Fatal(err)
	}
	reader, out := db.NewReader(), make([]byte, zone.MaxUDP)
	if n := testing.AllocsPerRun(100, func() {
		reader.Lock()
		defer reader.Unlock()
		if reader.Respond(wire, out, true) == 0 {
			t.Fatal("not answered")
		}
	}); n > 0 {
		t.Errorf("%v allocations for an answer", n)
	}
}

func FuzzTheFastWay(f *testing.F) {
	for _, name := range []string{"web-01.lon1.example.", "5.0.0.10.in-addr.arpa.", "ip6.arpa.", ".", "loop.lon1.example."} {
		wire, _ := new(dns.Msg).SetQuestion(name, dns.TypeA).SetEdns0(4096, true).Pack()
		f.Add(wire)
	}
	for _, wire := range captured(f) {
		f.Add(wire)
	}
	db := lon1()
	f.Fuzz(func(t *testing.T, wire []byte) {
		out := make([]byte, zone.MaxUDP)
		reader := db.NewReader()
		reader.Lock()
		n := reader.Respond(wire, out, true)
		reader.Unlock()
		if n == 0 {
			return
		}
		q := new(dns.Msg)
		if err := q.Unpack(wire); err != nil {
			t.Fatalf("%x was answered, and cannot be read: %v", wire, err)
		}
		compare(t, db, q)
	})
}
