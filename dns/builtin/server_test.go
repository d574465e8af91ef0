package builtin_test

import (
	"context"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"sprout/dns/builtin"
)

// serve runs a name server for the test and returns where it listens.
func serve(t *testing.T) netip.AddrPort {
	t.Helper()
	return serveWith(t, builtin.ServerConfig{Zones: lon1()})
}

func serveWith(t *testing.T, c builtin.ServerConfig) netip.AddrPort {
	t.Helper()
	if c.Addresses == nil {
		c.Addresses = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}
	}
	s, err := builtin.NewServer(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	select {
	case <-s.Ready():
	case err := <-ended:
		ended <- nil
		t.Fatal(err)
	case <-time.After(10 * time.Second):
		t.Fatal("not ready after 10 s")
	}
	return s.Addr()
}

func TestDig(t *testing.T) {
	dig, err := exec.LookPath("dig")
	if err != nil {
		t.Skip("dig is missing: apt-get install bind9-dnsutils")
	}
	at := serve(t)
	for _, c := range []struct {
		args string
		want []string
		not  string
	}{
		{"web-01.lon1.example", []string{"status: NOERROR", "flags: qr aa rd;", "10.0.0.5", "EDNS: version: 0"}, "SOA"},
		{"web-01.lon1.example +tcp", []string{"status: NOERROR", "10.0.0.5", "(TCP)"}, "SOA"},
		{"web-01.lon1.example AAAA", []string{"status: NOERROR", "2001:db8::5"}, "SOA"},
		{"db-01.lon1.example AAAA", []string{"status: NOERROR", "ANSWER: 0", "AUTHORITY: 1", "SOA"}, ""},
		{"no.lon1.example", []string{"status: NXDOMAIN", "AUTHORITY: 1", "SOA"}, ""},
		{"-x 10.0.0.5", []string{"status: NOERROR", "web-01.lon1.example."}, "SOA"},
		{"-x 10.0.0.6", []string{"status: NXDOMAIN", "SOA"}, ""},
		{"-x 2001:db8::5", []string{"status: NOERROR", "web-01.lon1.example."}, "SOA"},
		{"www.debian.org", []string{"status: REFUSED"}, "SOA"},
		{"many.lon1.example +noedns +ignore", []string{"flags: qr aa tc rd"}, ""},
		{"version.bind CH TXT", []string{"status: REFUSED"}, ""},
		{"lon1.example NS", []string{"agent.lon1.example.", "10.0.0.1", "ADDITIONAL: 2"}, ""},
		{"web-01.lon1.example +opcode=STATUS", []string{"status: NOTIMP"}, ""},
		{"web-01.lon1.example +edns=1 +noednsneg", []string{"status: BADVERS"}, ""},
		{"many.lon1.example", []string{"(TCP)", "ANSWER: 90", "10.0.0.189"}, "tc"},
		{"web-01.lon1.example +noedns", []string{"10.0.0.5"}, "EDNS"},
	} {
		args := append([]string{"@" + at.Addr().String(), "-p", strconv.Itoa(int(at.Port())), "+tries=1", "+time=5"}, strings.Fields(c.args)...)
		out, err := exec.CommandContext(t.Context(), dig, args...).CombinedOutput()
		if err != nil {
			t.Errorf("dig %s: %v\n%s", c.args, err, out)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(string(out), want) {
				t.Errorf("dig %s: no %q in\n%s", c.args, want, out)
			}
		}
		if c.not != "" && strings.Contains(string(out), c.not) {
			t.Errorf("dig %s: there should be no %q in\n%s", c.args, c.not, out)
		}
	}
}

func TestServeSaysWhyItCannot(t *testing.T) {
	taken := serve(t)
	s, err := builtin.NewServer(builtin.ServerConfig{Addresses: []netip.AddrPort{taken}, Zones: lon1()})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(t.Context()); err == nil || !strings.Contains(err.Error(), "cannot serve names on 127.0.0.1") {
		t.Errorf("Serve on a taken port: %v", err)
	}
}
