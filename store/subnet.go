package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"sprout"
)

const subnetSelect = `
	SELECT id, site, network, vrf, cidr, gateway, dns, ntp, discover, mtu, domain, search, routes, advertise FROM subnet `

func scanSubnet(row pgx.CollectableRow) (n sprout.Subnet, err error) {
	n.Ranges = []sprout.Range{}
	err = row.Scan(&n.ID, &n.Site, &n.Network, &n.VRF, &n.CIDR, &n.Gateway, &n.DNS, &n.NTP, &n.Discover, &n.MTU,
		&n.Domain, &n.Search, &n.Routes, &n.Advertise)
	return n, err
}

// AddSubnet adds a subnet with its ranges to sub.Network.
func (s *Store) AddSubnet(ctx context.Context, tx pgx.Tx, sub sprout.Subnet) (sprout.Subnet, error) {
	if sub.ID == "" {
		sub.ID = sprout.NewID[sprout.SubnetID](sprout.PrefixSubnet)
	}
	made, err := exec(ctx, tx, `
		INSERT INTO subnet (site, id, network, vrf, cidr, gateway, dns, ntp, discover, mtu, domain, search, routes, advertise)
		SELECT site, $2, id, vrf, $3, $4, $5, $6, $7, coalesce(nullif($8, 0), mtu), $9, $10, $11, $12 FROM network WHERE id = $1`,
		sub.Network, sub.ID, sub.CIDR, sub.Gateway, orEmpty(sub.DNS), orEmpty(sub.NTP), sub.Discover, sub.MTU,
		sub.Domain, orEmpty(sub.Search), orEmpty(sub.Routes), sub.Advertise)
	if err := mustTouch(made, err, "network", string(sub.Network)); err != nil {
		return sub, err
	}
	for _, r := range sub.Ranges {
		if err := insertRange(ctx, tx, sub.ID, r); err != nil {
			return sub, err
		}
	}
	return s.replicateSubnet(ctx, tx, sub.ID)
}

// AddRange adds a range to a subnet. Conflict if it overlaps another, or lies
// over an address that is in use.
func (s *Store) AddRange(ctx context.Context, tx pgx.Tx, id sprout.SubnetID, r sprout.Range) (sprout.Subnet, error) {
	// Allocations hold the row FOR KEY SHARE: from here on none goes on.
	if _, err := one(ctx, tx, pgx.RowTo[string], `SELECT id FROM subnet WHERE id = $1 FOR UPDATE`, id); err != nil {
		return sprout.Subnet{}, orNotFound(err, "subnet", string(id))
	}
	used, err := many(ctx, tx, pgx.RowTo[string], `
		SELECT host(ip) FROM address WHERE subnet = $1 AND ip BETWEEN $2 AND $3 ORDER BY ip LIMIT 1`, id, r.First, r.Last)
	if err != nil {
		return sprout.Subnet{}, err
	}
	if len(used) > 0 {
		return sprout.Subnet{}, conflictIn("ranges", "%s-%s lies over the address %s, which is in use", r.First, r.Last, used[0])
	}
	if err := insertRange(ctx, tx, id, r); err != nil {
		return sprout.Subnet{}, err
	}
	return s.replicateSubnet(ctx, tx, id)
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

func (s *Store) replicateSubnet(ctx context.Context, tx pgx.Tx, id sprout.SubnetID) (sprout.Subnet, error) {
	sub, err := s.In(tx).Subnet(ctx, id)
	if err != nil {
		return sub, err
	}
	if err := s.touch(ctx, tx, changed(sub.Site, sub.Network)); err != nil {
		return sub, err
	}
	return sub, s.Replicate(ctx, tx, sub.Site, sprout.ChangeSubnet, string(id), sub)
}

// Subnet returns a subnet with its ranges.
func (s *Store) Subnet(ctx context.Context, id sprout.SubnetID) (sprout.Subnet, error) {
	list, err := s.subnets(ctx, `WHERE id = $1`, id)
	if err != nil {
		return sprout.Subnet{}, err
	}
	if len(list) == 0 {
		return sprout.Subnet{}, sprout.Errorf(sprout.NotFound, "cannot find subnet %q", id)
	}
	return list[0], nil
}

func (s *Store) subnets(ctx context.Context, where string, args ...any) ([]sprout.Subnet, error) {
	list, err := many(ctx, s.db, scanSubnet, subnetSelect+where, args...)
	if err != nil || len(list) == 0 {
		return list, err
	}
	at := map[sprout.SubnetID]int{}
	ids := make([]string, len(list))
	for i, n := range list {
		at[n.ID], ids[i] = i, string(n.ID)
	}
	rows, err := s.db.Query(ctx, `SELECT subnet, id, kind, first, last FROM address_range WHERE subnet = ANY ($1) ORDER BY first`, ids)
	if err != nil {
		return nil, explain(err)
	}
	var id sprout.SubnetID
	var r sprout.Range
	err = eachRow(rows, func() { list[at[id]].Ranges = append(list[at[id]].Ranges, r) }, &id, &r.ID, &r.Kind, &r.First, &r.Last)
	return list, explain(err)
}
