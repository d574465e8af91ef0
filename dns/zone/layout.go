package zone

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"sprout"
	"sprout/dns"
)

// The roots of reverse names: RFC 1035 section 3.5, RFC 3596 section 2.5.
const (
	root4 = "in-addr.arpa"
	root6 = "ip6.arpa"
)

// A Layout says which zones a site has.
type Layout struct {
	Domain  string       // the site's, canonical; empty: not known yet
	Domains []string     // more of them, canonical
	Agent   []netip.Addr // addresses of the name server
	Subnets []Subnet     // those whose addresses are named: they make the reverse zones
	VRF     string       // that the name server is in
}

// A Subnet is a prefix in a VRF: two may have the same.
type Subnet struct {
	netip.Prefix
	VRF string
}

// server is the name server's own full name.
func (l Layout) server() string { return Agent(l.Domain) }

// Agent is the full name of a site's agent.
func Agent(domain string) string {
	if domain == "" {
		return "agent"
	}
	return "agent." + domain
}

// mail is the mailbox of who answers for a zone (RFC 2142 section 7).
func (l Layout) mail(origin string) string {
	if l.Domain != "" {
		origin = l.Domain
	}
	return "hostmaster." + origin
}

// origins lists the names of the zones, canonical, without repeats.
func (l Layout) origins() (list []string) {
	for _, d := range append([]string{l.Domain}, l.Domains...) {
		if d != "" {
			list = append(list, d)
		}
	}
	for _, subnet := range l.Subnets {
		list = append(list, reverseZones(subnet.Prefix)...)
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
	if classless(subnet) {
		list = append(list, classlessOrigin(subnet))
	}
	ip := netip.PrefixFrom(subnet.Addr(), bits).Masked().Addr()
	for range 1 << max(bits-subnet.Bits(), 0) {
		list = append(list, nameOf(netip.PrefixFrom(ip, bits)))
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

func classless(subnet netip.Prefix) bool { return subnet.Addr().Is4() && subnet.Bits() > 24 }

// classlessOrigin is the zone of a subnet below /24: 128/25.2.0.192.in-addr.arpa.
func classlessOrigin(subnet netip.Prefix) string {
	last := subnet.Addr().As4()[3]
	return strconv.Itoa(int(last)) + "/" + strconv.Itoa(subnet.Bits()) + "." + nameOf(netip.PrefixFrom(subnet.Addr(), 24))
}

// subnetOf finds the subnet of an address in a VRF. Where the name server's own
// VRF has one for the address, those of others are not named: a reverse name
// stands for one of them.
func (l Layout) subnetOf(ip netip.Addr, vrf string) (netip.Prefix, bool) {
	var found netip.Prefix
	for _, s := range l.Subnets {
		switch {
		case !s.Contains(ip):
		case s.VRF == l.VRF && vrf != l.VRF:
			return found, false
		case s.VRF == vrf:
			found = s.Prefix
		}
	}
	return found, found.IsValid()
}

// reverse returns the records by which an address leads to name; none where no
// subnet has it.
func (l Layout) reverse(ip netip.Addr, vrf, name string, ttl uint32) []Item {
	subnet, ok := l.subnetOf(ip, vrf)
	if !ok {
		return nil
	}
	full := nameOf(netip.PrefixFrom(ip, ip.BitLen()))
	target := newData(dns.PTR, ttl, []byte(dns.Wire(name)))
	if !classless(subnet) {
		return []Item{{dns.Wire(full), target}}
	}
	label, _, _ := strings.Cut(full, ".")
	owner := dns.Wire(label + "." + classlessOrigin(subnet))
	return []Item{{owner, target}, {dns.Wire(full), newData(dns.CNAME, ttl, []byte(owner))}}
}

// own are the records that the layout itself makes: the agent's addresses.
func (l Layout) own() (list []Item) {
	if l.Domain != "" {
		for _, ip := range l.Agent {
			list = append(list, Item{dns.Wire(l.server()), addressData(ip, dns.DefaultTTL)})
		}
	}
	return list
}

// items are the records that one of the site's makes. What cannot be packed
// makes none: the centre has checked it.
func (l Layout) items(r sprout.Record) []Item {
	ttl := uint32(max(r.TTL, 0))
	if r.TTL == 0 {
		ttl = dns.DefaultTTL
	}
	name := dns.Canonical(r.Name)
	if r.Type != "" {
		kind, data, err := dns.Pack(r)
		if err != nil {
			return nil
		}
		return []Item{{dns.Wire(name), newData(kind, ttl, data)}}
	}
	if !r.IP.IsValid() || dns.CheckHost("name", name) != nil {
		return nil
	}
	return append(l.reverse(r.IP, r.VRF, name, ttl), Item{dns.Wire(name), addressData(r.IP, ttl)})
}

func addressData(ip netip.Addr, ttl uint32) Data {
	if ip.Is4() {
		return newData(dns.A, ttl, ip.AsSlice())
	}
	return newData(dns.AAAA, ttl, ip.AsSlice())
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
