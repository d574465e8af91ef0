// Package builtin is the network model that Sprout brings: pure rules over the
// networks of a ledger. It must not know SQL or who asks.
package builtin

import (
	"context"

	"sprout"
	"sprout/network"
)

// A Ledger keeps networks. Its own constraints hold also when two callers pass
// Check at the same time. *store.Store is one.
type Ledger interface {
	// Networks lists the networks of a site with their subnets and ranges.
	Networks(ctx context.Context, site sprout.SiteID) ([]sprout.Network, error)
	// KeepNetwork makes a network; Conflict if it overlaps another of the site.
	KeepNetwork(ctx context.Context, n sprout.Network) (sprout.Network, error)
	// RemoveNetwork removes one that nothing uses; else Conflict.
	RemoveNetwork(ctx context.Context, id sprout.NetworkID) error
}

var _ network.Provider = Provider{}

// A Provider checks changes and keeps them in a ledger.
type Provider struct{ Ledger Ledger }

// Networks implements network.Provider.
func (p Provider) Networks(ctx context.Context, site sprout.SiteID) ([]sprout.Network, error) {
	return p.Ledger.Networks(ctx, site)
}

// Create implements network.Provider.
func (p Provider) Create(ctx context.Context, n sprout.Network) (sprout.Network, error) {
	existing, err := p.Ledger.Networks(ctx, n.Site)
	if err != nil {
		return n, err
	}
	if err := Check(existing, n); err != nil {
		return n, err
	}
	return p.Ledger.KeepNetwork(ctx, n)
}

// Delete implements network.Provider.
func (p Provider) Delete(ctx context.Context, id sprout.NetworkID) error {
	return p.Ledger.RemoveNetwork(ctx, id)
}
