package sitestore

import (
	"net/netip"
	"slices"
	"strings"
)

// A Zone is the site's names as a name server reads them.
type Zone struct {
	Store     *Store
	Addresses []netip.Addr // of the agent, which is the name server
	VRF       string       // that it is in
}

// Domain is the site's, in lower case; empty before the centre said it.
func (z Zone) Domain() string {
	site, _ := z.Store.Site()
	return strings.ToLower(strings.TrimSuffix(site.Domain, "."))
}

// Agent is the name server's own full name and addresses.
func (z Zone) Agent() (string, []netip.Addr) {
	return "agent." + z.Domain(), z.Addresses
}

// Subnets are the prefixes whose addresses are named.
func (z Zone) Subnets() []netip.Prefix {
	subnets := z.Store.Subnets()
	prefixes := make([]netip.Prefix, len(subnets))
	for i, s := range subnets {
		prefixes[i] = s.CIDR
	}
	return prefixes
}

// Serial rises with every change of the site's state, records among it.
func (z Zone) Serial() uint32 {
	z.Store.replica.mu.RLock()
	defer z.Store.replica.mu.RUnlock()
	return z.Store.replica.serial
}

// Lookup returns the addresses of a full name.
func (z Zone) Lookup(name string) []netip.Addr {
	z.Store.replica.mu.RLock()
	defer z.Store.replica.mu.RUnlock()
	return z.Store.replica.forward[name]
}

// Reverse returns the full names of an address: those that it has in the agent's
// own VRF, else those in the others.
func (z Zone) Reverse(ip netip.Addr) []string {
	r := &z.Store.replica
	r.mu.RLock()
	defer r.mu.RUnlock()
	if names := r.reverse[at{z.VRF, ip}]; len(names) > 0 {
		return names
	}
	var names []string
	for _, s := range r.subnets {
		if s.VRF != z.VRF && s.CIDR.Contains(ip) {
			names = append(names, r.reverse[at{s.VRF, ip}]...)
		}
	}
	slices.Sort(names)
	return names
}
