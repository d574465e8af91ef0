package dns

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// The roots of reverse names: RFC 1035 section 3.5, RFC 3596 section 2.5.
const (
	root4 = "in-addr.arpa"
	root6 = "ip6.arpa"
)

// Zones lists the zones of a site by its domains and the prefixes of its subnets:
// canonical, in order, without repeats.
func Zones(domains []string, subnets []netip.Prefix) (list []string) {
	for _, d := range domains {
		if d != "" {
			list = append(list, d)
		}
	}
	for _, subnet := range subnets {
		list = append(list, reverseZones(subnet)...)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// reverseZones are the zones of a subnet: those that its octets (IPv6: nibbles)
// make whole, 10.0.0.0/22 as four. One below /24 is a zone of its own, which a
// parent can delegate, and its /24 is served too, with an alias for each of its
// names (RFC 2317 section 4).
func reverseZones(subnet netip.Prefix) (list []string) {
	bits := zoneBits(subnet)
	if Classless(subnet) {
		list = append(list, ClasslessOrigin(subnet))
	}
	ip := netip.PrefixFrom(subnet.Addr(), bits).Masked().Addr()
	for range 1 << max(bits-subnet.Bits(), 0) {
		list = append(list, ReverseOf(netip.PrefixFrom(ip, bits)))
		ip = after(ip, bits)
	}
	return list
}

// after is the first address behind the prefix of so many bits at ip.
func after(ip netip.Addr, bits int) netip.Addr {
	b := ip.AsSlice()
	for i := (bits - 1) / 8; i >= 0; i-- {
		step := byte(1)
		if i == (bits-1)/8 {
			step = 1 << (7 - (bits-1)%8)
		}
		if b[i] += step; b[i] >= step {
			next, _ := netip.AddrFromSlice(b)
			return next
		}
	}
	return netip.Addr{}
}

// zoneBits is the length of the prefixes that a subnet's zones stand for.
func zoneBits(subnet netip.Prefix) int {
	if subnet.Addr().Is4() {
		return min(max((subnet.Bits()+7)/8*8, 8), 24)
	}
	return min(max((subnet.Bits()+3)/4*4, 4), 124)
}

// Classless tells whether a subnet is below /24: its zone is one of its own.
func Classless(subnet netip.Prefix) bool { return subnet.Addr().Is4() && subnet.Bits() > 24 }

// ClasslessOrigin is the zone of a subnet below /24: 128/25.2.0.192.in-addr.arpa.
func ClasslessOrigin(subnet netip.Prefix) string {
	last := subnet.Addr().As4()[3]
	return strconv.Itoa(int(last)) + "/" + strconv.Itoa(subnet.Bits()) + "." + ReverseOf(netip.PrefixFrom(subnet.Addr(), 24))
}

// ReverseOf is the reverse name of a prefix that ends at an octet or nibble.
func ReverseOf(p netip.Prefix) string {
	var b strings.Builder
	if p.Addr().Is4() {
		ip := p.Addr().As4()
		for i := p.Bits()/8 - 1; i >= 0; i-- {
			b.WriteString(strconv.Itoa(int(ip[i])))
			b.WriteByte('.')
		}
		return b.String() + root4
	}
	ip := p.Addr().As16()
	for i := p.Bits()/4 - 1; i >= 0; i-- {
		b.WriteByte("0123456789abcdef"[ip[i/2]>>(4*(1-i%2))&0xf])
		b.WriteByte('.')
	}
	return b.String() + root6
}
