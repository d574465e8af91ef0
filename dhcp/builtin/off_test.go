package builtin_test

import (
	"strings"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"sprout"
	"sprout/dhcp/builtin"
	"sprout/dhcp/dhcptest"
)

// TestOff: on the link of a subnet where DHCP is off nobody is answered, whatever
// is asked; other links are answered as ever. Another subnet of a link that is off
// has no address for anybody.
func TestOff(t *testing.T) {
	set := seed()
	set.Subnets[0].DHCP = sprout.DHCPOff
	pxe := dhcpv4.Options{60: []byte("PXEClient:Arch:00007:UNDI:003001"), 93: {0, 7}}
	decide := func(set dhcptest.Seed, asked say, boot bool) builtin.Answer {
		s := site(t)
		s.Ledger = dhcptest.NewMemory(set)
		r := asked.request(t)
		r.Boot = boot
		return builtin.Decide(r, s)
	}
	for name, asked := range map[string]say{
		"firmware discovers": {kind: discover, mac: web01, options: pxe},
		"a system discovers": {kind: discover, mac: web01},
		"by a relay":         {kind: discover, mac: web01, giaddr: "10.0.0.254"},
		"it takes an offer":  {kind: request, mac: web01, srv: "10.0.0.1", asks: "10.0.0.50"},
		"it renews":          {kind: request, mac: web01, ciaddr: "10.0.0.50", to: "10.0.0.1"},
		"it asks for more":   {kind: dhcpv4.MessageTypeInform, mac: web01, ciaddr: "10.0.0.50", to: "10.0.0.1"},
		"it gives back":      {kind: dhcpv4.MessageTypeRelease, mac: web01, ciaddr: "10.0.0.50", srv: "10.0.0.1"},
	} {
		for _, boot := range []bool{false, true} {
			a := decide(set, asked, boot)
			if a.Reply != nil || a.Lease != nil || a.Hold.IsValid() || !strings.Contains(a.Reason, "DHCP is off in 10.0.0.0/24") {
				t.Errorf("%s, boot server %v: %+v", name, boot, a)
			}
			if seen := a.What == sprout.SawDHCPOff; seen != (asked.kind == discover) {
				t.Errorf("%s is seen as %q", name, a.What)
			}
		}
	}
	if a := decide(set, say{kind: discover, mac: web01, giaddr: "10.9.0.1"}, false); a.Reply == nil {
		t.Errorf("elsewhere: %s", a.Reason)
	}
	set.Subnets[0].DHCP, set.Subnets[0].Ranges = sprout.DHCPServer, nil
	set.Subnets[2].Ranges = []sprout.Range{{Kind: sprout.Dynamic, First: ip("10.0.7.100"), Last: ip("10.0.7.103")}}
	for mode, gives := range map[sprout.DHCPMode]bool{sprout.DHCPOff: false, sprout.DHCPServer: true} {
		set.Subnets[2].DHCP = mode
		if a := decide(set, say{kind: discover, mac: stranger}, false); a.Hold.IsValid() != gives {
			t.Errorf("the other subnet's DHCP is %s: %+v", mode, a)
		}
	}
}
