package builtin_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sprout"
	"sprout/dhcp/builtin"
	"sprout/dhcp/dhcptest"
)

// sharedSeed has two networks behind relays. Each is shared by two subnets: the
// relay's address is in the first, and leases are of the second.
func sharedSeed() dhcptest.Seed {
	range4 := func(first, last string) []sprout.Range {
		return []sprout.Range{{Kind: sprout.Dynamic, First: ip(first), Last: ip(last)}}
	}
	return dhcptest.Seed{Subnets: []sprout.Subnet{
		{ID: "sub_0", Network: "net_0", CIDR: netip.MustParsePrefix("10.0.0.0/24")},
		{ID: "sub_1", Network: "net_1", CIDR: netip.MustParsePrefix("10.1.0.0/24")},
		{ID: "sub_1b", Network: "net_1", CIDR: netip.MustParsePrefix("10.1.1.0/24"), Ranges: range4("10.1.1.100", "10.1.1.199")},
		{ID: "sub_2", Network: "net_2", CIDR: netip.MustParsePrefix("10.2.0.0/24")},
		{ID: "sub_2b", Network: "net_2", CIDR: netip.MustParsePrefix("10.2.1.0/24"), Ranges: range4("10.2.1.100", "10.2.1.199")},
	}}
}

// TestTwoRelays leases by two of ISC's relays at once, each with a client beyond
// it, in the networks that each relay's address is of.
func TestTwoRelays(t *testing.T) {
	installed(t, "dhcrelay", "isc-dhcp-relay")
	installed(t, "udhcpc", "udhcpc")
	if dhcptest.Isolate(t) {
		return
	}
	saved := make(chan sprout.Lease, 100)
	ledger := dhcptest.NewMemory(sharedSeed())
	ledger.OnSave = func(_ context.Context, l sprout.Lease) error {
		saved <- l
		return nil
	}
	dhcptest.Command(t, "ip", "link", "add", "sproutbr", "type", "bridge")
	dhcptest.Command(t, "ip", "addr", "add", "10.0.0.1/24", "dev", "sproutbr")
	dhcptest.Command(t, "ip", "link", "set", "sproutbr", "up")
	serve(t, builtin.Config{Interface: "sproutbr", Address: ip("10.0.0.1"), Ledger: ledger})
	macs := map[string]sprout.SubnetID{}
	for _, r := range []struct{ up, far, own, mac, client string }{
		{"up1", "far1", "10.0.0.2", "52:54:00:00:01:01", "52:54:00:00:02:01"}, {"up2", "far2", "10.0.0.3", "52:54:00:00:01:02", "52:54:00:00:02:02"},
	} {
		n := r.up[2:]
		relay := dhcptest.Veth(t, r.up, "192.168."+n+".1/30", r.mac)
		dhcptest.Command(t, "ip", "link", "set", r.up, "master", "sproutbr")
		client := dhcptest.Veth(t, r.far, "192.168.9.1/30", r.client)
		relay.Take(t, r.far)
		relay.Run(t, "sh", "-c", "ip addr add "+r.own+"/24 dev "+relay.Device+"; ip addr add 10."+n+".0.1/24 dev "+r.far+"; ip link set "+r.far+" up; echo 1 > /proc/sys/net/ipv4/ip_forward")
		dhcptest.Command(t, "ip", "route", "add", "10."+n+".0.0/16", "via", r.own)
		start(t, relay.Command(t, "dhcrelay", "-4", "-d", "-a", "-pf", filepath.Join(t.TempDir(), "pid"), "-id", r.far, "-iu", relay.Device, "10.0.0.1"))
		start(t, client.Command(t, "udhcpc", "-f", "-i", client.Device, "-s", "/bin/true", "-T", "1", "-t", "60"))
		macs[r.client] = sprout.SubnetID("sub_" + n + "b")
	}
	for deadline := time.After(60 * time.Second); len(macs) > 0; {
		select {
		case l := <-saved:
			if want, ok := macs[l.MAC]; ok && (l.Subnet != want || l.State != "bound") {
				t.Errorf("%+v, want one of %s", l, want)
			}
			delete(macs, l.MAC)
		case <-deadline:
			t.Fatalf("no lease for %v in 60 s", macs)
		}
	}
}

// networkd is how systemd-networkd is told to ask for an address.
const networkd = `[Match]
Name=%s
[Network]
DHCP=ipv4
LinkLocalAddressing=no
IPv6AcceptRA=no
[DHCPv4]
SendRelease=yes
`

// TestNetworkd leases to systemd-networkd, which names itself by an identifier of
// RFC 4361, and takes the lease back from it.
func TestNetworkd(t *testing.T) {
	const program = "/lib/systemd/systemd-networkd"
	if _, err := os.Stat(program); err != nil {
		t.Skipf("%v: apt-get install systemd", err)
	}
	if dhcptest.Isolate(t) {
		return
	}
	peer, saved, _ := wire(t, time.Hour)
	run := t.TempDir()
	if err := os.WriteFile(filepath.Join(run, "10-test.network"), []byte(fmt.Sprintf(networkd, peer.Device)), 0o644); err != nil {
		t.Fatal(err)
	}
	// It reads /run/systemd/network and writes beside it: in a namespace of mounts
	// of its own, which goes with it. Where /sys cannot be written it does not wait
	// for udev.
	script := "mount -t sysfs -o ro none /sys && mount -t tmpfs none /run && mkdir -p /run/systemd/network /run/systemd/netif/links /run/systemd/netif/leases /run/systemd/netif/lldp && " +
		"cp " + run + "/*.network /run/systemd/network/ && chmod -R a+rX /run/systemd/network && chown -R systemd-network:systemd-network /run/systemd/netif && exec " + program
	client := start(t, peer.Command(t, "unshare", "-m", "sh", "-c", script))
	first := next(t, saved, "bound")
	if len(first.ClientID) < 4 || first.ClientID[:2] != "ff" {
		t.Errorf("its identifier is %q: not of RFC 4361", first.ClientID)
	}
	select {
	case <-client.said("DHCPv4 address"):
	case <-time.After(20 * time.Second):
		t.Fatal("networkd took no ACK in 20 s")
	}
	if err := client.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if last := next(t, saved, "released"); last.IP != first.IP || last.ClientID != first.ClientID {
		t.Errorf("released %+v, leased %+v", last, first)
	}
}
