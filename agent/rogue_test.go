package agent

import (
	"encoding/json"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sprout"
	"sprout/dhcp/dhcptest"
	"sprout/dhcp/rogue"
	"sprout/health"
	"sprout/sitestore"
)

// A DHCP server that nobody named answers beside the agent: the agent's heartbeats say
// so, with the server's IP and MAC address.
func TestARogueServerIsATrouble(t *testing.T) {
	if _, err := exec.LookPath("dnsmasq"); err != nil {
		t.Skip("dnsmasq is missing: apt-get install dnsmasq-base")
	}
	if dhcptest.Isolate(t) {
		return
	}
	const mac = "52:54:00:00:0f:66"
	other, c := dhcptest.Veth(t, "sproutd", "10.0.0.1/24", mac), newCentre(t)
	other.Run(t, "ip", "addr", "add", "10.0.0.66/24", "dev", other.Device)
	server := other.Command(t, "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--port=0", "--interface="+other.Device, "--no-ping", "--pid-file=",
		"--dhcp-range=10.0.0.150,10.0.0.159,10m", "--dhcp-leasefile="+t.TempDir()+"/leases")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = server.Process.Kill(), server.Wait() })
	config := c.agentConfig()
	config.Interface, config.Address = "sproutd", netip.MustParsePrefix("10.0.0.1/24")
	runAgent(t, config)
	c.await("a heartbeat with both of its addresses", func([]sprout.Fact, int64) bool {
		return slices.ContainsFunc(c.troubles, func(t sprout.Trouble) bool {
			return t.Code == sprout.RogueDHCP && strings.Contains(t.Reason, "10.0.0.66") && strings.Contains(t.Reason, mac) && strings.Contains(t.Reason, "sproutd") && strings.Contains(t.Evidence, "OFFER of 10.0.0.15")
		})
	})
}

// A router and DHCPv6 server of a prefix that the network does not have: the agent's
// heartbeats name both, with their addresses and MAC addresses.
func TestARogueOfIPv6IsATrouble(t *testing.T) {
	if _, err := exec.LookPath("dnsmasq"); err != nil {
		t.Skip("dnsmasq is missing: apt-get install dnsmasq-base")
	}
	if dhcptest.Isolate(t) {
		return
	}
	const mac = "52:54:00:00:0f:67"
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/default/accept_dad", []byte("0"), 0); err != nil { // the first question goes out at once
		t.Fatal(err)
	}
	other, c := dhcptest.Veth(t, "sproutd", "10.0.0.1/24", mac), newCentre(t)
	other.Settle(t)
	dhcptest.Command(t, "ip", "addr", "add", "fd00:20::1/64", "dev", "sproutd", "nodad")
	other.Run(t, "ip", "addr", "add", "fd00:66::66/64", "dev", other.Device, "nodad")
	server := other.Command(t, "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--port=0", "--interface="+other.Device, "--no-ping", "--pid-file=",
		"--enable-ra", "--dhcp-range=fd00:66::150,fd00:66::159,64,10m", "--dhcp-leasefile="+t.TempDir()+"/leases")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = server.Process.Kill(), server.Wait() })
	config := c.agentConfig()
	config.Interface, config.Address, config.Address6 = "sproutd", netip.MustParsePrefix("10.0.0.1/24"), netip.MustParsePrefix("fd00:20::1/64")
	c.change(true, sprout.ChangeSubnet, "sub_6", sprout.Subnet{ID: "sub_6", Site: "sit_1", CIDR: netip.MustParsePrefix("fd00:20::/64")})
	runAgent(t, config)
	c.await("a heartbeat with the server and the router", func([]sprout.Fact, int64) bool {
		return slices.ContainsFunc(c.troubles, func(t sprout.Trouble) bool {
			return t.Code == sprout.RogueDHCP && strings.Count(t.Reason, "fe80::") == 2 && strings.Count(t.Reason, mac) == 2 &&
				strings.Contains(t.Evidence, "ADVERTISE") && strings.Contains(t.Evidence, "the prefix fd00:66::/64, which this network does not have")
		})
	})
}

