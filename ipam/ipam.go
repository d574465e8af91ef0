// Package ipam says what Sprout needs of an address management. Each folder
// below is one way to have it; ipamtest is the contract that each passes.
package ipam

import (
	"context"
	"net/netip"

	"sprout"
)

// A Request asks for one address.
type Request struct {
	Subnet  sprout.SubnetID
	Machine sprout.MachineID
	MAC     string
	Name    string     // fully qualified
	IP      netip.Addr // a certain one; zero: any that is free
}

// A Provider gives out addresses. Every method may be repeated: a workflow runs
// on after a crash.
type Provider interface {
	// Allocate returns the address that Machine holds in Subnet for MAC, a new
	// one if it holds none, and makes the site's DHCP give MAC that address. Two callers never get the same address. Errors:
	// Invalid (IP not in the subnet, or in a range), Conflict (IP is taken, or
	// the subnet is full: the failure code is sprout.SubnetFull), NotFound.
	Allocate(ctx context.Context, r Request) (sprout.Address, error)
	// Reserve gives out a block for what is no machine, whole or not at all; two
	// callers never get the same. One with a time is a hold: after it its
	// addresses are free by themselves. Errors as of Allocate; Invalid also for
	// a certain block that does not lie where addresses are given out.
	Reserve(ctx context.Context, b sprout.AddressBlock) ([]sprout.Address, error)
	// Free frees one address of a block. Conflict if a machine has it, NotFound.
	Free(ctx context.Context, id sprout.AddressID) error
	// Quarantine keeps away from an address that somebody else uses: it is given
	// to nobody until it is freed. It is taken from c.Machine, if that has it;
	// anybody else who was given it keeps it, and it is a problem all the same.
	Quarantine(ctx context.Context, c sprout.AddressConflict) error
	// Release frees every address that the machine holds; none is no error.
	Release(ctx context.Context, machine sprout.MachineID) error
	// Held lists what the machine holds.
	Held(ctx context.Context, machine sprout.MachineID) ([]sprout.Address, error)
}
