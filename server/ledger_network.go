package server

import (
	"context"

	"github.com/jackc/pgx/v5"

	"sprout"
)

// inLedger does something of the store's that has a result, in the ledger's
// transaction.
func inLedger[A, T any](ctx context.Context, l ledger, do func(context.Context, pgx.Tx, A) (T, error), a A) (v T, err error) {
	err = l.tx(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
		v, err = do(ctx, tx, a)
		return err
	})
	return v, err
}

// KeepNetwork makes a network.
func (l ledger) KeepNetwork(ctx context.Context, n sprout.Network) (sprout.Network, error) {
	return inLedger(ctx, l, l.store.CreateNetwork, n)
}

// ChangeNetwork gives a network another name, VLAN, VRF and MTU.
func (l ledger) ChangeNetwork(ctx context.Context, n sprout.Network) (sprout.Network, error) {
	return inLedger(ctx, l, l.store.UpdateNetwork, n)
}

// RemoveNetwork removes a network that nothing uses.
func (l ledger) RemoveNetwork(ctx context.Context, id sprout.NetworkID) error {
	return l.tx(ctx, func(ctx context.Context, tx pgx.Tx) error { return l.store.DeleteNetwork(ctx, tx, id) })
}

// KeepSubnet adds a subnet to its network.
func (l ledger) KeepSubnet(ctx context.Context, sub sprout.Subnet) (sprout.Subnet, error) {
	return inLedger(ctx, l, l.store.AddSubnet, sub)
}

// ChangeSubnet changes all of a subnet but its ranges and its network.
func (l ledger) ChangeSubnet(ctx context.Context, sub sprout.Subnet) (sprout.Subnet, error) {
	return inLedger(ctx, l, l.store.UpdateSubnet, sub)
}

// RemoveSubnet removes a subnet that nothing uses.
func (l ledger) RemoveSubnet(ctx context.Context, id sprout.SubnetID) error {
	return l.tx(ctx, func(ctx context.Context, tx pgx.Tx) error { return l.store.DeleteSubnet(ctx, tx, id) })
}

// KeepRange adds a range, or changes the one of its id.
func (l ledger) KeepRange(ctx context.Context, id sprout.SubnetID, r sprout.Range) (sprout.Subnet, error) {
	return inLedger(ctx, l, func(ctx context.Context, tx pgx.Tx, r sprout.Range) (sprout.Subnet, error) {
		if r.ID == "" {
			return l.store.AddRange(ctx, tx, id, r)
		}
		return l.store.UpdateRange(ctx, tx, id, r)
	}, r)
}

// RemoveRange removes a range of which nothing is leased.
func (l ledger) RemoveRange(ctx context.Context, id sprout.SubnetID, r sprout.RangeID) (sprout.Subnet, error) {
	return inLedger(ctx, l, func(ctx context.Context, tx pgx.Tx, r sprout.RangeID) (sprout.Subnet, error) {
		return l.store.DeleteRange(ctx, tx, id, r)
	}, r)
}
