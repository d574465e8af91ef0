package powerdns_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"sprout"
	"sprout/dns"
	"sprout/dns/builtin"
	"sprout/dns/dnstest"
	"sprout/dns/powerdns"
	"sprout/dns/powerdns/powerdnstest"
	"sprout/dns/zone"
)

// A site is one that PowerDNS answers for.
type site struct {
	zones    *zone.DB
	daemon   *powerdnstest.Daemon
	troubles *troubles
	serial   uint32
	has      map[string]sprout.Record
}

var domains = []string{"lon1.example", "x.example"}

// lay is what the site's zones are made of.
func lay(more ...string) zone.Layout {
	l := zone.Layout{Domain: domains[0], Domains: domains[1:], Agent: []netip.Addr{netip.MustParseAddr("10.0.0.1")}}
	for _, p := range append([]string{"10.0.0.0/24", "2001:db8::/64"}, more...) {
		l.Subnets = append(l.Subnets, zone.Subnet{Prefix: netip.MustParsePrefix(p)})
	}
	return l
}

func newSite(t *testing.T, d *powerdnstest.Daemon) *site {
	t.Helper()
	s := &site{zones: zone.New(), daemon: d, troubles: newTroubles(), serial: 100, has: map[string]sprout.Record{}}
	s.zones.Load(lay(), slices.Values([]sprout.Record(nil)), s.serial)
	return s
}

func (s *site) config(t *testing.T) powerdns.Config {
	return powerdns.Config{
		URL: s.daemon.URL, KeyFile: s.daemon.KeyFile, Site: "sit_1", Zones: s.zones, Trouble: s.troubles.set,
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Rest: time.Millisecond, Look: 200 * time.Millisecond,
	}
}

// run has the agent's side run; stop ends it.
func run(t *testing.T, c powerdns.Config) (s *powerdns.Server, stop func()) {
	t.Helper()
	s, err := powerdns.New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(stop)
	return s, stop
}

// set is what the site's store does.
func (s *site) set(r sprout.Record) {
	var old []sprout.Record
	if was, ok := s.has[r.Name]; ok {
		old = append(old, was)
	}
	s.has[r.Name] = r
	s.serial++
	s.zones.Change(old, []sprout.Record{r}, s.serial)
}

func (s *site) remove(name string) {
	if was, ok := s.has[name]; ok {
		delete(s.has, name)
		s.serial++
		s.zones.Change([]sprout.Record{was}, nil, s.serial)
	}
}

// ask asks PowerDNS itself.
func (s *site) ask(ctx context.Context, name string, kind uint16) (*mdns.Msg, error) {
	c := mdns.Client{Net: "tcp", Timeout: 5 * time.Second}
	m, _, err := c.ExchangeContext(ctx, new(mdns.Msg).SetQuestion(mdns.Fqdn(name), kind), s.daemon.DNS.String())
	return m, err
}

// follow waits until PowerDNS answers with the serials of the zones.
func (s *site) follow(ctx context.Context) error {
	for _, origin := range s.zones.Origins() {
		for tick := time.Tick(10 * time.Millisecond); ; <-tick { // it tells nobody when it has it
			want, _ := s.zones.Zone(origin)
			m, err := s.ask(ctx, dns.Unwire(origin), mdns.TypeSOA)
			if err == nil && len(m.Answer) == 1 && m.Answer[0].(*mdns.SOA).Serial == want.Serial {
				break
			}
			if ctx.Err() != nil {
				return fmt.Errorf("PowerDNS is not at serial %d of %s: %v %w", want.Serial, dns.Unwire(origin), m, err)
			}
		}
	}
	return nil
}

func (s *site) mustFollow(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := s.follow(ctx); err != nil {
		t.Fatal(err)
	}
}

// A whole is the way of a name from the centre's provider by the site's zones to
// PowerDNS, as a ledger of the first and asked of the last.
type whole struct{ sites map[sprout.SiteID]*site }

func (w whole) SetRecord(ctx context.Context, r sprout.Record) error {
	s := w.sites[r.Site]
	s.set(r)
	return s.follow(ctx)
}

func (w whole) DeleteRecord(ctx context.Context, id sprout.SiteID, name string) error {
	s := w.sites[id]
	s.remove(name)
	return s.follow(ctx)
}

