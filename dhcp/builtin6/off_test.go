package builtin6_test

import (
	"strings"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv6"

	"sprout"
	"sprout/dhcp/builtin6"
	"sprout/dhcp/dhcptest"
)

// TestOff: on the link of a subnet where DHCP is off nobody is answered, and other
// links are as ever.
func TestOff(t *testing.T) {
	set := seed()
	set.Subnets[1].DHCP = sprout.DHCPOff
	s := site(t)
	s.Ledger = dhcptest.NewMemory(set)
	for name, asked := range map[string]say{
		"solicits":   {kind: dhcpv6.MessageTypeSolicit, mac: web01},
		"requests":   {kind: dhcpv6.MessageTypeRequest, mac: web01, server: ours, ias: [][]string{{"fd00:20::5"}}},
		"rebinds":    {kind: dhcpv6.MessageTypeRebind, mac: web01, ias: [][]string{{"fd00:20::5"}}},
		"asks":       {kind: dhcpv6.MessageTypeInformationRequest, mac: web01},
		"by a relay": {kind: dhcpv6.MessageTypeSolicit, mac: web01, relays: []string{"fd00:20::fe"}, seen: true},
	} {
		a := builtin6.Decide(asked.request(t), s)
		if a.Reply != nil || len(a.Leases)+len(a.Holds) > 0 || !strings.Contains(a.Reason, "DHCP is off in fd00:20::/64") {
			t.Errorf("who %s: %+v", name, a)
		}
		if seen := a.What == sprout.SawDHCPOff; seen != (asked.kind == dhcpv6.MessageTypeSolicit) {
			t.Errorf("who %s is seen as %q", name, a.What)
		}
	}
	if a := builtin6.Decide((say{kind: dhcpv6.MessageTypeSolicit, mac: stranger, relays: []string{"fd00:21::fe"}}).request(t), s); a.Reply == nil {
		t.Errorf("elsewhere: %s", a.Reason)
	}
}
