package builtin_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"sprout"
	"sprout/dns/builtin"
	"sprout/dns/zone"
	"sprout/sitestore"
)

// A site is a name server over a site's store.
type site struct {
	store *sitestore.Store
	zones *zone.DB
	at    netip.AddrPort
}

// newSite runs one with a machine's name, a record made by hand, and a policy.
func newSite(t *testing.T, path string) *site {
	t.Helper()
	store, err := sitestore.Open(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	s := &site{store: store, zones: zone.New()}
	policy := builtin.NewPolicy()
	store.Publish(&builtin.Names{
		Zones: s.zones, Agent: []netip.Addr{netip.MustParseAddr("10.0.0.1")}, Policy: policy, Log: slog.New(slog.DiscardHandler),
		Unseal: func(sealed []byte) (string, error) { return string(sealed), nil },
	})
	s.apply(t, sprout.ChangeSite, "sit_1", sprout.Site{ID: "sit_1", Domain: "lon1.example"})
	s.apply(t, sprout.ChangeSubnet, "sub_1", sprout.Subnet{ID: "sub_1", CIDR: netip.MustParsePrefix("10.0.0.0/24")})
	s.apply(t, sprout.ChangeRecord, "web-01.lon1.example 10.0.0.5", sprout.Record{Name: "web-01.lon1.example", IP: netip.MustParseAddr("10.0.0.5"), TTL: 60})
	s.apply(t, sprout.ChangeDNSRecord, "rec_1", sprout.Record{ID: "rec_1", Name: "www.lon1.example", Type: "CNAME", Data: "web-01.lon1.example", TTL: 60})
	s.apply(t, sprout.ChangeDNSKey, "ddns", sprout.SiteDNSKey{Name: "ddns", Algorithm: "hmac-sha512", Secret: []byte(testSecret)})
	s.apply(t, sprout.ChangeDNSKey, "ns2", sprout.SiteDNSKey{Name: "ns2", Algorithm: "hmac-sha256", Secret: []byte(testSecret)})
	s.apply(t, sprout.ChangeDNSPolicy, "sit_1", sprout.DNSPolicy{Update: []string{"key:ddns@127.0.0.0/8"}, Transfer: []string{"key:ns2"}})
	s.at = serveWith(t, builtin.ServerConfig{Zones: s.zones, Rules: policy, Updates: store})
	return s
}

func (s *site) apply(t *testing.T, kind sprout.ChangeKind, key string, v any) {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	applied, err := s.store.Applied()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.store.Apply(t.Context(), sprout.Change{Seq: applied + 1, Kind: kind, Key: key, Body: raw}); err != nil {
		t.Fatal(err)
	}
}

// nsupdate runs the real client; it returns what it said and whether it did it.
func (s *site) nsupdate(t *testing.T, key, script string) (string, bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	args := []string{"-t", "10"}
	if key != "" {
		args = append(args, "-y", key+":"+testSecret)
	}
	c := exec.CommandContext(ctx, "nsupdate", args...)
	c.Stdin = strings.NewReader(fmt.Sprintf("server %s %d\nzone lon1.example.\n%s\nsend\n", s.at.Addr(), s.at.Port(), script))
	out, err := c.CombinedOutput()
	return string(out), err == nil
}

// dig asks for a name, and returns its answers in one line.
func (s *site) dig(t *testing.T, name string, kind uint16) string {
	t.Helper()
	m, err := ask(t.Context(), s.at, name, kind)
	if err != nil {
		t.Fatal(err)
	}
	return records(m)
}

func TestNsupdate(t *testing.T) {
	if _, err := exec.LookPath("nsupdate"); err != nil {
		t.Skip("nsupdate is missing: apt-get install bind9-dnsutils")
	}
	path := filepath.Join(t.TempDir(), "site.db")
	s := newSite(t, path)
	const ddns = "hmac-sha512:ddns"
	for _, c := range []struct{ name, key, script, refused, ask, want string }{
		{"an address", ddns, "update add dyn.lon1.example. 60 A 10.0.0.77", "", "dyn.lon1.example. A", "A 10.0.0.77"},
		{"another beside it", ddns, "update add dyn.lon1.example. 60 A 10.0.0.78", "", "dyn.lon1.example. A", "A 10.0.0.77|A 10.0.0.78"},
		{"an alias beside others is ignored", ddns, "update add dyn.lon1.example. 60 CNAME web-01.lon1.example.", "", "dyn.lon1.example. CNAME", "soa lon1.example."},
		{"one goes", ddns, "update delete dyn.lon1.example. A 10.0.0.77", "", "dyn.lon1.example. A", "A 10.0.0.78"},
		{"a text", ddns, `update add _acme-challenge.lon1.example. 60 TXT "a b"`, "", "_acme-challenge.lon1.example. TXT", `TXT "a b"`},
		{"a prerequisite holds", ddns, "prereq yxrrset dyn.lon1.example. A 10.0.0.78\nprereq nxdomain no.lon1.example.\nupdate add dyn.lon1.example. 60 AAAA 2001:db8::1", "", "dyn.lon1.example. AAAA", "AAAA 2001:db8::1"},
		{"a prerequisite does not: the name is there", ddns, "prereq nxdomain dyn.lon1.example.\nupdate delete dyn.lon1.example.", "YXDOMAIN", "dyn.lon1.example. A", "A 10.0.0.78"},
		{"a prerequisite does not: it has others", ddns, "prereq yxrrset dyn.lon1.example. A 10.0.0.1\nupdate delete dyn.lon1.example.", "NXRRSET", "dyn.lon1.example. A", "A 10.0.0.78"},
		{"a prerequisite does not: it has the type", ddns, "prereq nxrrset dyn.lon1.example. A\nupdate delete dyn.lon1.example.", "YXRRSET", "dyn.lon1.example. A", "A 10.0.0.78"},
		{"a prerequisite does not: it has not the type", ddns, "prereq yxrrset dyn.lon1.example. TXT\nupdate delete dyn.lon1.example.", "NXRRSET", "dyn.lon1.example. A", "A 10.0.0.78"},
		{"a prerequisite does not: there is no such name", ddns, "prereq yxdomain no.lon1.example.\nupdate delete dyn.lon1.example.", "NXDOMAIN", "dyn.lon1.example. A", "A 10.0.0.78"},
		{"a prerequisite of another zone", ddns, "prereq nxdomain x.example.org.\nupdate delete dyn.lon1.example.", "NOTZONE", "dyn.lon1.example. A", "A 10.0.0.78"},
		{"a name of another zone", ddns, "update add x.example.org. 60 A 10.0.0.1", "NOTZONE", "dyn.lon1.example. A", "A 10.0.0.78"},
		{"a machine's name", ddns, "update delete web-01.lon1.example. A", "REFUSED", "web-01.lon1.example. A", "A 10.0.0.5"},
		{"an operator's record", ddns, "update add www.lon1.example. 60 TXT x", "REFUSED", "www.lon1.example. CNAME", "CNAME web-01.lon1.example."},
		{"the agent's name", ddns, "update add agent.lon1.example. 60 A 10.0.0.9", "REFUSED", "agent.lon1.example. A", "A 10.0.0.1"},
		{"the zone's name servers", ddns, "update delete lon1.example. NS", "REFUSED", "lon1.example. NS", "NS agent.lon1.example."},
		{"a type that is not kept", ddns, "update add x.lon1.example. 60 LOC 51 30 N 0 7 W 0m", "REFUSED", "x.lon1.example. LOC", "soa lon1.example."},
		{"half of an update is none", ddns, "update add x.lon1.example. 60 A 10.0.0.1\nupdate add web-01.lon1.example. 60 A 10.0.0.2", "REFUSED", "x.lon1.example. A", "soa lon1.example."},
		{"without a key", "", "update add x.lon1.example. 60 A 10.0.0.1", "REFUSED", "x.lon1.example. A", "soa lon1.example."},
		{"with a key for transfers", "hmac-sha256:ns2", "update add x.lon1.example. 60 A 10.0.0.1", "REFUSED", "x.lon1.example. A", "soa lon1.example."},
		{"with a key that is none", "hmac-sha256:other", "update add x.lon1.example. 60 A 10.0.0.1", "NOTAUTH", "x.lon1.example. A", "soa lon1.example."},
		{"all of a name", ddns, "update delete dyn.lon1.example.", "", "dyn.lon1.example. A", "soa lon1.example."},
	} {
		before, _ := s.zones.Zone("\x04lon1\x07example\x00")
		said, ok := s.nsupdate(t, c.key, c.script)
		if ok != (c.refused == "") || !strings.Contains(said, c.refused) {
			t.Errorf("%s: done is %v: %s", c.name, ok, said)
		}
		name, kind, _ := strings.Cut(c.ask, " ")
		if got := s.dig(t, name, dns.StringToType[kind]); got != c.want {
			t.Errorf("%s: %s is %q, want %q", c.name, c.ask, got, c.want)
		}
		after, _ := s.zones.Zone("\x04lon1\x07example\x00")
		changed := c.refused == "" && !strings.Contains(c.name, "ignored")
		if (int32(after.Serial-before.Serial) > 0) != changed {
			t.Errorf("%s: the serial was %d and is %d", c.name, before.Serial, after.Serial)
		}
	}
}

// What an update made is on the disk before it is answered, and the centre will
// be told.
func TestAnUpdateIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "site.db")
	s := newSite(t, path)
	add := []sprout.Record{{Name: "dyn.lon1.example", Type: "A", Data: "10.0.0.77", TTL: 60, Source: sprout.UpdateRecord}}
	if err := s.store.UpdateNames(t.Context(), nil, add); err != nil {
		t.Fatal(err)
	}
	before, _ := s.zones.Zone("\x04lon1\x07example\x00")
	facts, err := s.store.Facts(10)
	if err != nil || len(facts) != 1 || facts[0].Kind != sprout.FactNames || !strings.Contains(string(facts[0].Body), "10.0.0.77") {
		t.Errorf("the centre will be told %v (%v)", facts, err)
	}
	if err := s.store.Close(); err != nil {
		t.Fatal(err)
	}
	again := newSite(t, path)
	if got := again.dig(t, "dyn.lon1.example.", dns.TypeA); got != "A 10.0.0.77" {
		t.Errorf("after a restart the name is %q", got)
	}
	after, _ := again.zones.Zone("\x04lon1\x07example\x00")
	if int32(after.Serial-before.Serial) < 0 {
		t.Errorf("the serial was %d and is %d after a restart", before.Serial, after.Serial)
	}
}

