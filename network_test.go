package sprout_test

import (
	"net/netip"
	"testing"

	"sprout"
)

func TestLinkAt(t *testing.T) {
	sub := func(id, network, vrf, cidr string) sprout.Subnet {
		return sprout.Subnet{ID: sprout.SubnetID(id), Network: sprout.NetworkID(network), VRF: vrf, CIDR: netip.MustParsePrefix(cidr)}
	}
	all := []sprout.Subnet{
		sub("red", "n2", "red", "10.0.0.0/24"), sub("own6", "n1", "", "fd00::/64"), sub("own", "n1", "", "10.0.0.0/24"),
		sub("red-only", "n3", "red", "10.1.0.0/24"), sub("red-both", "n4", "red", "10.2.0.0/24"), sub("blue-both", "n5", "blue", "10.2.0.0/24"),
	}
	for _, c := range []struct {
		at, vrf string
		said    bool
		want    string
		others  int
	}{
		{"10.0.0.9", "", false, "own", 1},      // the agent's own first, with the other family of its network
		{"10.0.0.9", "red", true, "red", 0},    // as the relay says
		{"10.0.0.9", "green", true, "", 0},     // a VRF that is not there
		{"10.1.0.9", "", false, "red-only", 0}, // only one has it
		{"10.1.0.9", "", true, "", 0},          // the relay says that it is not that one
		{"10.2.0.9", "", false, "", 0},         // two have it, and nothing tells
		{"10.2.0.9", "blue", false, "blue-both", 0},
		{"10.9.0.9", "", false, "", 0},
	} {
		link := sprout.LinkAt(all, c.vrf, c.said, netip.MustParseAddr(c.at))
		switch {
		case c.want == "" && link == nil:
		case len(link) != c.others+1 || string(link[0].ID) != c.want:
			t.Errorf("%s of VRF %q (said: %t): got %v, want %s and %d more", c.at, c.vrf, c.said, link, c.want, c.others)
		}
	}
}
