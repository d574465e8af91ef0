package builtin_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"sprout"
	"sprout/dhcp/builtin"
	"sprout/dhcp/dhcptest"
)

// captured is a client's message as it came, to the server that it speaks of: with
// a range that has what it asks for, and with its lease where it has one.
func captured(t *testing.T, wire []byte) (builtin.Request, builtin.Site) {
	t.Helper()
	from, to := netip.MustParseAddrPort("0.0.0.0:68"), ip("255.255.255.255")
	r, err := builtin.Parse(wire, from, to)
	if err != nil {
		t.Fatal(err)
	}
	set := seed()
	set.Subnets[0].Ranges = []sprout.Range{{Kind: sprout.Dynamic, First: ip("10.0.0.100"), Last: ip("10.0.0.199")}}
	if !r.Packet.GatewayIPAddr.IsUnspecified() {
		set = sharedSeed()
	}
	ledger, s := dhcptest.NewMemory(set), site(t)
	s.Ledger = ledger
	if server, ok := netip.AddrFromSlice(r.Packet.Options[54]); ok {
		s.Address = server
	}
	if mine, ok := netip.AddrFromSlice(r.Packet.ClientIPAddr.To4()); ok && !mine.IsUnspecified() {
		r.From, r.To = netip.AddrPortFrom(mine, 68), s.Address
		l := leaseOf(mine.String(), r.MAC(), "bound", time.Minute)
		if key := builtin.Decide(r, s).Key; key != r.MAC() {
			l.ClientID = key
		}
		if err := ledger.SaveLeases(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	return r, s
}

// TestCaptures answers what real clients said, as they said it: udhcpc, dhclient,
// systemd-networkd, ISC's relay, iPXE and OVMF.
func TestCaptures(t *testing.T) {
	boots := map[string]string{"ovmf-discover": "snponly.efi", "ovmf-request": "snponly.efi", "ipxe-discover": "http://10.0.0.1:8080/boot/52-54-00-00-0b-01.ipxe", "ipxe-request": "http://10.0.0.1:8080/boot/52-54-00-00-0b-01.ipxe"}
	for name, wire := range dhcptest.Captures(t) {
		t.Run(name, func(t *testing.T) {
			r, s := captured(t, wire)
			a := builtin.Decide(r, s)
			sound(t, a)
			asks, _ := netip.AddrFromSlice(r.Packet.Options[50])
			if !asks.IsValid() {
				asks, _ = netip.AddrFromSlice(r.Packet.ClientIPAddr.To4())
			}
			switch got := outcome(a); r.Packet.MessageType() {
			case discover:
				if !strings.HasPrefix(got, "OFFER 10.") {
					t.Errorf("got %q: %s", got, a.Reason)
				}
			case request:
				if got != "ACK "+asks.String() || a.Lease == nil || a.Lease.IP != asks || a.Lease.State != "bound" {
					t.Errorf("got %q, want %s, and keeps %+v: %s", got, asks, a.Lease, a.Reason)
				}
			case dhcpv4.MessageTypeRelease:
				if got != "" || a.Lease == nil || a.Lease.IP != asks || a.Lease.State != "released" {
					t.Errorf("got %q, and keeps %+v: %s", got, a.Lease, a.Reason)
				}
			default:
				t.Errorf("a %s", r.Packet.MessageType())
			}
			if strings.HasPrefix(name, "networkd") && !strings.HasPrefix(a.Key, "ff") {
				t.Errorf("its key is %q, not an identifier of RFC 4361", a.Key)
			}
			if a.Reply != nil && a.Reply.BootFileName != boots[name] {
				t.Errorf("it boots %q, want %q: %s", a.Reply.BootFileName, boots[name], a.Reason)
			}
		})
	}
}
