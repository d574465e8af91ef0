// Package builtin is the network model that Sprout brings: pure rules over the
// networks of a ledger. It must not know SQL or who asks.
package builtin

import (
	"context"

	"sprout"
	"sprout/network"
)

// A Ledger keeps networks. Its own constraints hold also when two callers pass
// Check at the same time, and it is what knows who uses addresses: each change
// that would take some from their users is a Conflict. *store.Store is one.
type Ledger interface {
	// Networks lists the networks of a site with their subnets and ranges.
	Networks(ctx context.Context, site sprout.SiteID) ([]sprout.Network, error)
	// Subnet returns a subnet with its ranges; NotFound if there is none.
	Subnet(ctx context.Context, id sprout.SubnetID) (sprout.Subnet, error)
	// KeepNetwork makes a network; Conflict if it overlaps another of its VRF.
	KeepNetwork(ctx context.Context, n sprout.Network) (sprout.Network, error)
	// ChangeNetwork gives a network another name, VLAN, VRF and MTU.
	ChangeNetwork(ctx context.Context, n sprout.Network) (sprout.Network, error)
	// RemoveNetwork removes one that nothing uses.
	RemoveNetwork(ctx context.Context, id sprout.NetworkID) error
	// KeepSubnet adds a subnet to its network.
	KeepSubnet(ctx context.Context, sub sprout.Subnet) (sprout.Subnet, error)
	// ChangeSubnet makes a subnet as sub is, but for ranges and network.
	ChangeSubnet(ctx context.Context, sub sprout.Subnet) (sprout.Subnet, error)
	// RemoveSubnet removes one that nothing uses.
	RemoveSubnet(ctx context.Context, id sprout.SubnetID) error
	// KeepRange adds a range, or changes the one of its id.
	KeepRange(ctx context.Context, sub sprout.SubnetID, r sprout.Range) (sprout.Subnet, error)
	// RemoveRange removes one of which nothing is leased.
	RemoveRange(ctx context.Context, sub sprout.SubnetID, r sprout.RangeID) (sprout.Subnet, error)
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

// Update implements network.Provider.
func (p Provider) Update(ctx context.Context, n sprout.Network) (sprout.Network, error) {
	existing, old, err := p.of(ctx, n.Site, n.ID)
	if err != nil {
		return n, err
	}
	n.Subnets = followers(old, n.MTU)
	if err := Check(existing, n); err != nil {
		return n, err
	}
	return p.Ledger.ChangeNetwork(ctx, n)
}

// followers are the subnets of a network that becomes one of another MTU: those
// that had its MTU follow.
func followers(old sprout.Network, mtu int) []sprout.Subnet {
	list := append([]sprout.Subnet{}, old.Subnets...)
	for i := range list {
		if list[i].MTU == old.MTU {
			list[i].MTU = mtu
		}
	}
	return list
}

// Delete implements network.Provider.
func (p Provider) Delete(ctx context.Context, id sprout.NetworkID) error {
	return p.Ledger.RemoveNetwork(ctx, id)
}

// CreateSubnet implements network.Provider.
func (p Provider) CreateSubnet(ctx context.Context, sub sprout.Subnet) (sprout.Subnet, error) {
	if err := p.check(ctx, sub); err != nil {
		return sub, err
	}
	return p.Ledger.KeepSubnet(ctx, sub)
}

// UpdateSubnet implements network.Provider.
func (p Provider) UpdateSubnet(ctx context.Context, sub sprout.Subnet) (sprout.Subnet, error) {
	ranges := sub.Ranges
	sub.Ranges = nil // those that a new prefix leaves outside are in use: the ledger says so
	if err := p.check(ctx, sub); err != nil {
		return sub, err
	}
	sub.Ranges = ranges
	for _, r := range ranges {
		if sub.Gateway.IsValid() && r.Kind == sprout.Dynamic && r.Contains(sub.Gateway) {
			return sub, sprout.InvalidField("gateway", "%s is in the dynamic range %s-%s", sub.Gateway, r.First, r.Last)
		}
	}
	return p.Ledger.ChangeSubnet(ctx, sub)
}

// check holds a subnet against those of its site.
func (p Provider) check(ctx context.Context, sub sprout.Subnet) error {
	existing, n, err := p.of(ctx, sub.Site, sub.Network)
	if err != nil {
		return err
	}
	return CheckSubnet("", existing, n, n.Subnets, sub)
}

// of finds a network among those of its site.
func (p Provider) of(ctx context.Context, site sprout.SiteID, id sprout.NetworkID) (all []sprout.Network, n sprout.Network, err error) {
	if all, err = p.Ledger.Networks(ctx, site); err != nil {
		return nil, n, err
	}
	for _, n := range all {
		if n.ID == id {
			return all, n, nil
		}
	}
	return nil, n, sprout.Errorf(sprout.NotFound, "cannot find network %q", id)
}

// DeleteSubnet implements network.Provider.
func (p Provider) DeleteSubnet(ctx context.Context, id sprout.SubnetID) error {
	return p.Ledger.RemoveSubnet(ctx, id)
}

// CreateRange implements network.Provider.
func (p Provider) CreateRange(ctx context.Context, id sprout.SubnetID, r sprout.Range) (sprout.Subnet, error) {
	return p.UpdateRange(ctx, id, r)
}

// UpdateRange implements network.Provider.
func (p Provider) UpdateRange(ctx context.Context, id sprout.SubnetID, r sprout.Range) (sprout.Subnet, error) {
	sub, err := p.Ledger.Subnet(ctx, id)
	if err != nil {
		return sub, err
	}
	var others []sprout.Range
	for _, o := range sub.Ranges {
		if o.ID != r.ID {
			others = append(others, o)
		}
	}
	if err := CheckRange("range", sub, others, nil, r); err != nil {
		return sub, err
	}
	return p.Ledger.KeepRange(ctx, id, r)
}

// DeleteRange implements network.Provider.
func (p Provider) DeleteRange(ctx context.Context, id sprout.SubnetID, r sprout.RangeID) (sprout.Subnet, error) {
	return p.Ledger.RemoveRange(ctx, id, r)
}
