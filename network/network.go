// Package network says what Sprout needs of a network model. Each folder below
// is one way to have it; networktest is the contract that each passes.
package network

import (
	"context"

	"sprout"
)

// A Provider knows the networks of a site and checks changes to them. Invalid
// errors name the field. An overlap within a VRF, and whatever would take
// addresses from who uses them, is a Conflict that says what is there; addresses
// are in use that are allocated or leased. What is not there is NotFound.
type Provider interface {
	// Networks lists the networks of a site with their subnets and ranges.
	Networks(ctx context.Context, site sprout.SiteID) ([]sprout.Network, error)
	// Create adds a network with its subnets.
	Create(ctx context.Context, n sprout.Network) (sprout.Network, error)
	// Update gives the network of n's id n's name, VLAN, VRF and MTU.
	Update(ctx context.Context, n sprout.Network) (sprout.Network, error)
	// Delete removes a network that nothing uses.
	Delete(ctx context.Context, id sprout.NetworkID) error

	// CreateSubnet adds a subnet with its ranges to sub.Network.
	CreateSubnet(ctx context.Context, sub sprout.Subnet) (sprout.Subnet, error)
	// NextSubnet gives sub a prefix, and a gateway in it, as CreateNextSubnet would
	// now, and keeps nothing.
	NextSubnet(ctx context.Context, sub sprout.Subnet, next sprout.NextPrefix) (sprout.Subnet, error)
	// CreateNextSubnet is CreateSubnet with a prefix that is still to be found. Two
	// callers never get the same. Conflict, which says what fills it, if none is
	// free in next.From.
	CreateNextSubnet(ctx context.Context, sub sprout.Subnet, next sprout.NextPrefix) (sprout.Subnet, error)
	// UpdateSubnet makes the subnet of sub's id as sub is, but for its ranges
	// and its network.
	UpdateSubnet(ctx context.Context, sub sprout.Subnet) (sprout.Subnet, error)
	// DeleteSubnet removes a subnet that nothing uses.
	DeleteSubnet(ctx context.Context, id sprout.SubnetID) error

	// CreateRange adds a range to a subnet.
	CreateRange(ctx context.Context, sub sprout.SubnetID, r sprout.Range) (sprout.Subnet, error)
	// UpdateRange gives the range of r's id r's kind and ends.
	UpdateRange(ctx context.Context, sub sprout.SubnetID, r sprout.Range) (sprout.Subnet, error)
	// DeleteRange removes a range of which nothing is leased.
	DeleteRange(ctx context.Context, sub sprout.SubnetID, r sprout.RangeID) (sprout.Subnet, error)
}
