package builtin_test

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"sprout"
	sproutdns "sprout/dns"
	"sprout/dns/builtin"
	"sprout/dns/zone"
)

func signingKey(t *testing.T) sproutdns.SigningKey {
	t.Helper()
	secret, err := sproutdns.NewSigningSecret()
	if err != nil {
		t.Fatal(err)
	}
	k, err := sproutdns.ReadSigningKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// signed are the zones of lon1, signed, with a zone below another, names below
// names that have none, and an alias.
func signed(t *testing.T, keys ...sproutdns.SigningKey) *zone.DB {
	t.Helper()
	db := zone.New()
	l := zone.Layout{Domain: "lon1.example", Domains: []string{"sub.lon1.example"}, Agent: []netip.Addr{netip.MustParseAddr("10.0.0.1")}}
	for _, p := range []string{"10.0.0.0/24", "192.0.2.128/25", "2001:db8::/64"} {
		l.Subnets = append(l.Subnets, zone.Subnet{Prefix: netip.MustParsePrefix(p)})
	}
	db.Load(l, slices.Values(signedRecords), uint32(time.Now().Unix()-1000))
	db.Sign(keys, time.Now())
	return db
}

var signedRecords = []sprout.Record{
	{Name: "web-01.lon1.example", IP: netip.MustParseAddr("10.0.0.5"), TTL: 60},
	{Name: "web-02.lon1.example", IP: netip.MustParseAddr("192.0.2.130"), TTL: 60},
	{Name: "web.lon1.example", IP: netip.MustParseAddr("2001:db8::5"), TTL: 60},
	{Name: "deep.in.the.lon1.example", IP: netip.MustParseAddr("10.0.0.7"), TTL: 60},
	{Name: "below.sub.lon1.example", IP: netip.MustParseAddr("10.0.0.8"), TTL: 60},
	{Name: "www.lon1.example", Type: "CNAME", Data: "web-01.lon1.example", TTL: 60},
	{Name: "lon1.example", Type: "MX", Data: "10 web-01.lon1.example", TTL: 60},
	{Name: "lon1.example", Type: "MX", Data: "5 web-02.lon1.example", TTL: 60},
	{Name: "_sip._udp.lon1.example", Type: "SRV", Data: "0 5 5060 web-01.lon1.example", TTL: 60},
}

// everybody may transfer.
func everybody() *builtin.Policy {
	p := builtin.NewPolicy()
	p.Set(builtin.NewRules(sprout.DNSPolicy{Transfer: []string{"0.0.0.0/0"}}, nil, nil))
	return p
}

// transferred is a zone as AXFR gives it, or, with a serial, what IXFR leads to from
// the records that it had.
func transferred(t *testing.T, at netip.AddrPort, origin string, had []string, since uint32) (lines []string, serial uint32) {
	t.Helper()
	q := new(dns.Msg).SetAxfr(origin)
	if since != 0 {
		q = new(dns.Msg).SetIxfr(origin, since, "a.", "b.")
	}
	var tr dns.Transfer
	envelopes, err := tr.In(q, at.String())
	if err != nil {
		t.Fatal(err)
	}
	var all []dns.RR
	for e := range envelopes {
		if e.Error != nil {
			t.Fatalf("transfer of %s: %v", origin, e.Error)
		}
		all = append(all, e.RR...)
	}
	serial = all[0].(*dns.SOA).Serial
	if len(all) == 1 { // nothing changed
		return had, serial
	}
	if _, ok := all[min(1, len(all)-1)].(*dns.SOA); !ok || since == 0 {
		for _, rr := range all[:len(all)-1] {
			lines = append(lines, rr.String())
		}
		return lines, serial
	}
	lines = slices.Clone(had)
	add := true
	for _, rr := range all[1 : len(all)-1] {
		if _, ok := rr.(*dns.SOA); ok {
			add = !add
		}
		i := slices.Index(lines, rr.String())
		switch {
		case add:
			lines = append(lines, rr.String())
		case i < 0:
			t.Fatalf("%s: what goes was not there: %s", origin, rr)
		default:
			lines = slices.Delete(lines, i, i+1)
		}
	}
	return lines, serial
}

// verify has two programs that others wrote judge a zone.
func verify(t *testing.T, origin string, lines []string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "zone")
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range [][]string{{"dnssec-verify", "-z", "-o", origin, file}, {"ldns-verify-zone", file}} {
		if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s of %s: %v\n%s\n%s", c[0], origin, err, out, strings.Join(lines, "\n"))
		}
	}
}

