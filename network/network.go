// Package network says what Sprout needs of a network model. Each folder below
// is one way to have it; networktest is the contract that each passes.
package network

import (
	"context"

	"sprout"
)

// A Provider knows the networks of a site and checks changes to them.
type Provider interface {
	// Networks lists the networks of a site with their subnets and ranges.
	Networks(ctx context.Context, site sprout.SiteID) ([]sprout.Network, error)
	// Create adds a network with its subnets. Invalid errors name the field;
	// an overlap with another subnet of the site is a Conflict.
	Create(ctx context.Context, n sprout.Network) (sprout.Network, error)
	// Delete removes a network that nothing uses; else Conflict, saying what does.
	Delete(ctx context.Context, id sprout.NetworkID) error
}
