package builtin_test

import (
	"net/netip"
	"strings"
	"testing"

	"sprout/dhcp/builtin"
	"sprout/dhcp/dhcptest"
)

// TestCaptures answers what real clients said, as they said it: udhcpc, dhclient,
// systemd-networkd, ISC's relay, iPXE and OVMF.
func TestCaptures(t *testing.T) {
	for name, wire := range dhcptest.Captures(t) {
		t.Run(name, func(t *testing.T) {
			r, err := builtin.Parse(wire, netip.MustParseAddrPort("0.0.0.0:68"), ip("255.255.255.255"))
			if err != nil {
				t.Fatal(err)
			}
			s := site(t)
			if !r.Packet.GatewayIPAddr.IsUnspecified() {
				s.Ledger = dhcptest.NewMemory(sharedSeed())
			}
			a := builtin.Decide(r, s)
			said := strings.Split(name, "-")
			want, ok := map[string]string{"discover": "OFFER", "release": "", "request": "ACK"}[said[len(said)-1]]
			if got := outcome(a); ok && want != "ACK" && !strings.HasPrefix(got, want) || a.Reason == "" {
				t.Errorf("got %q: %s", got, a.Reason)
			}
			if strings.HasPrefix(name, "networkd") && !strings.HasPrefix(a.Key, "ff") {
				t.Errorf("its key is %q, not an identifier of RFC 4361", a.Key)
			}
			for firmware, file := range map[string]string{"ovmf-discover": "snponly.efi", "bios-discover": "undionly.kpxe", "ipxe-discover": ".ipxe"} {
				if name == firmware && (a.Reply == nil || !strings.HasSuffix(a.Reply.BootFileName, file)) {
					t.Errorf("it boots %v: %s", a.Reply, a.Reason)
				}
			}
		})
	}
}
