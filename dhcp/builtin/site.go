package builtin

import (
	"net/netip"
	"slices"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"sprout"
)

// A Site is all that a decision looks at besides the packet.
type Site struct {
	Ledger    Ledger
	Offers    *Offers    // addresses promised and not yet leased; nil: none
	Address   netip.Addr // the agent's
	BootURL   string     // http://AGENT, without a final slash
	Loaders   []Loader
	Domain    string
	LeaseTime time.Duration
	VRF       string // that the agent's own network is in
	Now       time.Time

	room *dhcpv4.DHCPv4 // for the reply, whatever it was before; nil: a new one
}

// link returns the IPv4 subnets of the network that at lies in, the one with at
// in it first: of the VRF that the relay names, else of the agent's.
func (s *Site) link(v VSS, at netip.Addr) []sprout.Subnet {
	link := sprout.LinkAt(s.Ledger.Subnets(), v.VRF(s.VRF), v.Said, at)
	if len(link) > 1 { // then it is a list of its own
		link = slices.DeleteFunc(link, func(sub sprout.Subnet) bool { return !sub.CIDR.Addr().Is4() })
	}
	return link
}

// active tells whether the lease keeps its address from others.
func (s *Site) active(l sprout.Lease) bool {
	return (l.State == stateBound || l.State == stateDeclined) && l.ExpiresAt.After(s.Now)
}

// free tells whether key may have ip: nobody else was promised it or holds it,
// and it is no fixed address of the subnet.
func (s *Site) free(sub *sprout.Subnet, ip netip.Addr, key string) bool {
	if ip == s.Address || ip == sub.Gateway || isEdge(sub.CIDR, ip) {
		return false
	}
	if holder, ok := s.Offers.Holder(sub.ID, ip, s.Now); ok && holder != key {
		return false
	}
	l, ok := s.Ledger.LeaseAt(sub.ID, ip)
	return !ok || !s.active(l) || (keyOf(l) == key && l.State == stateBound)
}

// The states of a lease.
const (
	stateBound    = "bound"
	stateReleased = "released"
	stateDeclined = "declined"
)

// isEdge tells whether ip is the first or last of a prefix: its network and
// broadcast addresses. Prefixes of one or two addresses have none (RFC 3021).
func isEdge(p netip.Prefix, ip netip.Addr) bool {
	if p.Bits() >= 31 {
		return false
	}
	host := toUint(ip) & (1<<(32-p.Bits()) - 1)
	return host == 0 || host == 1<<(32-p.Bits())-1
}

// dynamic tells whether ip lies in a dynamic range of the subnet.
func dynamic(sub *sprout.Subnet, ip netip.Addr) bool {
	for i := range sub.Ranges {
		if sub.Ranges[i].Kind == sprout.Dynamic && sub.Ranges[i].Contains(ip) {
			return true
		}
	}
	return false
}

// within returns the subnet of the link that contains ip, or nil.
func within(link []sprout.Subnet, ip netip.Addr) *sprout.Subnet {
	for i := range link {
		if link[i].CIDR.Contains(ip) {
			return &link[i]
		}
	}
	return nil
}

func toUint(ip netip.Addr) uint32 {
	b := ip.As4()
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

func toAddr(n uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}
