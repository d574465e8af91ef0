package kea

import (
	"net/netip"
	"testing"

	"sprout"
)

// The prefixes of a test are told by their bytes, and the last one by all that begin
// with its bits.
func TestWithin(t *testing.T) {
	for p, want := range map[string]string{
		"10.8.0.0/24":    "substring(f, 0, 3) == 0x0a0800",
		"10.8.0.128/25":  "",
		"10.8.0.252/30":  "substring(f, 0, 3) == 0x0a0800 and (substring(f, 3, 1) == 0xfc or substring(f, 3, 1) == 0xfd or substring(f, 3, 1) == 0xfe or substring(f, 3, 1) == 0xff)",
		"10.8.0.7/32":    "substring(f, 0, 4) == 0x0a080007",
		"192.0.0.0/3":    "",
		"172.16.0.0/15":  "substring(f, 0, 1) == 0xac and (substring(f, 1, 1) == 0x10 or substring(f, 1, 1) == 0x11)",
		"10.20.30.40/31": "substring(f, 0, 3) == 0x0a141e and (substring(f, 3, 1) == 0x28 or substring(f, 3, 1) == 0x29)",
	} {
		if got := within("f", netip.MustParsePrefix(p)); want != "" && got != want {
			t.Errorf("%s: %s, want %s", p, got, want)
		}
	}
}

// Who is left unanswered: where DHCP is off, but not in another VRF's prefix that is
// the same as one that is served.
func TestSilence(t *testing.T) {
	sub := func(cidr, vrf string, mode sprout.DHCPMode) sprout.Subnet {
		return sprout.Subnet{ID: sprout.SubnetID(cidr + vrf), CIDR: netip.MustParsePrefix(cidr), VRF: vrf, DHCP: mode}
	}
	n := &intent{address: netip.MustParseAddr("10.0.0.1"), subnets: []sprout.Subnet{sub("10.0.0.0/24", "", ""), sub("10.0.0.0/24", "blue", sprout.DHCPOff), sub("fd00::/64", "", sprout.DHCPOff)}}
	if got := n.silence(); got != nil {
		t.Errorf("nobody is to be left unanswered, but %v", got)
	}
	n.subnets = append(n.subnets, sub("10.8.0.0/24", "", sprout.DHCPOff))
	if got := n.silence(); len(got) != 1 || got[0]["name"] != "DROP" || got[0]["test"] != "("+n.asksFrom(netip.MustParsePrefix("10.8.0.0/24"))+")" {
		t.Errorf("got %v", got)
	}
}
