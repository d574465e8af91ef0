package builtin6_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"sprout/dhcp/builtin6"
	"sprout/dhcp/dhcptest"
)

// TestCaptures answers what OVMF and iPXE really say. One machine, three DUIDs and
// four IAIDs; the address is one. Its server was another.
func TestCaptures(t *testing.T) {
	from := netip.MustParseAddrPort("[fe80::5054:ff:fe00:9]:546")
	want := map[string]string{
		"ovmf-ip6config-solicit": "offers fd00:20::102: a free address of the dynamic range; known by",
		"ovmf-pxe-solicit":       "offers fd00:20::102: a free address of the dynamic range; x86-64 UEFI loads snponly.efi, to be discovered; known by",
		"ovmf-http-solicit":      "offers fd00:20::102: a free address of the dynamic range; x86-64 UEFI HTTP fetches snponly.efi, to be discovered; known by",
		"ipxe-solicit":           "offers fd00:20::102: a free address of the dynamic range; its iPXE fetches the boot script, to be discovered; known by",
	}
	for name, wire := range dhcptest.Captures(t) {
		r, err := builtin6.Parse(wire, from, ip("ff02::1:2"))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		a := builtin6.Decide(r, site(t))
		if expected := want[name]; !strings.HasPrefix(a.Reason, expected) {
			t.Errorf("%s: %s", name, a.Reason)
		}
		if _, ok := want[name]; !ok && !strings.Contains(a.Reason, "another server") && !strings.Contains(name, "dhclient") && !strings.Contains(name, "dhcrelay") {
			t.Errorf("%s: %s; it was said to another server", name, a.Reason)
		}
	}
}

// FuzzParse reads whatever comes.
func FuzzParse(f *testing.F) {
	for _, wire := range dhcptest.Captures(f) {
		f.Add(wire)
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		r, err := builtin6.Parse(wire, netip.MustParseAddrPort("[fe80::1]:546"), ip("ff02::1:2"))
		if err == nil && r.Message == nil {
			t.Error("neither a message nor an error")
		}
	})
}

// FuzzDecide holds whatever is answered to what no answer may break: it goes to
// who asked, gives only free addresses of the site, and leases what it gives.
func FuzzDecide(f *testing.F) {
	for _, wire := range dhcptest.Captures(f) {
		f.Add(wire, true)
		f.Add(wire, false)
		forwarded := append([]byte{12, 0, 15: 1, 18: 0xfe, 19: 0x80, 33: 9}, 0, 9, byte(len(wire)>>8), byte(len(wire)))
		f.Add(append(forwarded, wire...), false)
	}
	s := site(f, bound("fd00:20::102", other), leaseOf("fd00:20::103", other, "declined", time.Minute))
	f.Fuzz(func(t *testing.T, wire []byte, group bool) {
		from, to := netip.MustParseAddrPort("[fe80::5054:ff:fe00:9]:546"), ip("fd00:20::1")
		if group {
			to = ip("ff02::1:2")
		}
		r, err := builtin6.Parse(wire, from, to)
		if err != nil {
			return
		}
		a := builtin6.Decide(r, s)
		if a.Reason == "" {
			t.Error("no reason")
		}
		if a.Reply == nil {
			return
		}
		if a.To.Addr() != from.Addr() || len(a.Reply.ToBytes()) < 4 {
			t.Errorf("answers to %s", a.To)
		}
		for _, h := range a.Holds {
			if h.IP == ip("fd00:20::102") || h.IP == ip("fd00:20::103") || h.IP == ip("fd00:20::1") {
				t.Errorf("gives %s to %s", h.IP, h.Key)
			}
		}
	})
}