func origins(db *zone.DB) (list []string) {
	for _, o := range db.Origins() {
		list = append(list, sproutdns.Unwire(o)+".")
	}
	return list
}

func needs(t *testing.T, programs map[string]string) {
	t.Helper()
	for program, pkg := range programs {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is missing: apt-get install %s", program, pkg)
		}
	}
}

// Every zone is signed as validators want it: at first, after every change, by
// AXFR and by IXFR, while keys change, and when signatures are made anew.
func TestSignedZonesAreVerified(t *testing.T) {
	needs(t, map[string]string{"dnssec-verify": "bind9-utils", "ldns-verify-zone": "ldnsutils"})
	one, other := signingKey(t), signingKey(t)
	db := signed(t, one)
	at := serveWith(t, builtin.ServerConfig{Zones: db, Rules: everybody()})
	had, serials := map[string][]string{}, map[string]uint32{}
	check := func(what string) {
		t.Helper()
		for _, o := range origins(db) {
			whole, serial := transferred(t, at, o, nil, 0)
			if was, ok := serials[o]; ok {
				changed, now := transferred(t, at, o, had[o], was)
				slices.Sort(changed)
				sorted := slices.Sorted(slices.Values(whole))
				if now != serial || !slices.Equal(changed, sorted) {
					t.Fatalf("%s: %s: by IXFR\n%s\nby AXFR\n%s", what, o, strings.Join(changed, "\n"), strings.Join(sorted, "\n"))
				}
				if int32(serial-was) < 0 {
					t.Fatalf("%s: the serial of %s falls from %d to %d", what, o, was, serial)
				}
			}
			had[o], serials[o] = whole, serial
			verify(t, o, whole)
		}
	}
	check("at first")
	now := uint32(time.Now().Unix())
	first := sprout.Record{Name: "aaa.lon1.example", IP: netip.MustParseAddr("10.0.0.9"), TTL: 60}
	last := sprout.Record{Name: "zzz.z.z.lon1.example", IP: netip.MustParseAddr("192.0.2.140"), TTL: 60}
	db.Change(nil, []sprout.Record{first, last}, now)
	check("names come")
	db.Change(signedRecords[:4], []sprout.Record{{Name: "web.lon1.example", Type: "TXT", Data: "now only a text", TTL: 5}}, now+1)
	check("names go, and one changes")
	db.Change([]sprout.Record{first, last}, signedRecords[:4], now+2)
	check("they are back")
	db.Sign([]sproutdns.SigningKey{one, other}, time.Now())
	check("a second key")
	db.Sign([]sproutdns.SigningKey{other}, time.Now())
	check("the second key alone")
	if n := db.Resign(time.Now()); n != 0 {
		t.Errorf("%d names are signed anew that are fresh", n)
	}
	if n := db.Resign(time.Now().Add(-2 * time.Hour)); n == 0 { // the clock was ahead
		t.Error("signatures that begin later than now stay")
	}
	check("the clock was set back")
	db.Sign(nil, time.Now())
	for _, o := range origins(db) {
		changed, _ := transferred(t, at, o, had[o], serials[o])
		for _, line := range changed {
			if slices.ContainsFunc([]string{"RRSIG", "NSEC", "DNSKEY", "\tDS\t"}, func(k string) bool { return strings.Contains(line, k) }) {
				t.Errorf("not signed any more, and it has %s", line)
			}
		}
	}
}

