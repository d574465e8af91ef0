package builtin6

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"sprout"
	"sprout/dhcp/builtin"
)

// A Ledger is what the server knows of its site: what builtin's knows, as far
// as it is needed here, and machines by their UUID.
type Ledger interface {
	Subnets() []sprout.Subnet
	Reservation(mac string) (sprout.Reservation, bool)
	Known(mac string) (sprout.SiteMachine, bool)
	// KnownByUUID returns the machine whose firmware has the UUID (RFC 9562's
	// form, lower case).
	KnownByUUID(uuid string) (sprout.SiteMachine, bool)
	DHCPOptions(subnet sprout.SubnetID, machine sprout.MachineID) sprout.DHCPOptions
	LeaseByClient(subnet sprout.SubnetID, key string) (sprout.Lease, bool)
	LeaseAt(subnet sprout.SubnetID, ip netip.Addr) (sprout.Lease, bool)
	SaveLease(ctx context.Context, l sprout.Lease) error
}

// A Site is all that a decision looks at besides the message.
type Site struct {
	Ledger    Ledger
	Offers    *builtin.Offers // addresses promised and not yet leased; nil: none
	Address   netip.Addr      // the agent's
	DUID      []byte          // the server's
	BootURL   string          // http://[AGENT], without a final slash
	Loaders   []builtin.Loader
	Domain    string
	LeaseTime time.Duration
	VRF       string // that the agent's own network is in
	Now       time.Time
}

// The states of a lease.
const (
	stateBound    = "bound"
	stateReleased = "released"
	stateDeclined = "declined"
)

// link returns the IPv6 subnets of the network that at lies in, the one with at
// in it first: of the VRF that a relay names, else of the agent's.
func (s *Site) link(v builtin.VSS, at netip.Addr) []sprout.Subnet {
	link := sprout.LinkAt(s.Ledger.Subnets(), v.VRF(s.VRF), v.Said, at)
	if len(link) > 1 { // then it is a list of its own
		link = slices.DeleteFunc(link, func(sub sprout.Subnet) bool { return !sub.CIDR.Addr().Is6() })
	}
	return link
}

// active tells whether the lease keeps its address from others.
func (s *Site) active(l sprout.Lease) bool {
	return (l.State == stateBound || l.State == stateDeclined) && l.ExpiresAt.After(s.Now)
}

// free tells whether key may have ip: nobody else was promised it or holds it,
// and it is no fixed address of the subnet. The first of a prefix is that of
// all its routers (RFC 4291 section 2.6.1).
func (s *Site) free(sub *sprout.Subnet, ip netip.Addr, key string) bool {
	if ip == s.Address || ip == sub.Gateway || (ip == sub.CIDR.Masked().Addr() && sub.CIDR.Bits() < 127) {
		return false
	}
	if holder, ok := s.Offers.Holder(sub.ID, ip, s.Now); ok && holder != key {
		return false
	}
	l, ok := s.Ledger.LeaseAt(sub.ID, ip)
	return !ok || !s.active(l) || (keyOf(l) == key && l.State == stateBound)
}

// keyOf returns the key that a lease is found by.
func keyOf(l sprout.Lease) string {
	if l.ClientID != "" {
		return l.ClientID
	}
	return l.MAC
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

// dynamic tells whether ip lies in a dynamic range of the subnet.
func dynamic(sub *sprout.Subnet, ip netip.Addr) bool {
	for i := range sub.Ranges {
		if sub.Ranges[i].Kind == sprout.Dynamic && sub.Ranges[i].Contains(ip) {
			return true
		}
	}
	return false
}
