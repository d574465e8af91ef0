package builtin_test

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"

	"sprout"
	"sprout/dns/builtin"
	"sprout/dns/zone"
)

// largeResolver answers every query with 90 addresses, by UDP as many as it is
// asked to send.
func largeResolver(t *testing.T) netip.AddrPort {
	t.Helper()
	return answering(t, func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		for i := range 90 {
			m.Answer = append(m.Answer, &dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 30}, A: net.IPv4(192, 0, 2, byte(i))})
		}
		if w.LocalAddr().Network() == "udp" {
			m.Truncate(int(q.IsEdns0().UDPSize()))
		}
		_ = w.WriteMsg(m)
	})
}

// TestAnswersFitTheClient: whoever makes an answer, the zone or a resolver, and
// whether it is signed, it is no larger than the client takes by UDP, and says that
// the rest is to be had by TCP, where it is (RFC 1035 section 4.2.1, RFC 6891
// section 6.2.5, RFC 8945 section 5.3).
func TestAnswersFitTheClient(t *testing.T) {
	policy := builtin.NewPolicy()
	policy.Set(builtin.NewRules(sprout.DNSPolicy{Forward: []string{largeResolver(t).String()}},
		[]builtin.Key{{Name: "ns2.", Algorithm: dns.HmacSHA256, Secret: testSecret}}, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}))
	at := serveWith(t, builtin.ServerConfig{Zones: lon1(), Rules: policy})
	for _, c := range []struct {
		name   string
		signed bool
	}{{"many.lon1.example.", false}, {"many.lon1.example.", true}, {"www.debian.org.", false}} {
		for size, limit := range map[uint16]int{0: dns.MinMsgSize, 100: dns.MinMsgSize, 600: 600, 1232: zone.MaxUDP, 4096: zone.MaxUDP, 65535: zone.MaxUDP} {
			t.Run(fmt.Sprintf("%s %d bytes, signed %t", c.name, size, c.signed), func(t *testing.T) {
				by := map[string]*dns.Msg{}
				for _, network := range []string{"udp", "tcp"} {
					q := new(dns.Msg).SetQuestion(c.name, dns.TypeA)
					if size > 0 {
						q.SetEdns0(size, false)
					}
					client := dns.Client{Net: network, Timeout: 10 * time.Second, UDPSize: dns.MaxMsgSize}
					if c.signed {
						q.SetTsig("ns2.", dns.HmacSHA256, 300, time.Now().Unix())
						client.TsigSecret = map[string]string{"ns2.": testSecret}
					}
					m, _, err := client.ExchangeContext(t.Context(), q, at.String())
					if err != nil {
						t.Fatalf("%s: %v", network, err)
					}
					if (m.IsTsig() != nil) != c.signed || (m.IsEdns0() != nil) != (size > 0) {
						t.Errorf("%s: signed %t, EDNS %t", network, m.IsTsig() != nil, m.IsEdns0() != nil)
					}
					by[network] = m
				}
				if udp, n := by["udp"], lengthOf(t, by["udp"]); n > limit || !udp.Truncated || udp.Rcode != dns.RcodeSuccess {
					t.Errorf("by UDP %d bytes of at most %d, truncated %t", n, limit, udp.Truncated)
				}
				if tcp := by["tcp"]; tcp.Truncated || len(tcp.Answer) != 90 {
					t.Errorf("by TCP %d answers, truncated %t", len(tcp.Answer), tcp.Truncated)
				}
			})
		}
	}
}

// lengthOf is how long a message is on the wire, compressed as it came.
func lengthOf(t *testing.T, m *dns.Msg) int {
	t.Helper()
	m.Compress = true
	wire, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return len(wire)
}
