package powerdns_test

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"sprout"
	"sprout/dns/powerdns"
	"sprout/dns/powerdns/powerdnstest"
	"sprout/dns/zone"
)

// troubles keeps what is wrong now, and wakes who waits for it.
type troubles struct {
	mu   sync.Mutex
	is   map[sprout.Code]string
	next chan struct{}
}

func newTroubles() *troubles {
	return &troubles{is: map[sprout.Code]string{}, next: make(chan struct{})}
}

func (w *troubles) set(code sprout.Code, reason, evidence string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.is, code)
	if reason != "" {
		w.is[code] = reason + ": " + evidence
	}
	close(w.next)
	w.next = make(chan struct{})
}

// await waits until there is the trouble, or is no more, and returns its words.
func (w *troubles) await(t *testing.T, code sprout.Code, is bool) string {
	t.Helper()
	late := time.After(30 * time.Second)
	for {
		w.mu.Lock()
		words, has, next := w.is[code], w.is[code] != "", w.next
		w.mu.Unlock()
		if has == is {
			return words
		}
		select {
		case <-next:
		case <-late:
			t.Fatalf("%s after 30 s: %t, want %t", code, has, is)
		}
	}
}

func host(name, ip string) sprout.Record {
	return sprout.Record{Name: name + ".lon1.example", IP: netip.MustParseAddr(ip), TTL: 60}
}

// PowerDNS is away, comes, is killed with changes in flight, and hangs: each time
// that is said, and what changed meanwhile is answered afterwards.
func TestPowerDNSComesAndGoes(t *testing.T) {
	d := powerdnstest.New(t)
	s := newSite(t, d)
	c := s.config(t)
	c.Takes = time.Second
	run(t, c)
	if words := s.troubles.await(t, sprout.PowerDNSUnreachable, true); !strings.Contains(words, "connection refused") {
		t.Errorf("it says %s", words)
	}
	s.set(host("a", "10.0.0.5"))
	d.Start(t)
	s.troubles.await(t, sprout.PowerDNSUnreachable, false)
	s.same(t)
	d.Stop(t)
	s.set(host("b", "10.0.0.6"))
	s.troubles.await(t, sprout.PowerDNSUnreachable, true)
	d.Start(t)
	s.troubles.await(t, sprout.PowerDNSUnreachable, false)
	s.same(t)
	d.Freeze(t)
	s.set(host("c", "10.0.0.7"))
	if words := s.troubles.await(t, sprout.PowerDNSUnreachable, true); !strings.Contains(words, "no answer within 1s") {
		t.Errorf("it says %s", words)
	}
	s.remove("a.lon1.example")
	d.Thaw(t)
	s.troubles.await(t, sprout.PowerDNSUnreachable, false)
	s.same(t)
}

// A wrong key is said, without the key; the right one, put into the file, heals it.
func TestWrongKey(t *testing.T) {
	d := powerdnstest.New(t)
	d.Start(t)
	s := newSite(t, d)
	const wrong = "some-other-key"
	write := func(key string) {
		if err := os.WriteFile(d.KeyFile, []byte(key), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var said strings.Builder
	c := s.config(t)
	c.Log = slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelDebug}))
	write("")
	_, stop := run(t, c)
	if words := s.troubles.await(t, sprout.PowerDNSRefused, true); !strings.Contains(words, "holds no key") {
		t.Errorf("without a key: %s", words)
	}
	write(wrong)
	for words := ""; !strings.Contains(words, "does not accept the key"); words = s.troubles.await(t, sprout.PowerDNSRefused, true) {
		if strings.Contains(words, wrong) {
			t.Fatalf("the key is told: %s", words)
		}
		time.Sleep(10 * time.Millisecond) // the words of a problem change without a signal
	}
	write(powerdnstest.Key)
	s.troubles.await(t, sprout.PowerDNSRefused, false)
	s.same(t)
	stop()
	if strings.Contains(said.String(), wrong) || strings.Contains(said.String(), powerdnstest.Key) {
		t.Errorf("a key is logged:\n%s", said.String())
	}
}

