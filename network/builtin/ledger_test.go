package builtin_test

import (
	"context"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/store"
)

// A ledger is the store, of one site, as the server has it.
type ledger struct{ *store.Store }

func (l ledger) Networks(ctx context.Context, site sprout.SiteID) ([]sprout.Network, error) {
	return l.Store.Networks(ctx, sprout.At(site))
}

func kept[T any](ctx context.Context, l ledger, do func(ctx context.Context, tx pgx.Tx) (T, error)) (v T, err error) {
	err = l.Store.Tx(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
		v, err = do(ctx, tx)
		return err
	})
	return v, err
}

func (l ledger) ChangeNetwork(ctx context.Context, n sprout.Network) (sprout.Network, error) {
	return kept(ctx, l, func(ctx context.Context, tx pgx.Tx) (sprout.Network, error) { return l.Store.UpdateNetwork(ctx, tx, n) })
}

func (l ledger) RemoveNetwork(ctx context.Context, id sprout.NetworkID) error {
	return l.Store.Tx(ctx, func(ctx context.Context, tx pgx.Tx) error { return l.Store.DeleteNetwork(ctx, tx, id) })
}

func (l ledger) KeepSubnet(ctx context.Context, sub sprout.Subnet) (sprout.Subnet, error) {
	return kept(ctx, l, func(ctx context.Context, tx pgx.Tx) (sprout.Subnet, error) { return l.Store.AddSubnet(ctx, tx, sub) })
}

func (l ledger) ChangeSubnet(ctx context.Context, sub sprout.Subnet) (sprout.Subnet, error) {
	return kept(ctx, l, func(ctx context.Context, tx pgx.Tx) (sprout.Subnet, error) { return l.Store.UpdateSubnet(ctx, tx, sub) })
}

func (l ledger) RemoveSubnet(ctx context.Context, id sprout.SubnetID) error {
	return l.Store.Tx(ctx, func(ctx context.Context, tx pgx.Tx) error { return l.Store.DeleteSubnet(ctx, tx, id) })
}

func (l ledger) KeepRange(ctx context.Context, id sprout.SubnetID, r sprout.Range) (sprout.Subnet, error) {
	return kept(ctx, l, func(ctx context.Context, tx pgx.Tx) (sprout.Subnet, error) {
		if r.ID == "" {
			return l.Store.AddRange(ctx, tx, id, r)
		}
		return l.Store.UpdateRange(ctx, tx, id, r)
	})
}

func (l ledger) RemoveRange(ctx context.Context, id sprout.SubnetID, r sprout.RangeID) (sprout.Subnet, error) {
	return kept(ctx, l, func(ctx context.Context, tx pgx.Tx) (sprout.Subnet, error) {
		return l.Store.DeleteRange(ctx, tx, id, r)
	})
}
