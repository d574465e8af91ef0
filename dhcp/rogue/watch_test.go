package rogue_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sprout/dhcp/dhcptest"
	"sprout/dhcp/rogue"
)

const rogueMAC = "52:54:00:00:00:66"

// TestWatch hears a dnsmasq that nobody wanted, of both versions of IP, with its
// addresses and its MAC address; is content with it once it is known; and forgets
// it after it has gone.
func TestWatch(t *testing.T) {
	if _, err := exec.LookPath("dnsmasq"); err != nil {
		t.Skip("dnsmasq is missing: apt-get install dnsmasq-base")
	}
	if dhcptest.Isolate(t) {
		return
	}
	other := dhcptest.Veth(t, "sproutd", "10.0.0.1/24", rogueMAC)
	other.Run(t, "ip", "addr", "add", "10.0.0.66/24", "dev", other.Device)
	other.Run(t, "ip", "addr", "add", "fd00:20::66/64", "dev", other.Device, "nodad")
	var known atomic.Pointer[[]string]
	known.Store(&[]string{})
	said := make(chan []rogue.Server, 64)
	w := rogue.New(rogue.Config{
		Interface: "sproutd", Own: []netip.Addr{netip.MustParseAddr("10.0.0.1")}, Known: func() []string { return *known.Load() },
		Say: func(list []rogue.Server) { said <- slices.Clone(list) }, Every: 200 * time.Millisecond, Forget: 2 * time.Second,
	})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	server := other.Command(t, "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--port=0", "--interface="+other.Device, "--no-ping", "--pid-file=",
		"--dhcp-range=10.0.0.150,10.0.0.159,10m", "--dhcp-range=fd00:20::150,fd00:20::159,64,10m", "--dhcp-leasefile="+t.TempDir()+"/leases")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, said, "both are heard", func(list []rogue.Server) bool {
		return len(list) == 2 && list[0].Address.String() == "10.0.0.66" && list[0].MAC == rogueMAC && strings.HasPrefix(list[0].Says, "OFFER of 10.0.0.15") &&
			list[1].Address.IsLinkLocalUnicast() && list[1].MAC == rogueMAC && strings.HasPrefix(list[1].Says, "ADVERTISE")
	})
	known.Store(&[]string{"10.0.0.66"})
	await(t, said, "only that of IPv6 is left", func(list []rogue.Server) bool { return len(list) == 1 && list[0].Address.Is6() })
	known.Store(&[]string{})
	await(t, said, "both are back", func(list []rogue.Server) bool { return len(list) == 2 })
	known.Store(&[]string{rogueMAC})
	await(t, said, "its MAC address is known", func(list []rogue.Server) bool { return len(list) == 0 })
	known.Store(&[]string{})
	await(t, said, "both are back again", func(list []rogue.Server) bool { return len(list) == 2 })
	_, _ = server.Process.Kill(), server.Wait()
	await(t, said, "it has gone", func(list []rogue.Server) bool { return len(list) == 0 })
	w.Named(netip.MustParseAddr("10.0.0.77"))
	await(t, said, "a client names one", func(list []rogue.Server) bool {
		return len(list) == 1 && strings.Contains(list[0].String(), "10.0.0.77 (its MAC address was not seen")
	})
	w.Named(netip.MustParseAddr("10.0.0.1"))
	await(t, said, "it is not named any more", func(list []rogue.Server) bool { return len(list) == 0 })
}

// TestRouters hears a router of a prefix that does not belong there, at once though
// it advertises rarely, and is content with one of the right prefix. A DHCPv6 server
// that clients name by its DUID is the one that was heard with it.
func TestRouters(t *testing.T) {
	if _, err := exec.LookPath("dnsmasq"); err != nil {
		t.Skip("dnsmasq is missing: apt-get install dnsmasq-base")
	}
	if dhcptest.Isolate(t) {
		return
	}
	other := dhcptest.Veth(t, "sproutd", "10.0.0.1/24", rogueMAC)
	other.Run(t, "ip", "addr", "add", "fd00:66::66/64", "dev", other.Device, "nodad")
	var right atomic.Pointer[netip.Prefix]
	right.Store(&netip.Prefix{})
	said := make(chan []rogue.Server, 64)
	w := rogue.New(rogue.Config{
		Interface: "sproutd", Known: func() []string { return nil }, Say: func(list []rogue.Server) { said <- slices.Clone(list) },
		Wrong: func(r rogue.Router) string {
			if slices.Contains(r.Prefixes, *right.Load()) {
				return ""
			}
			return fmt.Sprint("it advertises ", r.Prefixes)
		},
		Every: 500 * time.Millisecond, Forget: 4 * time.Second,
	})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	server := other.Command(t, "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--port=0", "--interface="+other.Device, "--no-ping", "--pid-file=",
		"--enable-ra", "--dhcp-range=fd00:66::150,fd00:66::159,64,10m", "--dhcp-leasefile="+t.TempDir()+"/leases")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = server.Process.Kill(), server.Wait() })
	duid := ""
	await(t, said, "the router and the server are heard", func(list []rogue.Server) bool {
		router := slices.IndexFunc(list, func(s rogue.Server) bool { return s.Router })
		served := slices.IndexFunc(list, func(s rogue.Server) bool { return s.DUID != "" })
		if router < 0 || served < 0 {
			return false
		}
		duid = list[served].DUID
		return len(list) == 2 && list[router].MAC == rogueMAC && list[router].Says == "it advertises [fd00:66::/64]"
	})
	raw, err := hex.DecodeString(duid)
	if err != nil {
		t.Fatal(err)
	}
	w.Named6(raw)
	w.Named6([]byte{0, 3, 0, 1, 0x52, 0x54, 0, 0, 0, 0x77}) // RFC 8415 section 11.4
	await(t, said, "another server is named", func(list []rogue.Server) bool {
		return len(list) == 3 && slices.ContainsFunc(list, func(s rogue.Server) bool {
			return s.String() == "DUID 00030001525400000077 (52:54:00:00:00:77)"
		})
	})
	prefix := netip.MustParsePrefix("fd00:66::/64")
	right.Store(&prefix)
	await(t, said, "the router is right", func(list []rogue.Server) bool {
		return len(list) == 1 && list[0].DUID == duid
	})
	_ = server.Process.Kill()
	await(t, said, "it has gone", func(list []rogue.Server) bool { return len(list) == 0 })
}

// await waits until what was said is as wanted.
func await(t *testing.T, said <-chan []rogue.Server, what string, as func([]rogue.Server) bool) {
	t.Helper()
	var last []rogue.Server
	for deadline := time.After(30 * time.Second); ; {
		select {
		case last = <-said:
			if as(last) {
				return
			}
		case <-deadline:
			t.Fatalf("%s: not within 30 s; last %v", what, last)
		}
	}
}
