package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"sprout"
)

// AddRange adds a range to a subnet. Conflict if it overlaps another, or lies
// over an address that is in use.
func (s *Store) AddRange(ctx context.Context, tx pgx.Tx, id sprout.SubnetID, r sprout.Range) (sprout.Subnet, error) {
	if _, err := s.lockSubnet(ctx, tx, id); err != nil {
		return sprout.Subnet{}, err
	}
	if err := overNothing(ctx, tx, id, r, span{}); err != nil {
		return sprout.Subnet{}, err
	}
	if err := insertRange(ctx, tx, id, r); err != nil {
		return sprout.Subnet{}, err
	}
	return s.replicateSubnet(ctx, tx, id)
}

// overNothing refuses a range over addresses that are in use, but for those that
// were in it before.
func overNothing(ctx context.Context, tx pgx.Tx, id sprout.SubnetID, r sprout.Range, before span) error {
	return keepUsed(ctx, tx, "ranges", "make "+r.First.String()+"-"+r.Last.String()+" a "+string(r.Kind)+" range",
		loss{subnets: []sprout.SubnetID{id}, from: span{r.First, r.Last}, kept: before})
}

func insertRange(ctx context.Context, tx pgx.Tx, id sprout.SubnetID, r sprout.Range) error {
	if r.ID == "" {
		r.ID = sprout.NewID[sprout.RangeID](sprout.PrefixRange)
	}
	n, err := exec(ctx, tx, `
		INSERT INTO address_range (site, id, subnet, kind, first, last)
		SELECT site, $2, id, $3, $4, $5 FROM subnet WHERE id = $1`, id, r.ID, r.Kind, r.First, r.Last)
	return mustTouch(n, err, "subnet", string(id))
}

// UpdateRange gives the range of r's id r's kind and ends. Conflict, naming what
// uses them, if it comes to lie over addresses that are in use, or leaves out
// some that are leased.
func (s *Store) UpdateRange(ctx context.Context, tx pgx.Tx, id sprout.SubnetID, r sprout.Range) (sprout.Subnet, error) {
	old, err := s.lockRange(ctx, tx, id, r.ID)
	if err != nil {
		return sprout.Subnet{}, err
	}
	kept := span{r.First, r.Last}
	if r.Kind != old.Kind {
		kept = span{}
	}
	if err := keepLeases(ctx, tx, id, old, "change", kept); err != nil {
		return sprout.Subnet{}, err
	}
	if err := overNothing(ctx, tx, id, r, span{old.First, old.Last}); err != nil {
		return sprout.Subnet{}, err
	}
	if _, err := exec(ctx, tx, `UPDATE address_range SET kind = $2, first = $3, last = $4 WHERE id = $1`, r.ID, r.Kind, r.First, r.Last); err != nil {
		return sprout.Subnet{}, err
	}
	return s.replicateSubnet(ctx, tx, id)
}

// DeleteRange removes a range. Conflict, naming them, while addresses of a
// dynamic one are leased.
func (s *Store) DeleteRange(ctx context.Context, tx pgx.Tx, id sprout.SubnetID, r sprout.RangeID) (sprout.Subnet, error) {
	old, err := s.lockRange(ctx, tx, id, r)
	if err != nil {
		return sprout.Subnet{}, err
	}
	if err := keepLeases(ctx, tx, id, old, "delete", span{}); err != nil {
		return sprout.Subnet{}, err
	}
	if _, err := exec(ctx, tx, `DELETE FROM address_range WHERE id = $1`, r); err != nil {
		return sprout.Subnet{}, err
	}
	return s.replicateSubnet(ctx, tx, id)
}

func (s *Store) lockRange(ctx context.Context, tx pgx.Tx, id sprout.SubnetID, r sprout.RangeID) (sprout.Range, error) {
	sub, err := s.lockSubnet(ctx, tx, id)
	if err != nil {
		return sprout.Range{}, err
	}
	for _, has := range sub.Ranges {
		if has.ID == r {
			return has, nil
		}
	}
	return sprout.Range{}, sprout.Errorf(sprout.NotFound, "cannot find range %q of %s", r, sub.CIDR)
}

// keepLeases refuses to take leased addresses out of a dynamic range. What is
// allocated in a range by name stays as it is.
func keepLeases(ctx context.Context, tx pgx.Tx, id sprout.SubnetID, old sprout.Range, verb string, kept span) error {
	if old.Kind != sprout.Dynamic {
		return nil
	}
	return keepUsed(ctx, tx, "range", verb+" the dynamic range "+old.First.String()+"-"+old.Last.String(),
		loss{subnets: []sprout.SubnetID{id}, from: span{old.First, old.Last}, kept: kept, leases: true})
}
