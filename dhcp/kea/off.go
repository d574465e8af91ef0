package kea

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"sprout"
)

// dropClass is the class of what Kea leaves unanswered (its manual, section 14.2).
const dropClass = "DROP"

// silence is the class of who asks where Sprout's DHCP is off; nil: it is off
// nowhere. Not to have such a subnet is not enough: Kea refuses by a NAK whoever
// wants to keep an address of a subnet that it does not have, and so takes the
// addresses from clients of the server that is there instead.
func (n *intent) silence() []object {
	served := n.served()
	var any []string
	for _, sub := range n.subnets {
		overlaps := slices.ContainsFunc(served, func(o sprout.Subnet) bool { return o.CIDR.Overlaps(sub.CIDR) })
		if sub.DHCP == sprout.DHCPOff && sub.CIDR.Addr().Is4() && !overlaps {
			any = append(any, "("+n.asksFrom(sub.CIDR)+")")
		}
	}
	if any == nil {
		return nil
	}
	return []object{{"name": dropClass, "test": strings.Join(any, " or ")}}
}

// asksFrom is the test of who asks from a prefix: as its relay says, by the link that
// it selects (RFC 3527) or by its own address; else as it says itself by unicast, from
// beyond a router; else, by a broadcast or without an address, if the agent is there.
func (n *intent) asksFrom(p netip.Prefix) string {
	const direct, far = "not relay4[5].exists and pkt4.giaddr == 0.0.0.0", "not (pkt4.ciaddr == 0.0.0.0 or pkt.dst == 255.255.255.255)"
	all := []string{
		"relay4[5].exists and " + within("relay4[5].hex", p),
		"not relay4[5].exists and " + within("pkt4.giaddr", p),
		direct + " and " + far + " and " + within("pkt4.ciaddr", p),
	}
	if p.Contains(n.address) {
		all = append(all, direct+" and not ("+far+")")
	}
	return "(" + strings.Join(all, ") or (") + ")"
}

// within is the test of an address, of four bytes, being in a prefix: its whole
// bytes are the same, and the next is one of those that begin with the same bits.
func within(field string, p netip.Prefix) string {
	raw, whole, rest := p.Masked().Addr().As4(), p.Bits()/8, p.Bits()%8
	var all []string
	if whole > 0 {
		all = append(all, fmt.Sprintf("substring(%s, 0, %d) == 0x%x", field, whole, raw[:whole]))
	}
	if rest > 0 {
		var any []string
		for more := range 1 << (8 - rest) {
			any = append(any, fmt.Sprintf("substring(%s, %d, 1) == 0x%02x", field, whole, int(raw[whole])+more))
		}
		all = append(all, "("+strings.Join(any, " or ")+")")
	}
	return strings.Join(all, " and ")
}