// Record asks PowerDNS; a name of the site's must lead back to itself too.
func (w whole) Record(ctx context.Context, id sprout.SiteID, name string) (r sprout.Record, ok bool, err error) {
	for _, kind := range []uint16{mdns.TypeA, mdns.TypeAAAA} {
		m, err := w.sites[id].ask(ctx, name, kind)
		if err != nil {
			return r, false, err
		}
		for _, rr := range m.Answer {
			ip, _ := netip.ParseAddr(mdns.Field(rr, 1))
			r, ok = sprout.Record{Site: id, Name: name, IP: ip, TTL: int(rr.Header().Ttl)}, true
		}
	}
	if !ok {
		return r, false, nil
	}
	reverse, err := mdns.ReverseAddr(r.IP.String())
	if err != nil {
		return r, false, err
	}
	m, err := w.sites[id].ask(ctx, reverse, mdns.TypePTR)
	if err != nil || len(m.Answer) != 1 || m.Answer[0].(*mdns.PTR).Ptr != mdns.Fqdn(name) {
		return r, false, fmt.Errorf("%s does not lead back to %s: %v %w", r.IP, name, m, err)
	}
	return r, true, nil
}

// The contract is passed by the whole way: the centre's provider, the site's
// zones, and two PowerDNS that answer.
func TestContract(t *testing.T) {
	dnstest.Run(t, func(t *testing.T) (dns.Provider, sprout.SiteID, sprout.SiteID) {
		t.Helper()
		w := whole{map[sprout.SiteID]*site{}}
		for _, id := range []sprout.SiteID{"sit_one", "sit_two"} {
			d := powerdnstest.New(t)
			d.Start(t)
			s := newSite(t, d)
			w.sites[id] = s
			server, _ := run(t, s.config(t))
			<-server.Ready()
		}
		return builtin.New(w), "sit_one", "sit_two"
	})
}

// PowerDNS holds every zone as the agent does, whatever kinds of records there
// are, and follows changes of any of them.
func TestTheSameRecords(t *testing.T) {
	d := powerdnstest.New(t)
	d.Start(t)
	s := newSite(t, d)
	s.zones.Load(lay("192.0.2.128/25"), slices.Values([]sprout.Record(nil)), s.serial)
	for i, r := range []sprout.Record{
		{Name: "a.lon1.example", IP: netip.MustParseAddr("192.0.2.129"), TTL: 60},
		{Name: "t.lon1.example", Type: "TXT", Data: `a "quoted\" text; and ü ` + strings.Repeat("x", 300), TTL: 60},
		{Name: "_sip._udp.lon1.example", Type: "SRV", Data: "0 5 5060 a.lon1.example", TTL: 30},
		{Name: "lon1.example", Type: "MX", Data: "10 a.lon1.example", TTL: 3600},
		{Name: "b.lon1.example", Type: "CNAME", Data: "a.lon1.example", TTL: 60},
		{Name: "7.0.0.10.in-addr.arpa", Type: "PTR", Data: "a.lon1.example", TTL: 60},
	} {
		s.set(r)
		s.has[fmt.Sprint(i)] = r
	}
	server, _ := run(t, s.config(t))
	<-server.Ready()
	s.same(t)
	alias := s.has["b.lon1.example"]
	s.remove("b.lon1.example")
	s.set(sprout.Record{Name: alias.Name, IP: netip.MustParseAddr("10.0.0.9"), TTL: 60}) // in the alias's place
	s.remove("t.lon1.example")
	s.set(sprout.Record{Name: "a.lon1.example", IP: netip.MustParseAddr("192.0.2.130"), TTL: 90})
	s.same(t)
	s.zones.Load(lay("192.0.2.128/25", "10.1.0.0/24"), slices.Values([]sprout.Record{alias}), s.serial+100)
	s.same(t)
	s.zones.Load(lay(), slices.Values([]sprout.Record{alias}), s.serial+200)
	s.same(t)
	for late := time.Now().Add(20 * time.Second); strings.Contains(d.Ask(t, "GET", "/zones", nil), `"10.in-addr`) ||
		strings.Contains(d.Ask(t, "GET", "/zones", nil), "2.0.192"); {
		if time.Now().After(late) {
			t.Fatalf("zones that have gone are still there: %s", d.Ask(t, "GET", "/zones", nil))
		}
	}
}

// same compares every zone as PowerDNS transfers it with what the agent has.
func (s *site) same(t *testing.T) {
	t.Helper()
	s.mustFollow(t)
	for _, origin := range s.zones.Origins() {
		soa, items, _ := s.zones.Transfer(origin)
		var want, got []string
		for _, i := range append(items, soa) {
			rr, err := builtin.RR(i)
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, rr.String())
		}
		var tr mdns.Transfer
		envelopes, err := tr.In(new(mdns.Msg).SetAxfr(dns.Unwire(origin)+"."), s.daemon.DNS.String())
		if err != nil {
			t.Fatal(err)
		}
		for e := range envelopes {
			if e.Error != nil {
				t.Fatalf("transfer of %s: %v", dns.Unwire(origin), e.Error)
			}
			for _, rr := range e.RR {
				got = append(got, rr.String())
			}
		}
		slices.Sort(want)
		slices.Sort(got)
		if got = slices.Compact(got); !slices.Equal(got, want) {
			t.Fatalf("%s: PowerDNS has\n%s\nand the agent\n%s", dns.Unwire(origin), strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}
