package builtin_test

import (
	"context"
	"fmt"
	"net"
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
	"sprout/dns/builtin"
	"sprout/dns/zone"
)

const testSecret = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U="

// secondaryOf are the rules of a site that a secondary at the address follows.
func secondaryOf(at netip.AddrPort) *builtin.Rules {
	return builtin.NewRules(sprout.DNSPolicy{
		Transfer: []string{"key:ns2"}, Notify: []string{"key:ns2@" + at.String()},
	}, []builtin.Key{{Name: "ns2", Algorithm: "hmac-sha256", Secret: testSecret}}, nil)
}

// freePort takes a port that is free in UDP and TCP, until it is used.
func freePort(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // it is for its port
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// nsd runs NSD as a secondary of the zones at a primary.
func nsd(t *testing.T, at, primary netip.AddrPort, origins []string) {
	t.Helper()
	dir := t.TempDir()
	config := fmt.Sprintf("server:\n server-count: 1\n ip-address: %s@%d\n username: \"\"\n chroot: \"\"\n zonesdir: %q\n database: \"\"\n"+
		" pidfile: \"\"\n xfrdir: %q\n xfrdfile: %q\n zonelistfile: %q\n rrl-ratelimit: 0\n xfrd-reload-timeout: 0\n verbosity: 2\n"+
		"remote-control:\n control-enable: no\nkey:\n name: ns2\n algorithm: hmac-sha256\n secret: %q\n",
		at.Addr(), at.Port(), dir, dir, filepath.Join(dir, "xfrd"), filepath.Join(dir, "list"), testSecret)
	for _, o := range origins {
		config += fmt.Sprintf("zone:\n name: %q\n allow-notify: 127.0.0.1 ns2\n request-xfr: %s@%d ns2\n", o, primary.Addr(), primary.Port())
	}
	file := filepath.Join(dir, "nsd.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command("nsd", "-d", "-c", file)
	c.Stdout, c.Stderr = log, log
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
		_ = c.Wait()
		_ = log.Close()
		if t.Failed() {
			said, _ := os.ReadFile(log.Name())
			t.Logf("nsd said:\n%s", said)
		}
	})
}

// ask sends a query and waits for the answer.
func ask(ctx context.Context, at netip.AddrPort, name string, kind uint16) (*dns.Msg, error) {
	c := dns.Client{Net: "tcp", Timeout: 5 * time.Second}
	m, _, err := c.ExchangeContext(ctx, new(dns.Msg).SetQuestion(name, kind), at.String())
	return m, err
}

// follows waits until a secondary has what the zones are at now.
func follows(t *testing.T, at netip.AddrPort, db *zone.DB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, origin := range db.Origins() {
		name, _, _ := dns.UnpackDomainName([]byte(origin), 0)
		for tick := time.Tick(50 * time.Millisecond); ; <-tick { // it tells nobody when it has it
			want, _ := db.Zone(origin)
			m, err := ask(ctx, at, name, dns.TypeSOA)
			if err == nil && len(m.Answer) == 1 && m.Answer[0].(*dns.SOA).Serial == want.Serial {
				break
			}
			if ctx.Err() != nil {
				t.Fatalf("the secondary is not at serial %d of %s: %v %v", want.Serial, name, m, err)
			}
		}
	}
}

// A real secondary transfers every zone, follows a change by NOTIFY and IXFR,
// and answers what the agent does for every name.
func TestNSDIsASecondary(t *testing.T) {
	if _, err := exec.LookPath("nsd"); err != nil {
		t.Skip("nsd is missing: apt-get install nsd")
	}
	db, policy, heard := lon1(), builtin.NewPolicy(), &heard{}
	at := serveWith(t, builtin.ServerConfig{Zones: db, Rules: policy, Log: heard.log()})
	second := freePort(t)
	var origins []string
	for _, o := range db.Origins() {
		name, _, _ := dns.UnpackDomainName([]byte(o), 0)
		origins = append(origins, name)
	}
	policy.Set(secondaryOf(second))
	nsd(t, second, at, origins)
	follows(t, second, db)
	sameAnswers(t, db, at, second)
	if n := heard.count("type=IXFR"); n > 0 {
		t.Logf("%d zones came by IXFR at first", n)
	}

	heard.reset()
	host := sprout.Record{Name: "new.lon1.example", IP: netip.MustParseAddr("192.0.2.140"), TTL: 60}
	db.Change(nil, []sprout.Record{host}, 1000)
	gone := sprout.Record{Name: "web-01.lon1.example", IP: netip.MustParseAddr("10.0.0.5"), TTL: 60}
	db.Change([]sprout.Record{gone}, nil, 1001)
	follows(t, second, db)
	sameAnswers(t, db, at, second)
	if heard.count("type=IXFR") == 0 || heard.count("type=AXFR") > 0 {
		t.Errorf("the change was not followed by IXFR: %s", heard.all())
	}
}

// sameAnswers asks both for every name of every zone, and one that is missing.
func sameAnswers(t *testing.T, db *zone.DB, one, other netip.AddrPort) {
	t.Helper()
	asked := 0
	for _, origin := range db.Origins() {
		_, items, _ := db.Transfer(origin)
		owners := map[string]bool{"\x07missing" + origin: true}
		for _, i := range items {
			owners[i.Owner] = true
		}
		for owner := range owners {
			name, _, _ := dns.UnpackDomainName([]byte(owner), 0)
			for _, kind := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypePTR, dns.TypeCNAME, dns.TypeTXT, dns.TypeSRV, dns.TypeMX, dns.TypeSOA, dns.TypeNS} {
				a, err := ask(t.Context(), one, name, kind)
				if err != nil {
					t.Fatal(err)
				}
				b, err := ask(t.Context(), other, name, kind)
				if err != nil {
					t.Fatal(err)
				}
				if x, y := said(a, db, name), said(b, db, name); x != y {
					t.Fatalf("%s %s:\nagent: %s\nnsd:   %s", name, dns.TypeToString[kind], x, y)
				}
				asked++
			}
		}
	}
	t.Logf("%d questions are answered the same", asked)
}

// said writes what an answer says: its code, its answers up to where an alias
// leaves the zone (what is behind it NSD leaves to who asks), and the SOA of
// "there is none".
func said(m *dns.Msg, db *zone.DB, name string) string {
	origin := originOf(db, name)
	rcode, left := dns.RcodeToString[m.Rcode], false
	var lines []string
	for _, rr := range m.Answer {
		if originOf(db, rr.Header().Name) == origin {
			lines = append(lines, strings.ToLower(rr.String()))
		}
		if alias, ok := rr.(*dns.CNAME); ok && originOf(db, alias.Target) != origin {
			left = true
		}
	}
	if left {
		rcode = "alias"
	}
	for _, rr := range m.Ns {
		if _, ok := rr.(*dns.SOA); ok && !left {
			lines = append(lines, strings.ToLower(rr.String()))
		}
	}
	slices.Sort(lines)
	return rcode + " " + strings.Join(lines, "|")
}

func originOf(db *zone.DB, name string) string {
	wire := make([]byte, 256)
	n, err := dns.PackDomainName(strings.ToLower(name), wire, 0, nil, false)
	if err != nil {
		return ""
	}
	at, _ := db.Look(string(wire[:n]))
	return at.Zone.Origin
}
