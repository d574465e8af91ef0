package builtin_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"sprout"
	"sprout/dns/builtin"
	"sprout/dns/zone"
)

// lon1 is the names of a site in a test.
func lon1() *zone.DB {
	record := func(name, ip string) sprout.Record {
		return sprout.Record{Name: name, IP: netip.MustParseAddr(ip), TTL: 60}
	}
	records := []sprout.Record{
		record("web-01.lon1.example", "10.0.0.5"), record("web-01.lon1.example", "2001:db8::5"),
		record("db-01.lon1.example", "10.8.6.7"), record("half.lon1.example", "192.0.2.130"),
		{Name: "www.lon1.example", Type: "CNAME", Data: "web-01.lon1.example"},
		{Name: "ww2.lon1.example", Type: "CNAME", Data: "www.lon1.example"},
		{Name: "dead.lon1.example", Type: "CNAME", Data: "no.lon1.example"},
		{Name: "loop.lon1.example", Type: "CNAME", Data: "pool.lon1.example"},
		{Name: "pool.lon1.example", Type: "CNAME", Data: "loop.lon1.example"},
		{Name: "away.lon1.example", Type: "CNAME", Data: "www.debian.org"},
		{Name: "lon1.example", Type: "MX", Data: "10 mail.lon1.example", TTL: 600},
		{Name: "_sip._tcp.lon1.example", Type: "SRV", Data: "0 5 5060 web-01.lon1.example"},
		{Name: "note.lon1.example", Type: "TXT", Data: "a text; with \"all\" of it"},
		{Name: "9.0.0.10.in-addr.arpa", Type: "PTR", Data: "printer.lon1.example"},
	}
	for i := range 90 {
		records = append(records, sprout.Record{Name: "many.lon1.example", IP: netip.AddrFrom4([4]byte{10, 0, 0, byte(100 + i)})})
	}
	db := zone.New()
	db.Load(layout(), slices.Values(records), 7)
	return db
}

func layout() zone.Layout {
	l := zone.Layout{Domain: "lon1.example", Agent: []netip.Addr{netip.MustParseAddr("10.0.0.1")}}
	for _, p := range []string{"10.0.0.0/24", "10.8.4.0/22", "192.0.2.128/25", "172.16.0.0/12", "2001:db8::/64"} {
		l.Subnets = append(l.Subnets, zone.Subnet{Prefix: netip.MustParsePrefix(p)})
	}
	return l
}

func TestAnswer(t *testing.T) {
	for _, c := range []struct{ name, kind, rcode, want string }{
		{"web-01.lon1.example", "A", "NOERROR", "A 10.0.0.5"},
		{"WEB-01.Lon1.example", "A", "NOERROR", "A 10.0.0.5"},
		{"web-01.lon1.example", "AAAA", "NOERROR", "AAAA 2001:db8::5"},
		{"web-01.lon1.example", "ANY", "NOERROR", "A 10.0.0.5|AAAA 2001:db8::5"},
		{"web-01.lon1.example", "MX", "NOERROR", "soa lon1.example."},
		{"db-01.lon1.example", "AAAA", "NOERROR", "soa lon1.example."},
		{"no.lon1.example", "A", "NXDOMAIN", "soa lon1.example."},
		{"agent.lon1.example", "A", "NOERROR", "A 10.0.0.1"},
		{"lon1.example", "NS", "NOERROR", "NS agent.lon1.example."},
		{"lon1.example", "SOA", "NOERROR", "SOA agent.lon1.example. hostmaster.lon1.example. 7 3600 600 604800 10"},
		{"lon1.example", "A", "NOERROR", "soa lon1.example."},
		{"example", "A", "REFUSED", ""},
		{"xlon1.example", "A", "REFUSED", ""},
		{"www.debian.org", "A", "REFUSED", ""},
		{".", "NS", "REFUSED", ""},
		{"5.0.0.10.in-addr.arpa", "PTR", "NOERROR", "PTR web-01.lon1.example."},
		{"5.0.0.10.in-addr.arpa", "A", "NOERROR", "soa 0.0.10.in-addr.arpa."},
		{"6.0.0.10.in-addr.arpa", "PTR", "NXDOMAIN", "soa 0.0.10.in-addr.arpa."},
		{"0.0.10.in-addr.arpa", "SOA", "NOERROR", "SOA agent.lon1.example. hostmaster.lon1.example. 7 3600 600 604800 10"},
		{"7.6.8.10.in-addr.arpa", "PTR", "NOERROR", "PTR db-01.lon1.example."},
		{"7.7.8.10.in-addr.arpa", "PTR", "NXDOMAIN", "soa 7.8.10.in-addr.arpa."},
		{"7.8.8.10.in-addr.arpa", "PTR", "REFUSED", ""},
		{"8.10.in-addr.arpa", "SOA", "REFUSED", ""},
		{"1.2.0.192.in-addr.arpa", "PTR", "NXDOMAIN", "soa 2.0.192.in-addr.arpa."},
		{"9.17.172.in-addr.arpa", "PTR", "NXDOMAIN", "soa 17.172.in-addr.arpa."},
		{"33.172.in-addr.arpa", "SOA", "REFUSED", ""},
		{"005.0.0.10.in-addr.arpa", "PTR", "NXDOMAIN", "soa 0.0.10.in-addr.arpa."},
		{"1.5.0.0.10.in-addr.arpa", "PTR", "NXDOMAIN", "soa 0.0.10.in-addr.arpa."},
		{"5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", "PTR", "NOERROR", "PTR web-01.lon1.example."},
		{"6.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", "PTR", "NXDOMAIN", "soa 0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa."},
		{"web-01.lon1.example", "AXFR", "REFUSED", ""},
		{"130.2.0.192.in-addr.arpa", "PTR", "NOERROR", "CNAME 130.128/25.2.0.192.in-addr.arpa.|PTR half.lon1.example."},
		{"130.128/25.2.0.192.in-addr.arpa", "PTR", "NOERROR", "PTR half.lon1.example."},
		{"128/25.2.0.192.in-addr.arpa", "NS", "NOERROR", "NS agent.lon1.example."},
		{"131.128/25.2.0.192.in-addr.arpa", "PTR", "NXDOMAIN", "soa 128/25.2.0.192.in-addr.arpa."},
		{"www.lon1.example", "A", "NOERROR", "CNAME web-01.lon1.example.|A 10.0.0.5"},
		{"ww2.lon1.example", "AAAA", "NOERROR", "CNAME www.lon1.example.|CNAME web-01.lon1.example.|AAAA 2001:db8::5"},
		{"www.lon1.example", "CNAME", "NOERROR", "CNAME web-01.lon1.example."},
		{"www.lon1.example", "ANY", "NOERROR", "CNAME web-01.lon1.example."},
		{"www.lon1.example", "TXT", "NOERROR", "CNAME web-01.lon1.example."},
		{"dead.lon1.example", "A", "NXDOMAIN", "CNAME no.lon1.example."},
		{"away.lon1.example", "A", "NOERROR", "CNAME www.debian.org."},
		{"lon1.example", "MX", "NOERROR", "MX 10 mail.lon1.example."},
		{"_tcp.lon1.example", "SRV", "NOERROR", "soa lon1.example."},
		{"_sip._tcp.lon1.example", "SRV", "NOERROR", "SRV 0 5 5060 web-01.lon1.example."},
		{"note.lon1.example", "TXT", "NOERROR", `TXT "a text; with \"all\" of it"`},
		{"9.0.0.10.in-addr.arpa", "PTR", "NOERROR", "PTR printer.lon1.example."},
	} {
		q := new(dns.Msg).SetQuestion(dns.Fqdn(c.name), dns.StringToType[c.kind])
		m, reason := builtin.Answer(q, lon1())
		if got := dns.RcodeToString[m.Rcode]; got != c.rcode || records(m) != c.want {
			t.Errorf("%s %s: %s %q, want %s %q (%s)", c.name, c.kind, got, records(m), c.rcode, c.want, reason)
		}
		if m.Authoritative != (c.rcode != "REFUSED") {
			t.Errorf("%s %s: authoritative is %v", c.name, c.kind, m.Authoritative)
		}
		if reason == "" {
			t.Errorf("%s %s: no reason", c.name, c.kind)
		}
		if _, err := m.Pack(); err != nil {
			t.Errorf("%s %s: %v", c.name, c.kind, err)
		}
	}
}

