package builtin6_test

import (
	"net/netip"
	"strings"
	"testing"

	"sprout"
	"sprout/dhcp"
	"sprout/dhcp/builtin6"
	"sprout/dhcp/dhcptest"
)

var _ dhcp.Provider = (*builtin6.Server)(nil)

// TestExplain says what each firmware would get, of the agent's own link and of a
// relay's, and leases nothing.
func TestExplain(t *testing.T) {
	ledger := dhcptest.NewMemory(seed())
	s, err := builtin6.New(builtin6.Config{Address: ip("fd00:20::1"), DUID: server, Ledger: ledger})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		ask  dhcp.Question
		in   string
		file string
		why  string
	}{
		{dhcp.Question{MAC: web01, Firmware: dhcp.UEFI}, "fd00:20::5/128", "tftp://[fd00:20::1]/snponly.efi", "reserved for its MAC"},
		{dhcp.Question{MAC: web01, Firmware: dhcp.UEFIHTTP}, "fd00:20::5/128", "http://[fd00:20::1]/boot/snponly.efi", "for web-01"},
		{dhcp.Question{MAC: stranger, Firmware: dhcp.IPXE}, "fd00:20::100/126", "http://[fd00:20::1]/boot/52-54-00-00-00-09.ipxe", "to be discovered"},
		{dhcp.Question{MAC: stranger, Subnet: "sub_b", Firmware: dhcp.UEFI}, "fd00:21::/64", "", "does not allow discovery"},
		{dhcp.Question{MAC: web01, Firmware: "16"}, "fd00:20::5/128", "http://[fd00:20::1]/boot/snponly.efi", "for web-01"},
		{dhcp.Question{MAC: stranger}, "fd00:20::100/126", "", "a free address of the dynamic range"},
	} {
		e, err := s.Explain(c.ask)
		if err != nil || !netip.MustParsePrefix(c.in).Contains(e.IP) || e.BootFile != c.file || !strings.Contains(e.Reason, c.why) {
			t.Errorf("%+v: %+v, %v", c.ask, e, err)
		}
	}
	if _, err := s.Explain(dhcp.Question{MAC: stranger, Subnet: "sub_4"}); sprout.KindOf(err) != sprout.NotFound {
		t.Errorf("a subnet of IPv4: %v", err)
	}
	if _, err := s.Explain(dhcp.Question{MAC: "x"}); sprout.KindOf(err) != sprout.Invalid {
		t.Errorf("no MAC: %v", err)
	}
	if _, err := s.Explain(dhcp.Question{MAC: stranger, Firmware: "toaster"}); sprout.KindOf(err) != sprout.Invalid {
		t.Errorf("no firmware: %v", err)
	}
	if all := ledger.Leases(); len(all) > 0 {
		t.Errorf("leases: %v", all)
	}
}
