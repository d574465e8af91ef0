package provider

import (
	"sprout/alloc"
	allocbuiltin "sprout/alloc/builtin"
	"sprout/dns"
	dnsbuiltin "sprout/dns/builtin"
	"sprout/ipam"
	ipambuiltin "sprout/ipam/builtin"
	"sprout/network"
	networkbuiltin "sprout/network/builtin"
)

// A Set is the selected providers of the control plane. DHCP, hardware tests
// and power are the sites'.
type Set struct {
	IPAM    ipam.Provider
	Network network.Provider
	DNS     dns.Provider
	Alloc   alloc.Provider
}

// A Ledger keeps what the builtin providers need kept. The control plane's
// store is one.
type Ledger interface {
	ipambuiltin.Ledger
	networkbuiltin.Ledger
	dnsbuiltin.Ledger
}

// Open makes the selected providers. Check refuses what is not built, so each
// capability of today has the one case.
func Open(s Selection, l Ledger) (Set, error) {
	if err := s.Check(); err != nil {
		return Set{}, err
	}
	return Set{
		IPAM:    ipambuiltin.Provider{Ledger: l},
		Network: networkbuiltin.Provider{Ledger: l},
		DNS:     dnsbuiltin.New(l),
		Alloc:   allocbuiltin.Provider{},
	}, nil
}