// Signatures are made anew while they are good for a week: a site that its centre
// does not reach goes on.
func TestSignaturesAreMadeAnew(t *testing.T) {
	needs(t, map[string]string{"ldns-verify-zone": "ldnsutils"})
	db := signed(t, signingKey(t))
	start := time.Now()
	at := serveWith(t, builtin.ServerConfig{Zones: db, Rules: everybody()})
	for day := range 40 {
		now := start.Add(time.Duration(day) * 24 * time.Hour)
		db.Resign(now)
		lines, _ := transferred(t, at, "lon1.example.", nil, 0)
		for _, line := range lines {
			rr, err := dns.NewRR(line)
			if err != nil {
				t.Fatal(err)
			}
			if s, ok := rr.(*dns.RRSIG); ok {
				if !s.ValidityPeriod(now) || !s.ValidityPeriod(now.Add(6*24*time.Hour)) {
					t.Fatalf("on day %d there is %s", day, line)
				}
			}
		}
	}
}

// unbound runs a validator that trusts the keys of zones at a server.
func unbound(t *testing.T, at netip.AddrPort, zones []string, key sproutdns.SigningKey) netip.AddrPort {
	t.Helper()
	dir, listen := t.TempDir(), freePort(t)
	var config strings.Builder
	fmt.Fprintf(&config, "server:\n interface: %s@%d\n port: %d\n do-daemonize: no\n username: \"\"\n chroot: \"\"\n directory: %q\n pidfile: \"\"\n use-syslog: no\n"+
		" do-not-query-localhost: no\n module-config: \"validator iterator\"\n verbosity: 1\n num-threads: 1\n access-control: 127.0.0.0/8 allow\n",
		listen.Addr(), listen.Port(), listen.Port(), dir)
	for _, z := range zones {
		fmt.Fprintf(&config, " local-zone: %q nodefault\n", z)
	}
	for _, z := range []string{"10.in-addr.arpa.", "2.0.192.in-addr.arpa.", "8.b.d.0.1.0.0.2.ip6.arpa."} {
		fmt.Fprintf(&config, " local-zone: %q nodefault\n", z)
	}
	for _, z := range zones { // a zone below another is trusted by what the other says of it
		if z != "sub.lon1.example." && !strings.HasPrefix(z, "128/25.") {
			fmt.Fprintf(&config, " trust-anchor: %q\n", key.DSRecord(strings.TrimSuffix(z, ".")))
		}
	}
	for _, z := range zones {
		fmt.Fprintf(&config, "stub-zone:\n name: %q\n stub-addr: %s@%d\n", z, at.Addr(), at.Port())
	}
	fmt.Fprint(&config, "remote-control:\n control-enable: no\n")
	file := filepath.Join(dir, "unbound.conf")
	if err := os.WriteFile(file, []byte(config.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command("unbound", "-d", "-p", "-c", file)
	c.Stdout, c.Stderr = log, log
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
		_ = log.Close()
		if t.Failed() {
			said, _ := os.ReadFile(log.Name())
			t.Logf("unbound said:\n%s\n%s", said, config.String())
		}
	})
	for late := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) { // it does not say when it listens
		if _, err := ask(t.Context(), listen, "lon1.example.", dns.TypeSOA); err == nil {
			return listen
		}
		if time.Now().After(late) {
			t.Fatal("unbound does not answer")
		}
	}
}

