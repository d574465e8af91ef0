package zone

import (
	"net/netip"
	"strings"

	"sprout"
	"sprout/dns"
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
func (l Layout) origins() []string {
	var prefixes []netip.Prefix
	for _, s := range l.Subnets {
		prefixes = append(prefixes, s.Prefix)
	}
	return dns.Zones(append([]string{l.Domain}, l.Domains...), prefixes)
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
	full := dns.ReverseOf(netip.PrefixFrom(ip, ip.BitLen()))
	target := newData(dns.PTR, ttl, []byte(dns.Wire(name)))
	if !dns.Classless(subnet) {
		return []Item{{dns.Wire(full), target}}
	}
	label, _, _ := strings.Cut(full, ".")
	owner := dns.Wire(label + "." + dns.ClasslessOrigin(subnet))
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
