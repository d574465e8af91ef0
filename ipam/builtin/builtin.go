// Package builtin is the IPAM that Sprout brings: addresses are rows of the
// ledger, and the ledger's constraints decide who gets which. It must not know
// SQL or who asks.
package builtin

import (
	"context"

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
	// QuarantineAddress keeps an address away from everybody.
	QuarantineAddress(ctx context.Context, c sprout.AddressConflict) error
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
		if err := ipam.Fits(sub, r.IP); err != nil {
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
		if err := ipam.Fits(sub, ip); err != nil {
			return nil, err
		}
	}
	return p.Ledger.ReserveAddresses(ctx, b)
}

// Free implements ipam.Provider.
func (p Provider) Free(ctx context.Context, id sprout.AddressID) error {
	return p.Ledger.FreeAddress(ctx, id)
}

// Quarantine implements ipam.Provider.
func (p Provider) Quarantine(ctx context.Context, c sprout.AddressConflict) error {
	return p.Ledger.QuarantineAddress(ctx, c)
}

// Release implements ipam.Provider.
func (p Provider) Release(ctx context.Context, machine sprout.MachineID) error {
	return p.Ledger.ReleaseAddresses(ctx, machine)
}

// Held implements ipam.Provider.
func (p Provider) Held(ctx context.Context, machine sprout.MachineID) ([]sprout.Address, error) {
	return p.Ledger.AddressesOf(ctx, machine)
}