// A validator that others wrote believes every kind of answer, and that of what is
// not there; of zones signed with another key it believes nothing.
func TestUnboundValidates(t *testing.T) {
	needs(t, map[string]string{"unbound": "unbound"})
	key := signingKey(t)
	db := signed(t, key)
	at := serveWith(t, builtin.ServerConfig{Zones: db})
	resolver := unbound(t, at, origins(db), key)
	for _, c := range []struct {
		name  string
		kind  uint16
		rcode int
		found int
	}{
		{"web-01.lon1.example.", dns.TypeA, dns.RcodeSuccess, 1},
		{"WEB-01.lon1.EXAMPLE.", dns.TypeA, dns.RcodeSuccess, 1},
		{"web.lon1.example.", dns.TypeAAAA, dns.RcodeSuccess, 1},
		{"www.lon1.example.", dns.TypeA, dns.RcodeSuccess, 2},
		{"lon1.example.", dns.TypeMX, dns.RcodeSuccess, 2},
		{"lon1.example.", dns.TypeSOA, dns.RcodeSuccess, 1},
		{"lon1.example.", dns.TypeNS, dns.RcodeSuccess, 1},
		{"lon1.example.", dns.TypeDNSKEY, dns.RcodeSuccess, 1},
		{"sub.lon1.example.", dns.TypeDS, dns.RcodeSuccess, 1},
		{"below.sub.lon1.example.", dns.TypeA, dns.RcodeSuccess, 1},
		{"5.0.0.10.in-addr.arpa.", dns.TypePTR, dns.RcodeSuccess, 1},
		{"130.2.0.192.in-addr.arpa.", dns.TypePTR, dns.RcodeSuccess, 2}, // by an alias into the zone below
		{"web-01.lon1.example.", dns.TypeTXT, dns.RcodeSuccess, 0},
		{"in.the.lon1.example.", dns.TypeA, dns.RcodeSuccess, 0}, // it has no records, and a name below
		{"nobody.lon1.example.", dns.TypeA, dns.RcodeNameError, 0},
		{"a.b.c.lon1.example.", dns.TypeA, dns.RcodeNameError, 0},
		{"zzzz.lon1.example.", dns.TypeA, dns.RcodeNameError, 0},
		{"nobody.sub.lon1.example.", dns.TypeA, dns.RcodeNameError, 0},
	} {
		m, err := secured(resolver, c.name, c.kind)
		found := 0
		for _, rr := range append([]dns.RR(nil), m.Answer...) {
			if rr.Header().Rrtype != dns.TypeRRSIG {
				found++
			}
		}
		if err != nil || m.Rcode != c.rcode || !m.AuthenticatedData || found != c.found {
			t.Errorf("%s %s: %v\n%v", c.name, dns.TypeToString[c.kind], err, m)
		}
	}
	strange := unbound(t, at, origins(db), signingKey(t))
	if m, err := secured(strange, "web-01.lon1.example.", dns.TypeA); err != nil || m.Rcode != dns.RcodeServerFailure {
		t.Errorf("with another key it is believed: %v %v", m, err)
	}
}

func secured(at netip.AddrPort, name string, kind uint16) (*dns.Msg, error) {
	q := new(dns.Msg).SetQuestion(name, kind)
	q.SetEdns0(4096, true)
	c := dns.Client{Timeout: 10 * time.Second}
	m, _, err := c.Exchange(q, at.String())
	if m == nil {
		m = new(dns.Msg)
	}
	return m, err
}

// Without the DO bit a signed zone is answered as an unsigned one.
func TestWithoutDO(t *testing.T) {
	plain, sig := serveWith(t, builtin.ServerConfig{Zones: signed(t)}), serveWith(t, builtin.ServerConfig{Zones: signed(t, signingKey(t))})
	for _, name := range []string{"web-01.lon1.example.", "www.lon1.example.", "nobody.lon1.example.", "in.the.lon1.example."} {
		a, err := ask(t.Context(), plain, name, dns.TypeA)
		b, failed := ask(t.Context(), sig, name, dns.TypeA)
		if err != nil || failed != nil {
			t.Fatal(err, failed)
		}
		for _, m := range []*dns.Msg{a, b} {
			m.Id = 0
			for _, rr := range m.Ns {
				rr.(*dns.SOA).Serial = 0
			}
		}
		if a.String() != b.String() {
			t.Errorf("%s\n%s", a, b)
		}
	}
}