// A zone of somebody else's is left alone and does not hold up the others; it may
// be taken over. What others change in a zone of Sprout's is put back.
func TestSomebodyElse(t *testing.T) {
	d := powerdnstest.New(t)
	d.Start(t)
	d.Ask(t, "POST", "/zones", map[string]any{"name": "lon1.example.", "kind": "Native", "nameservers": []string{"ns.other."}})
	s := newSite(t, d)
	_, stop := run(t, s.config(t))
	if words := s.troubles.await(t, sprout.PowerDNSRefused, true); !strings.Contains(words, "lon1.example.") || !strings.Contains(words, "takeOver") {
		t.Errorf("it says %s", words)
	}
	s.set(sprout.Record{Name: "m.x.example", IP: netip.MustParseAddr("10.0.0.8"), TTL: 60})
	s.await(t, "m.x.example", "10.0.0.8")
	if has := d.Ask(t, "GET", "/zones/lon1.example.", nil); !strings.Contains(has, "ns.other.") {
		t.Errorf("somebody else's zone was changed: %s", has)
	}
	stop()
	c := s.config(t)
	c.TakeOver = true
	run(t, c)
	s.troubles.await(t, sprout.PowerDNSRefused, false)
	s.same(t)
	// The zone vanishes; it is made again.
	d.Ask(t, "DELETE", "/zones/x.example.", nil)
	s.troubles.await(t, sprout.PowerDNSChanged, true)
	s.same(t)
	// Somebody changes it, serial and all.
	d.Ask(t, "PATCH", "/zones/lon1.example.", map[string]any{"rrsets": []any{
		map[string]any{"name": "evil.lon1.example.", "type": "A", "ttl": 60, "changetype": "REPLACE", "records": []any{map[string]any{"content": "10.6.6.6"}}},
		map[string]any{"name": "lon1.example.", "type": "SOA", "ttl": 60, "changetype": "REPLACE", "records": []any{map[string]any{"content": "a. b. 9999 1 1 1 1"}}},
	}})
	s.same(t)
	if m, err := s.ask(t.Context(), "evil.lon1.example", mdns.TypeA); err != nil || m.Rcode != mdns.RcodeNameError {
		t.Errorf("what somebody else put there is answered: %v %v", m, err)
	}
}

// await waits until PowerDNS answers with an address.
func (s *site) await(t *testing.T, name, ip string) {
	t.Helper()
	for late := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) { // it tells nobody when it has it
		m, err := s.ask(t.Context(), name, mdns.TypeA)
		if err == nil && len(m.Answer) == 1 && mdns.Field(m.Answer[0], 1) == ip {
			return
		}
		if time.Now().After(late) {
			t.Fatalf("%s is not %s: %v %v", name, ip, m, err)
		}
	}
}

// The agent dies after any call, its answer heard or not: the next one, which
// knows nothing of it, brings PowerDNS to what shall be.
func TestKilledAfterAnyCall(t *testing.T) {
	d := powerdnstest.New(t)
	d.Start(t)
	target, err := url.Parse(d.URL)
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, d)
	for calls := int64(1); calls < 12; calls++ {
		var left atomic.Int64
		left.Store(calls)
		proxy := httputil.NewSingleHostReverseProxy(target)
		dead := make(chan struct{})
		front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch n := left.Add(-1); {
			case n > 0:
				proxy.ServeHTTP(w, r)
				return
			case n == 0: // PowerDNS does it, and the agent does not hear so
				proxy.ServeHTTP(httptest.NewRecorder(), r)
				close(dead)
			}
			panic(http.ErrAbortHandler)
		}))
		front.Config.ErrorLog = slog.NewLogLogger(slog.NewTextHandler(io.Discard, nil), slog.LevelError)
		c := s.config(t)
		c.URL = front.URL
		_, stop := run(t, c)
		s.set(host("a", "10.0.0."+string(rune('0'+calls%10))))
		s.zones.Load(lay([]string{"10.1.0.0/24", "10.2.0.0/24"}[calls%2]), func(yield func(sprout.Record) bool) {
			for _, r := range s.has {
				if !yield(r) {
					return
				}
			}
		}, s.serial)
		select {
		case <-dead:
		case <-time.After(20 * time.Second):
			t.Fatalf("call %d never came", calls)
		}
		stop()
		front.Close()
		_, stop = run(t, s.config(t))
		s.same(t)
		stop()
	}
}

func TestNewRefuses(t *testing.T) {
	good := powerdns.Config{URL: "http://127.0.0.1:8081", KeyFile: "/key", Site: "sit_1", Zones: zone.New()}
	if _, err := powerdns.New(good); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		field string
		spoil func(*powerdns.Config)
	}{
		"no URL":               {"dns.powerdns.url", func(c *powerdns.Config) { c.URL = "" }},
		"another scheme":       {"dns.powerdns.url", func(c *powerdns.Config) { c.URL = "ftp://127.0.0.1" }},
		"a secret in the URL":  {"dns.powerdns.url", func(c *powerdns.Config) { c.URL = "http://a:b@127.0.0.1" }},
		"the key in the clear": {"dns.powerdns.url", func(c *powerdns.Config) { c.URL = "http://192.0.2.1:8081" }},
		"no key":               {"dns.powerdns.keyFile", func(c *powerdns.Config) { c.KeyFile = "" }},
		"no zones":             {"zones", func(c *powerdns.Config) { c.Zones = nil }},
		"no site":              {"site", func(c *powerdns.Config) { c.Site = "" }},
	} {
		bad := good
		c.spoil(&bad)
		_, err := powerdns.New(bad)
		var wrong *sprout.Error
		if sprout.KindOf(err) != sprout.Invalid || !errors.As(err, &wrong) || wrong.Field != c.field {
			t.Errorf("%s: %v", name, err)
		}
	}
}
