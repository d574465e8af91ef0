package server

import (
	"context"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/provider"
	"sprout/store"
)

// newCentre puts the selected providers over the store.
func newCentre(s *store.Store, selection provider.Selection) (*centre, provider.Set, error) {
	set, err := provider.Open(selection, ledger{s})
	return &centre{store: s, ipam: set.IPAM, dns: set.DNS}, set, err
}

// A ledger is the store as builtin providers see it: without transactions. A
// call takes part in the transaction that withTx put into its context, and
// else is one of its own.
type ledger struct{ store *store.Store }

type txKey struct{}

// withTx makes the ledger's calls with this context part of tx.
func withTx(ctx context.Context, tx pgx.Tx) context.Context {
	return context.WithValue(ctx, txKey{}, tx)
}

func (l ledger) tx(ctx context.Context, do func(ctx context.Context, tx pgx.Tx) error) error {
	if tx, ok := ctx.Value(txKey{}).(pgx.Tx); ok {
		return do(ctx, tx)
	}
	return l.store.Tx(ctx, do)
}

func (l ledger) in(ctx context.Context) *store.Store {
	if tx, ok := ctx.Value(txKey{}).(pgx.Tx); ok {
		return l.store.In(tx)
	}
	return l.store
}

// SetRecord publishes a name.
func (l ledger) SetRecord(ctx context.Context, r sprout.Record) error {
	return l.tx(ctx, func(ctx context.Context, tx pgx.Tx) error { return l.store.SetRecord(ctx, tx, r) })
}

// DeleteRecord withdraws a name.
func (l ledger) DeleteRecord(ctx context.Context, site sprout.SiteID, name string) error {
	return l.tx(ctx, func(ctx context.Context, tx pgx.Tx) error { return l.store.DeleteRecord(ctx, tx, site, name) })
}

// Record returns what a name was set to.
func (l ledger) Record(ctx context.Context, site sprout.SiteID, name string) (sprout.Record, bool, error) {
	return l.in(ctx).FindRecord(ctx, site, name)
}

// Subnet returns a subnet with its ranges.
func (l ledger) Subnet(ctx context.Context, id sprout.SubnetID) (sprout.Subnet, error) {
	return l.in(ctx).Subnet(ctx, id)
}

// AllocateAddress gives out an address.
func (l ledger) AllocateAddress(ctx context.Context, a sprout.Address) (got sprout.Address, err error) {
	if tx, ok := ctx.Value(txKey{}).(pgx.Tx); ok {
		return l.store.Allocate(ctx, tx, a)
	}
	return l.store.AllocateAddress(ctx, a)
}

// ReserveAddresses gives out a block.
func (l ledger) ReserveAddresses(ctx context.Context, b sprout.AddressBlock) (got []sprout.Address, err error) {
	err = l.tx(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
		got, err = l.store.Reserve(ctx, tx, b)
		return err
	})
	return got, err
}

// FreeAddress frees an address that no machine has.
func (l ledger) FreeAddress(ctx context.Context, id sprout.AddressID) error {
	return l.tx(ctx, func(ctx context.Context, tx pgx.Tx) error { return l.store.Free(ctx, tx, id) })
}

// QuarantineAddress keeps an address away from everybody.
func (l ledger) QuarantineAddress(ctx context.Context, c sprout.AddressConflict) error {
	return l.tx(ctx, func(ctx context.Context, tx pgx.Tx) error { return l.store.Quarantine(ctx, tx, c) })
}

// ReleaseAddresses frees what a machine holds.
func (l ledger) ReleaseAddresses(ctx context.Context, machine sprout.MachineID) error {
	return l.tx(ctx, func(ctx context.Context, tx pgx.Tx) error { return l.store.Release(ctx, tx, machine) })
}

// AddressesOf lists what a machine holds.
func (l ledger) AddressesOf(ctx context.Context, machine sprout.MachineID) ([]sprout.Address, error) {
	return l.in(ctx).AddressesOf(ctx, machine)
}

// Networks lists the networks of a site.
func (l ledger) Networks(ctx context.Context, site sprout.SiteID) ([]sprout.Network, error) {
	return l.in(ctx).Networks(ctx, sprout.At(site))
}
