package boot_test

import (
	"net/netip"
	"os/exec"
	"testing"

	"sprout"
	"sprout/dhcp/dhcptest"
)

// TestFirmwareBesideAnotherServer boots the same firmware where dnsmasq gives the
// addresses, and the agent only says what to boot.
func TestFirmwareBesideAnotherServer(t *testing.T) {
	if _, err := exec.LookPath("dnsmasq"); err != nil {
		t.Skip("dnsmasq is missing: apt-get install dnsmasq-base")
	}
	bootFirmware(t, func() sprout.Subnet {
		other := dhcptest.Veth(t, "sproutd", "10.0.1.1/24", "52:54:00:00:00:66")
		dhcptest.Command(t, "ip", "link", "set", "sproutd", "master", "sproutbr")
		other.Run(t, "ip", "addr", "add", "10.0.0.66/24", "dev", other.Device)
		server := other.Command(t, "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--port=0", "--interface="+other.Device, "--bind-interfaces",
			"--dhcp-range=10.0.0.150,10.0.0.159,10m", "--dhcp-leasefile="+t.TempDir()+"/leases", "--no-ping", "--pid-file=")
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _, _ = server.Process.Kill(), server.Wait() })
		return sprout.Subnet{ID: "sub_a", CIDR: netip.MustParsePrefix("10.0.0.0/24"), Discover: true, DHCP: sprout.DHCPProxy}
	})
}