// records writes the answer section, or the SOA of a negative answer.
func records(m *dns.Msg) string {
	var all []string
	for _, rr := range m.Answer {
		fields := strings.Fields(rr.String())
		all = append(all, strings.Join(fields[3:], " "))
	}
	if len(all) == 0 && len(m.Ns) == 1 {
		return "soa " + m.Ns[0].Header().Name
	}
	return strings.Join(all, "|")
}

func TestAnswerKeepsCase(t *testing.T) {
	q := new(dns.Msg).SetQuestion("wEb-01.LON1.example.", dns.TypeA)
	m, _ := builtin.Answer(q, lon1())
	if m.Answer[0].Header().Name != "wEb-01.LON1.example." || m.Question[0].Name != "wEb-01.LON1.example." {
		t.Errorf("the name came back as %s", m.Answer[0].Header().Name)
	}
}

func TestAnswerRefusesOddQueries(t *testing.T) {
	update := new(dns.Msg).SetUpdate("lon1.example.")
	chaos := new(dns.Msg).SetQuestion("version.bind.", dns.TypeTXT)
	chaos.Question[0].Qclass = dns.ClassCHAOS
	version := new(dns.Msg).SetQuestion("lon1.example.", dns.TypeSOA).SetEdns0(1232, false)
	version.IsEdns0().SetVersion(1)
	none := &dns.Msg{}
	two := new(dns.Msg).SetQuestion("lon1.example.", dns.TypeSOA).SetEdns0(1232, false)
	two.Extra = append(two.Extra, two.Extra[0])
	if m, _ := builtin.Answer(two, lon1()); m.Rcode != dns.RcodeFormatError {
		t.Errorf("two OPT records: %s", dns.RcodeToString[m.Rcode])
	}
	for want, q := range map[int]*dns.Msg{
		dns.RcodeNotImplemented: update, dns.RcodeRefused: chaos, dns.RcodeBadVers: version, dns.RcodeFormatError: none,
	} {
		if m, reason := builtin.Answer(q, lon1()); m.Rcode != want || reason == "" {
			t.Errorf("%v: %s, want %s", q.Question, dns.RcodeToString[m.Rcode], dns.RcodeToString[want])
		}
	}
}

func FuzzAnswer(f *testing.F) {
	for _, name := range []string{"web-01.lon1.example.", "5.0.0.10.in-addr.arpa.", "ip6.arpa.", "."} {
		wire, _ := new(dns.Msg).SetQuestion(name, dns.TypeANY).SetEdns0(4096, true).Pack()
		f.Add(wire)
	}
	z := lon1()
	f.Fuzz(func(t *testing.T, wire []byte) {
		q := new(dns.Msg)
		if q.Unpack(wire) != nil {
			t.Skip("not a DNS message")
		}
		m, reason := builtin.Answer(q, z)
		if reason == "" {
			t.Error("no reason")
		}
		if m.Rcode == dns.RcodeSuccess && len(m.Answer) == 0 && len(m.Ns) == 0 {
			t.Error("neither an answer nor a SOA: ", fmt.Sprint(q.Question))
		}
	})
}