// Who belongs beside the agent, and which routers do not.
func TestWhoBelongsThere(t *testing.T) {
	store, err := sitestore.Open(filepath.Join(t.TempDir(), "site.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close() //nolint:errcheck // of a test
	address := netip.MustParsePrefix("fd00:20::1/64")
	s := &site{store: store, config: Config{Address6: address, Interface: "eno1"}, troubles: &health.Troubles{Log: slog.New(slog.DiscardHandler)}}
	seq := int64(0)
	put := func(sub sprout.Subnet) {
		t.Helper()
		seq++
		raw, err := json.Marshal(sub)
		if err != nil {
			t.Fatal(err)
		}
		if err := store.Apply(t.Context(), sprout.Change{Seq: seq, Kind: sprout.ChangeSubnet, Key: string(sub.ID), Body: raw}); err != nil {
			t.Fatal(err)
		}
	}
	here := sprout.Subnet{ID: "sub_here", Network: "net_1", CIDR: netip.MustParsePrefix("fd00:20::/64"), Gateway: address.Addr()}
	put(here)
	put(sprout.Subnet{ID: "sub_beside", Network: "net_1", CIDR: netip.MustParsePrefix("fd00:21::/64"), DHCPServers: []string{"10.0.0.66", "52:54:00:00:0f:66"}})
	put(sprout.Subnet{ID: "sub_far", Network: "net_2", CIDR: netip.MustParsePrefix("10.9.0.0/24"), DHCP: sprout.DHCPOff})
	known := s.knownServers()
	slices.Sort(known)
	if want := []string{"10.0.0.66", "10.9.0.0/24", "52:54:00:00:0f:66"}; !slices.Equal(known, want) {
		t.Errorf("known are %v, want %v", known, want)
	}
	other := netip.MustParseAddr("fe80::66")
	advertises := func(lasts time.Duration, prefixes ...string) (r rogue.Router) {
		r.Address, r.Lasts = other, lasts
		for _, p := range prefixes {
			r.Prefixes = append(r.Prefixes, netip.MustParsePrefix(p))
		}
		return r
	}
	wrong := func(why string, r rogue.Router) {
		t.Helper()
		if got := s.wrongRouter(r); got != why && (why == "" || !strings.Contains(got, why)) {
			t.Errorf("%+v: %q, want %q", r, got, why)
		}
	}
	wrong("", advertises(0, "fd00:20::/64", "fd00:21::/64"))
	wrong("the prefix fd00:66::/64", advertises(0, "fd00:20::/64", "fd00:66::/64"))
	wrong("the gateway is fd00:20::1", advertises(time.Hour, "fd00:20::/64"))
	here.Gateway = other
	put(here)
	wrong("", advertises(time.Hour, "fd00:20::/64"))
	here.DHCP = sprout.DHCPOff // whoever serves there belongs there, by link-local addresses too
	put(here)
	if known := s.knownServers(); !slices.Contains(known, linkLocal) || !slices.Contains(known, "fd00:20::/64") {
		t.Errorf("known are %v", known)
	}
	s.config.Address6 = netip.Prefix{}
	wrong("", advertises(time.Hour, "fd00:66::/64"))

	s.sayRogues([]rogue.Server{{Address: other, MAC: "52:54:00:00:0f:66", Says: "ADVERTISE"}})
	list, _ := s.troubles.List()
	if len(list) != 1 || list[0].Code != sprout.RogueDHCP || !strings.Contains(list[0].Reason, "eno1: fe80::66") || !strings.Contains(list[0].Evidence, "ADVERTISE") {
		t.Errorf("it says %+v", list)
	}
	s.sayRogues(nil)
	if list, _ = s.troubles.List(); len(list) != 0 {
		t.Errorf("nobody is left, and it says %+v", list)
	}
}
