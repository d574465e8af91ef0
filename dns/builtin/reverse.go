package builtin

import (
	"net/netip"
	"strconv"
	"strings"
)

// The roots of reverse names: RFC 1035 section 3.5, RFC 3596 section 2.5.
const (
	root4 = "in-addr.arpa"
	root6 = "ip6.arpa"
)

// A reverseName is a name below one of the roots, taken apart.
type reverseName struct {
	origin string     // the zone that it is in
	ip     netip.Addr // zero: the name stands for a prefix, not for one address
}

// reverseOf finds the reverse zone that name is in. A subnet is served as the
// zones that its octets (IPv6: nibbles) make whole: 10.0.0.0/22 as four, and
// 10.0.0.0/25 as that of 10.0.0.0/24, as nobody delegates less. ok is false
// where no subnet has such a zone.
func reverseOf(name string, subnets []netip.Prefix) (r reverseName, ok bool) {
	p, whole, ok := prefixOf(name)
	if !ok {
		return r, false
	}
	for _, subnet := range subnets {
		zone := zoneBits(subnet)
		if subnet.Addr().Is4() != p.Addr().Is4() || p.Bits() < zone {
			continue
		}
		cut := netip.PrefixFrom(p.Addr(), zone).Masked()
		if !cut.Overlaps(subnet) {
			continue
		}
		if whole {
			r.ip = p.Addr()
		}
		r.origin = nameOf(cut)
		return r, true
	}
	return r, false
}

// zoneBits is the length of the prefixes that a subnet's zones stand for.
func zoneBits(subnet netip.Prefix) int {
	if subnet.Addr().Is4() {
		return min((subnet.Bits()+7)/8*8, 24)
	}
	return min((subnet.Bits()+3)/4*4, 124)
}

// prefixOf reads the prefix that a reverse name stands for; whole: it is one
// address.
func prefixOf(name string) (p netip.Prefix, whole, ok bool) {
	if labels, found := strings.CutSuffix(name, "."+root4); found {
		return prefix4(strings.Split(labels, "."))
	}
	if labels, found := strings.CutSuffix(name, "."+root6); found {
		return prefix6(strings.Split(labels, "."))
	}
	return p, false, false
}

func prefix4(labels []string) (p netip.Prefix, whole, ok bool) {
	var ip [4]byte
	if len(labels) > 4 {
		return p, false, false
	}
	for i, label := range labels {
		n, err := strconv.ParseUint(label, 10, 8)
		if err != nil || strconv.FormatUint(n, 10) != label {
			return p, false, false
		}
		ip[len(labels)-1-i] = byte(n)
	}
	return netip.PrefixFrom(netip.AddrFrom4(ip), 8*len(labels)), len(labels) == 4, true
}

func prefix6(labels []string) (p netip.Prefix, whole, ok bool) {
	var ip [16]byte
	if len(labels) > 32 {
		return p, false, false
	}
	for i, label := range labels {
		n, err := strconv.ParseUint(label, 16, 4)
		if err != nil || len(label) != 1 {
			return p, false, false
		}
		nibble := len(labels) - 1 - i
		ip[nibble/2] |= byte(n) << (4 * (1 - nibble%2))
	}
	return netip.PrefixFrom(netip.AddrFrom16(ip), 4*len(labels)), len(labels) == 32, true
}

// nameOf is the reverse name of a prefix that ends at an octet or nibble.
func nameOf(p netip.Prefix) string {
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
