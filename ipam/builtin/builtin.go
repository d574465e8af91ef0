// Package builtin is the IPAM that Sprout brings: addresses are rows of the
// ledger, and the ledger's constraints decide who gets which. It must not know
// SQL or who asks.
package builtin

import (
	"context"
	"net/netip"

	"sprout"
	"sprout/ipam"
)

// A Ledger keeps addresses. *store.Store is one.
type Ledger interface {
	// Subnet returns a subnet with its ranges; NotFound if there is none.
	Subnet(ctx context.Context, id sprout.SubnetID) (sprout.Subnet, error)
	// AllocateAddress gives a.Machine the address that it holds in a.Subnet for
	// a.MAC, else a.IP if set, else a free one outside all ranges. Two callers
	// never get the same.
	AllocateAddress(ctx context.Context, a sprout.Address) (sprout.Address, error)
	// ReserveAddresses gives out a block, outside all ranges unless b.First says where.
	ReserveAddresses(ctx context.Context, b sprout.AddressBlock) ([]sprout.Address, error)
	// FreeAddress frees an address that no machine has.
	FreeAddress(ctx context.Context, id sprout.AddressID) error
	// ReleaseAddresses frees all that the machine holds; none is no error.
	ReleaseAddresses(ctx context.Context, machine sprout.MachineID) error
	// AddressesOf lists what the machine holds.
	AddressesOf(ctx context.Context, machine sprout.MachineID) ([]sprout.Address, error)
}

var _ ipam.Provider = Provider{}

// A Provider gives out the addresses of a ledger.
type Provider struct{ Ledger Ledger }

// Allocate implements ipam.Provider.
func (p Provider) Allocate(ctx context.Context, r ipam.Request) (sprout.Address, error) {
	if r.Machine == "" {
		return sprout.Address{}, sprout.InvalidField("machine", "an address is allocated to a machine: name one")
	}
	if r.IP.IsValid() {
		sub, err := p.Ledger.Subnet(ctx, r.Subnet)
		if err != nil {
			return sprout.Address{}, err
		}
		if err := Fits(sub, r.IP); err != nil {
			return sprout.Address{}, err
		}
	}
	return p.Ledger.AllocateAddress(ctx, sprout.Address{
		Subnet: r.Subnet, Machine: r.Machine, MAC: r.MAC, Name: r.Name, IP: r.IP, Kind: "machine",
	})
}

// Reserve implements ipam.Provider.
func (p Provider) Reserve(ctx context.Context, b sprout.AddressBlock) ([]sprout.Address, error) {
	if !b.First.IsValid() {
		return p.Ledger.ReserveAddresses(ctx, b)
	}
	sub, err := p.Ledger.Subnet(ctx, b.Subnet)
	if err != nil {
		return nil, err
	}
	for ip, n := b.First, max(b.Count, 1); n > 0; ip, n = ip.Next(), n-1 {
		if err := Fits(sub, ip); err != nil {
			return nil, err
		}
	}
	return p.Ledger.ReserveAddresses(ctx, b)
}

// Free implements ipam.Provider.
func (p Provider) Free(ctx context.Context, id sprout.AddressID) error {
	return p.Ledger.FreeAddress(ctx, id)
}

// Release implements ipam.Provider.
func (p Provider) Release(ctx context.Context, machine sprout.MachineID) error {
	return p.Ledger.ReleaseAddresses(ctx, machine)
}

// Held implements ipam.Provider.
func (p Provider) Held(ctx context.Context, machine sprout.MachineID) ([]sprout.Address, error) {
	return p.Ledger.AddressesOf(ctx, machine)
}

// Fits says whether a machine may have the address of the subnet at all: nil,
// or an Invalid error that says why not.
func Fits(sub sprout.Subnet, ip netip.Addr) error {
	switch {
	case !sub.CIDR.Contains(ip):
		return sprout.InvalidField("ip", "%s is not in the subnet %s", ip, sub.CIDR)
	case ip == sub.Gateway:
		return sprout.InvalidField("ip", "%s is the gateway of the subnet", ip)
	case IsEdge(sub.CIDR, ip):
		return sprout.InvalidField("ip", "%s is the network or broadcast address of %s", ip, sub.CIDR)
	}
	for _, r := range sub.Ranges {
		if r.Contains(ip) {
			return sprout.InvalidField("ip", "%s is in the %s range %s-%s", ip, r.Kind, r.First, r.Last)
		}
	}
	return nil
}

// IsEdge tells whether no host may have the address: the network's own (RFC
// 4291 section 2.6.1 in IPv6) or, in IPv4, the broadcast address. Prefixes with
// one or two addresses have neither (RFC 3021, RFC 6164).
func IsEdge(p netip.Prefix, ip netip.Addr) bool {
	if ip.BitLen()-p.Bits() <= 1 {
		return false
	}
	return ip == p.Masked().Addr() || ip.Is4() && !p.Contains(ip.Next())
}
