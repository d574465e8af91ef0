package builtin_test

import (
	"net"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/miekg/dns"

	"sprout"
	"sprout/dns/builtin"
)

// resolver answers every query with one address, until the test ends.
func resolver(t *testing.T) netip.AddrPort {
	t.Helper()
	return answering(t, func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 30}, A: net.IPv4(192, 0, 2, 1)}}
		_ = w.WriteMsg(m)
	})
}

// answering serves queries by UDP and TCP, until the test ends.
func answering(t *testing.T, answer dns.HandlerFunc) netip.AddrPort {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.ListenPacket("udp4", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*dns.Server{{PacketConn: conn, Handler: answer}, {Listener: listener, Handler: answer}} {
		started, ended := make(chan struct{}), make(chan error, 1)
		s.NotifyStartedFunc = func() { close(started) }
		go func() { ended <- s.ActivateAndServe() }()
		<-started
		t.Cleanup(func() {
			_ = s.Shutdown()
			<-ended
		})
	}
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

func TestForwarding(t *testing.T) {
	upstream := resolver(t)
	for name, c := range map[string]struct {
		policy  sprout.DNSPolicy
		clients string
		ask     string
		desired bool
		rcode   int
		answers int
	}{
		"a host of the site":      {sprout.DNSPolicy{Forward: []string{"127.0.0.1:1", upstream.String()}}, "127.0.0.0/8", "www.debian.org.", true, dns.RcodeSuccess, 1},
		"off":                     {sprout.DNSPolicy{}, "127.0.0.0/8", "www.debian.org.", true, dns.RcodeRefused, 0},
		"somebody else":           {sprout.DNSPolicy{Forward: []string{upstream.String()}}, "10.0.0.0/8", "www.debian.org.", true, dns.RcodeRefused, 0},
		"who does not ask for it": {sprout.DNSPolicy{Forward: []string{upstream.String()}}, "127.0.0.0/8", "www.debian.org.", false, dns.RcodeRefused, 0},
		"a name of the site":      {sprout.DNSPolicy{Forward: []string{upstream.String()}}, "127.0.0.0/8", "no.lon1.example.", true, dns.RcodeNameError, 0},
		"no resolver answers":     {sprout.DNSPolicy{Forward: []string{"127.0.0.1:1"}}, "127.0.0.0/8", "www.debian.org.", true, dns.RcodeServerFailure, 0},
	} {
		policy := builtin.NewPolicy()
		policy.Set(builtin.NewRules(c.policy, nil, []netip.Prefix{netip.MustParsePrefix(c.clients)}))
		at := serveWith(t, builtin.ServerConfig{Zones: lon1(), Rules: policy})
		q := new(dns.Msg).SetQuestion(c.ask, dns.TypeA)
		q.RecursionDesired = c.desired
		client := dns.Client{Timeout: 10 * time.Second}
		m, _, err := client.ExchangeContext(t.Context(), q, at.String())
		if err != nil || m.Rcode != c.rcode || len(m.Answer) != c.answers || m.Id != q.Id {
			t.Errorf("%s: %v %v", name, m, err)
		}
	}
}

// A change is answered as soon as the site has it: nothing is waited for.
func TestAChangeIsAnsweredAtOnce(t *testing.T) {
	s := newSite(t, filepath.Join(t.TempDir(), "site.db"))
	for i := range 20 {
		data := netip.AddrFrom4([4]byte{10, 0, 1, byte(i)}).String()
		s.apply(t, sprout.ChangeDNSRecord, "rec_2", sprout.Record{ID: "rec_2", Name: "new.lon1.example", Type: "A", Data: data, TTL: 60})
		if got := s.dig(t, "new.lon1.example.", dns.TypeA); got != "A "+data {
			t.Fatalf("after the change to %s the answer is %q", data, got)
		}
	}
}

// Several queries come by one connection, in order; one that is no message ends
// nothing but itself.
func TestQueriesOfOneConnection(t *testing.T) {
	at := serve(t)
	conn, err := dns.DialTimeout("tcp", at.String(), 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // the test is over
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	names := []string{"web-01.lon1.example.", "no.lon1.example.", "many.lon1.example.", "lon1.example."}
	for _, name := range names {
		if err := conn.WriteMsg(new(dns.Msg).SetQuestion(name, dns.TypeA)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range names {
		m, err := conn.ReadMsg()
		if err != nil || m.Question[0].Name != name {
			t.Fatalf("the answer about %s is %v, %v", name, m, err)
		}
	}
}

// A name server of every address answers from the one that was asked.
func TestAnswersComeFromWhereTheyWereAsked(t *testing.T) {
	at := serveWith(t, builtin.ServerConfig{Zones: lon1(), Addresses: []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:0")}})
	for _, name := range []string{"web-01.lon1.example.", "version.bind."} { // by either way
		for _, address := range []string{"127.0.0.1", "127.77.0.9"} {
			// A connected socket hears nobody but whom it asked.
			c := dns.Client{Timeout: 5 * time.Second}
			to := netip.AddrPortFrom(netip.MustParseAddr(address), at.Port())
			if _, _, err := c.ExchangeContext(t.Context(), new(dns.Msg).SetQuestion(name, dns.TypeA), to.String()); err != nil {
				t.Errorf("%s asked for %s: %v", address, name, err)
			}
		}
	}
}