// Names come many at once: each changes the zone, and its serial. What a secondary saw last is
// not above what the zone has after a restart, nor is the next change.
func TestSerialsSurviveABatch(t *testing.T) {
	const origin = "\x04lon1\x07example\x00"
	path := filepath.Join(t.TempDir(), "site.db")
	s := newSite(t, path)
	applied, err := s.store.Applied()
	if err != nil {
		t.Fatal(err)
	}
	var batch []sprout.Change
	for i := range 100 {
		name := fmt.Sprintf("n%d.lon1.example", i)
		raw, err := json.Marshal(sprout.Record{Name: name, IP: netip.AddrFrom4([4]byte{10, 0, 0, byte(100 + i)}), TTL: 60})
		if err != nil {
			t.Fatal(err)
		}
		batch = append(batch, sprout.Change{Seq: applied + int64(i) + 1, Kind: sprout.ChangeRecord, Key: name, Body: raw})
	}
	if err := s.store.Apply(t.Context(), batch...); err != nil {
		t.Fatal(err)
	}
	before, _ := s.zones.Zone(origin)
	if err := s.store.Close(); err != nil {
		t.Fatal(err)
	}
	store, err := sitestore.Open(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	again := &site{store: store, zones: zone.New()}
	store.Publish(&builtin.Names{
		Zones: again.zones, Agent: []netip.Addr{netip.MustParseAddr("10.0.0.1")}, Policy: builtin.NewPolicy(), Log: slog.New(slog.DiscardHandler),
		Unseal: func(sealed []byte) (string, error) { return string(sealed), nil },
	})
	after, ok := again.zones.Zone(origin)
	if !ok || int32(after.Serial-before.Serial) < 0 {
		t.Errorf("the serial was %d and is %d after a restart", before.Serial, after.Serial)
	}
	again.apply(t, sprout.ChangeRecord, "more.lon1.example", sprout.Record{Name: "more.lon1.example", IP: netip.MustParseAddr("10.0.0.7"), TTL: 60})
	if next, _ := again.zones.Zone(origin); int32(next.Serial-before.Serial) <= 0 {
		t.Errorf("the serial was %d before the restart, and is %d after a change", before.Serial, next.Serial)
	}
}

// Who may not transfer gets nothing.
func TestTransferIsForWhoMay(t *testing.T) {
	s := newSite(t, filepath.Join(t.TempDir(), "site.db"))
	for name, c := range map[string]struct {
		key, algorithm, secret string
		good                   bool
	}{
		"the key":               {"ns2.", dns.HmacSHA256, testSecret, true},
		"no key":                {"", "", "", false},
		"a key for updates":     {"ddns.", dns.HmacSHA512, testSecret, false},
		"another secret":        {"ns2.", dns.HmacSHA256, "b3RoZXJvdGhlcm90aGVyb3RoZXJvdGhlcm90aGVyMTI=", false},
		"another algorithm":     {"ns2.", dns.HmacSHA512, testSecret, false},
		"a key that is unknown": {"other.", dns.HmacSHA256, testSecret, false},
	} {
		tr := &dns.Transfer{DialTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second}
		q := new(dns.Msg).SetAxfr("lon1.example.")
		if c.key != "" {
			q.SetTsig(c.key, c.algorithm, 300, time.Now().Unix())
			tr.TsigSecret = map[string]string{c.key: c.secret}
		}
		got := 0
		in, err := tr.In(q, s.at.String())
		for e := range in {
			if e.Error != nil {
				err = e.Error
			}
			got += len(e.RR)
		}
		if (got > 0) != c.good || (err == nil) != c.good {
			t.Errorf("%s: %d records, %v", name, got, err)
		}
	}
}

// Whom a policy names by addresses is served from these alone, with a key as without; an
// update takes a key as well.
func TestPoliciesHoldAddresses(t *testing.T) {
	s := newSite(t, filepath.Join(t.TempDir(), "site.db"))
	ask := func(q *dns.Msg, key, algorithm string) int {
		t.Helper()
		c := dns.Client{Net: "tcp", Timeout: 5 * time.Second}
		if key != "" {
			q.SetTsig(key, algorithm, 300, time.Now().Unix())
			c.TsigSecret = map[string]string{key: testSecret}
		}
		m, _, err := c.ExchangeContext(t.Context(), q, s.at.String())
		if err != nil {
			t.Fatal(err)
		}
		return m.Rcode
	}
	for from, want := range map[string]int{
		"10.9.0.0/16": dns.RcodeRefused, "127.0.0.0/8": dns.RcodeSuccess, "127.0.0.2/32": dns.RcodeRefused, "::1/128": dns.RcodeRefused,
	} {
		for _, keyed := range []bool{true, false} {
			policy, ns2, ddns := sprout.DNSPolicy{Transfer: []string{from}, Update: []string{from}}, "", ""
			if keyed {
				policy = sprout.DNSPolicy{Transfer: []string{"key:ns2@" + from}, Update: []string{"key:ddns@" + from}}
				ns2, ddns = "ns2.", "ddns."
			}
			s.apply(t, sprout.ChangeDNSPolicy, "sit_1", policy)
			if got := ask(new(dns.Msg).SetAxfr("lon1.example."), ns2, dns.HmacSHA256); got != want {
				t.Errorf("%+v: a transfer ends with %s, want %s", policy, dns.RcodeToString[got], dns.RcodeToString[want])
			}
			update := new(dns.Msg).SetUpdate("lon1.example.")
			update.Insert([]dns.RR{&dns.A{Hdr: dns.RR_Header{Name: "dyn.lon1.example.", Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: net.IPv4(10, 0, 0, 77)}})
			want := want
			if !keyed {
				want = dns.RcodeRefused // who is known by an address alone changes nothing
			}
			if got := ask(update, ddns, dns.HmacSHA512); got != want {
				t.Errorf("%+v: an update ends with %s, want %s", policy, dns.RcodeToString[got], dns.RcodeToString[want])
			}
		}
	}
}

// What is wrong with a signature is said as RFC 8945 section 5.2 has it, and an
// answer about clocks is signed and says the server's.
func TestWhatIsWrongWithASignature(t *testing.T) {
	s := newSite(t, filepath.Join(t.TempDir(), "site.db"))
	const other = "b3RoZXJvdGhlcm90aGVyb3RoZXJvdGhlcm90aGVyMTI="
	for name, c := range map[string]struct {
		key, algorithm, secret string
		off                    time.Duration // of the client's clock
		want                   uint16
	}{
		"nothing":           {"ns2.", dns.HmacSHA256, testSecret, 4 * time.Minute, dns.RcodeSuccess},
		"an unknown key":    {"other.", dns.HmacSHA256, testSecret, 0, dns.RcodeBadKey},
		"another algorithm": {"ns2.", dns.HmacSHA512, testSecret, 0, dns.RcodeBadKey},
		"another secret":    {"ns2.", dns.HmacSHA256, other, 0, dns.RcodeBadSig},
		"a slow clock":      {"ns2.", dns.HmacSHA256, testSecret, -6 * time.Minute, dns.RcodeBadTime},
		"a fast clock":      {"ns2.", dns.HmacSHA256, testSecret, 6 * time.Minute, dns.RcodeBadTime},
	} {
		q := new(dns.Msg).SetQuestion("lon1.example.", dns.TypeSOA)
		q.SetTsig(c.key, c.algorithm, 300, time.Now().Add(c.off).Unix())
		wire, mac, err := dns.TsigGenerate(q, c.secret, "", false)
		if err != nil {
			t.Fatal(err)
		}
		raw, m := exchange(t, s.at, wire), new(dns.Msg)
		if err := m.Unpack(raw); err != nil || m.IsTsig() == nil {
			t.Fatalf("%s: %v, %v", name, m, err)
		}
		said := m.IsTsig()
		if bad := c.want != dns.RcodeSuccess; (m.Rcode == dns.RcodeNotAuth) != bad || (len(m.Answer) == 0) != bad || said.Error != c.want {
			t.Errorf("%s: %v", name, m)
		}
		err = dns.TsigVerify(raw, c.secret, mac, false)
		switch c.want {
		case dns.RcodeSuccess:
			if err != nil {
				t.Errorf("%s: the answer's signature: %v", name, err)
			}
		case dns.RcodeBadTime:
			now, _ := strconv.ParseInt(said.OtherData, 16, 64)
			if said.MACSize != sha256.Size || time.Since(time.Unix(now, 0)).Abs() > time.Minute {
				t.Errorf("%s: a signature of %d bytes; the server's clock is %q", name, said.MACSize, said.OtherData)
			}
		default:
			if said.MACSize != 0 {
				t.Errorf("%s: the answer is signed", name)
			}
		}
	}
}

// exchange sends a message by UDP and returns the answer.
func exchange(t *testing.T, at netip.AddrPort, wire []byte) []byte {
	t.Helper()
	conn, err := net.Dial("udp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // a socket that is done with
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(wire); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	n, err := conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n]
}
