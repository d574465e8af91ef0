package ipam

import (
	"net/netip"

	"sprout"
)

// Fits says whether a machine may have the address of the subnet at all: nil,
// or an Invalid error that says why not.
func Fits(sub sprout.Subnet, ip netip.Addr) error {
	switch {
	case !sub.CIDR.Contains(ip):
		return sprout.InvalidField("ip", "%s is not in the subnet %s", ip, sub.CIDR)
	case ip == sub.Gateway:
		return sprout.InvalidField("ip", "%s is the gateway of the subnet", ip)
	case IsEdge(sub.CIDR, ip):
		return sprout.InvalidField("ip", "%s is the network or broadcast address of %s", ip, sub.CIDR)
	}
	for _, r := range sub.Ranges {
		if r.Contains(ip) {
			return sprout.InvalidField("ip", "%s is in the %s range %s-%s", ip, r.Kind, r.First, r.Last)
		}
	}
	return nil
}

// IsEdge tells whether no host may have the address: the network's own (RFC
// 4291 section 2.6.1 in IPv6) or, in IPv4, the broadcast address. Prefixes with
// one or two addresses have neither (RFC 3021, RFC 6164).
func IsEdge(p netip.Prefix, ip netip.Addr) bool {
	if ip.BitLen()-p.Bits() <= 1 {
		return false
	}
	return ip == p.Masked().Addr() || ip.Is4() && !p.Contains(ip.Next())
}
