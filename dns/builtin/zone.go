package builtin

import "net/netip"

// A Zone is what a site's name server answers from. The agent's store is one.
// Names are in lower case without the final dot. Every method is cheap: each
// query calls some of them.
type Zone interface {
	// Domain is the site's, as lon1.example; empty: not known yet.
	Domain() string
	// Agent is the name server's own full name and addresses.
	Agent() (name string, addresses []netip.Addr)
	// Subnets are those whose addresses are named: they make the reverse zones.
	Subnets() []netip.Prefix
	// Serial rises with every change of a record (RFC 1982).
	Serial() uint32
	// Lookup returns the addresses of a full name.
	Lookup(name string) []netip.Addr
	// Reverse returns the full names of an address.
	Reverse(ip netip.Addr) []string
}
