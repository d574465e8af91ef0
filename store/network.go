package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"sprout"
)

func scanNetwork(row pgx.CollectableRow) (n sprout.Network, err error) {
	n.Subnets = []sprout.Subnet{}
	err = row.Scan(&n.ID, &n.Site, &n.SiteName, &n.Name, &n.VLAN, &n.VRF, &n.MTU)
	return n, err
}

const networkSelect = `SELECT n.id, n.site, s.name, n.name, n.vlan, n.vrf, n.mtu FROM network n JOIN site s ON s.id = n.site `

// CreateNetwork makes a network with its subnets and ranges. Conflict if its
// name exists in the site or its VLAN is another's,
// or a subnet overlaps one of its VRF.
func (s *Store) CreateNetwork(ctx context.Context, tx pgx.Tx, n sprout.Network) (sprout.Network, error) {
	if err := checkLabel(n.Name); err != nil {
		return n, err
	}
	if err := checkVRF(n.VRF); err != nil {
		return n, err
	}
	if n.ID == "" {
		n.ID = sprout.NewID[sprout.NetworkID](sprout.PrefixNetwork)
	}
	if n.MTU == 0 {
		n.MTU = 1500
	}
	made, err := exec(ctx, tx, `
		INSERT INTO network (site, id, name, vlan, vrf, mtu) SELECT id, $2, $3, $4, $5, $6 FROM site WHERE id = $1`,
		n.Site, n.ID, n.Name, n.VLAN, n.VRF, n.MTU)
	if err := mustTouch(made, err, "site", string(n.Site)); err != nil {
		return n, err
	}
	told := happened(sprout.WasCreated, n.Site, n.ID)
	told.Name = n.Name
	if err := s.touch(ctx, tx, told); err != nil {
		return n, err
	}
	for _, sub := range n.Subnets {
		sub.Network = n.ID
		if sub.MTU == 0 {
			sub.MTU = n.MTU
		}
		if _, err := s.AddSubnet(ctx, tx, sub); err != nil {
			return n, err
		}
	}
	return s.In(tx).Network(ctx, n.ID)
}

// UpdateNetwork gives the network of n's id n's name, VLAN, VRF and MTU; its
// subnets that had its MTU follow. Conflict, naming what uses it, if it changes
// its VRF while addresses of it are in use.
func (s *Store) UpdateNetwork(ctx context.Context, tx pgx.Tx, n sprout.Network) (sprout.Network, error) {
	if err := checkLabel(n.Name); err != nil {
		return n, err
	}
	if err := checkVRF(n.VRF); err != nil {
		return n, err
	}
	if err := s.Lock(ctx, tx, "network", string(n.ID)); err != nil {
		return n, err
	}
	old, err := s.In(tx).Network(ctx, n.ID)
	if err != nil {
		return n, err
	}
	var ids []sprout.SubnetID
	for _, sub := range old.Subnets {
		if _, err := s.lockSubnet(ctx, tx, sub.ID); err != nil {
			return n, err
		}
		ids = append(ids, sub.ID)
	}
	if n.VRF != old.VRF {
		if err := keepUsed(ctx, tx, "vrf", "move the network to another VRF", loss{subnets: ids, leases: true}); err != nil {
			return n, err
		}
	}
	if _, err := exec(ctx, tx, `UPDATE network SET name = $2, vlan = $3, vrf = $4, mtu = $5 WHERE id = $1`, n.ID, n.Name, n.VLAN, n.VRF, n.MTU); err != nil {
		return n, err
	}
	if _, err := exec(ctx, tx, `UPDATE subnet SET mtu = $2 WHERE network = $1 AND mtu = $3`, n.ID, n.MTU, old.MTU); err != nil {
		return n, err
	}
	if n.VRF != old.VRF || n.MTU != old.MTU { // else no site has it
		for _, id := range ids {
			if _, err := s.replicateSubnet(ctx, tx, id); err != nil {
				return n, err
			}
		}
	}
	if err := s.touch(ctx, tx, changed(old.Site, n.ID)); err != nil {
		return n, err
	}
	return s.In(tx).Network(ctx, n.ID)
}

func checkVRF(vrf string) error {
	if vrf != "" && !label.MatchString(vrf) {
		return sprout.InvalidField("vrf", "%q must be a DNS label: a-z, 0-9 and hyphens inside, at most 63 characters", vrf)
	}
	return nil
}

// DeleteNetwork removes a network with its subnets and ranges. Conflict, naming
// what uses it, while addresses of it are in use, or machines are configured with it.
func (s *Store) DeleteNetwork(ctx context.Context, tx pgx.Tx, id sprout.NetworkID) error {
	subnets, err := many(ctx, tx, scanSubnet, subnetSelect+`WHERE network = $1 FOR UPDATE`, id)
	if err != nil {
		return err
	}
	ids, owners := make([]sprout.SubnetID, len(subnets)), make([]string, len(subnets))
	for i, sub := range subnets {
		ids[i], owners[i] = sub.ID, string(sub.ID)
	}
	all := loss{subnets: ids, leases: true}
	if err := keepUsed(ctx, tx, "", "delete the network", all); err != nil {
		return err
	}
	if err := keepConfigured(ctx, tx, "", "delete the network", all); err != nil {
		return err
	}
	if err := s.forgetDHCPOptions(ctx, tx, owners...); err != nil {
		return err
	}
	type row struct {
		Site sprout.SiteID
		Name string
	}
	n, err := one(ctx, tx, pgx.RowToStructByPos[row], `DELETE FROM network WHERE id = $1 RETURNING site, name`, id)
	if err != nil {
		return orNotFound(err, "network", string(id))
	}
	gone := happened(sprout.WasDeleted, n.Site, id)
	gone.Name = n.Name
	if err := s.touch(ctx, tx, gone); err != nil {
		return err
	}
	for _, sub := range subnets {
		if err := s.forgetAtSite(ctx, tx, sub.Site, sprout.ChangeSubnet, string(sub.ID)); err != nil {
			return err
		}
	}
	return nil
}

// Network returns a network with its subnets and their ranges.
func (s *Store) Network(ctx context.Context, id sprout.NetworkID) (sprout.Network, error) {
	list, err := s.networks(ctx, `WHERE n.id = $1`, id)
	if err != nil {
		return sprout.Network{}, err
	}
	if len(list) == 0 {
		return sprout.Network{}, sprout.Errorf(sprout.NotFound, "cannot find network %q", id)
	}
	return list[0], nil
}

// FindNetwork returns the network of one of the sites that ref names: its name or id.
func (s *Store) FindNetwork(ctx context.Context, sites sprout.Sites, ref string) (sprout.Network, error) {
	list, err := s.networks(ctx, `WHERE ($1::text[] IS NULL OR n.site = ANY ($1)) AND (n.name = $2 OR n.id = $2) ORDER BY s.name LIMIT 2`, sites, ref)
	switch {
	case err != nil:
		return sprout.Network{}, err
	case len(list) == 0:
		return sprout.Network{}, sprout.Errorf(sprout.NotFound, "cannot find network %q", ref)
	case len(list) > 1:
		return sprout.Network{}, sprout.InvalidField("network", "%q is in %s and in %s: say which site", ref, list[0].SiteName, list[1].SiteName)
	}
	return list[0], nil
}

// Networks lists the networks of sites by name.
func (s *Store) Networks(ctx context.Context, sites sprout.Sites) ([]sprout.Network, error) {
	return s.networks(ctx, `WHERE $1::text[] IS NULL OR n.site = ANY ($1) ORDER BY s.name, n.name`, sites)
}

// A NetworkFilter restricts a list of networks; zero fields do not.
type NetworkFilter struct {
	Sites sprout.Sites
	Page
}

var networkListing = listing[sprout.Network]{"network", "name", map[string]order[sprout.Network]{
	"created": {[]key{text("n.id")}, func(n sprout.Network) []string { return []string{string(n.ID)} }},
	"name":    {[]key{text("n.name"), text("n.id")}, func(n sprout.Network) []string { return []string{n.Name, string(n.ID)} }},
}}

// ListNetworks lists networks, by default by name.
func (s *Store) ListNetworks(ctx context.Context, f NetworkFilter) ([]sprout.Network, string, error) {
	var q selection
	among(&q, "n.site", f.Sites)
	return page(networkListing, f.Page, q, func(tail string, args ...any) ([]sprout.Network, error) {
		return s.networks(ctx, tail, args...)
	})
}

// networks reads networks and completes them by two more queries.
func (s *Store) networks(ctx context.Context, where string, args ...any) ([]sprout.Network, error) {
	list, err := many(ctx, s.db, scanNetwork, networkSelect+where, args...)
	if err != nil || len(list) == 0 {
		return list, err
	}
	at := map[sprout.NetworkID]int{}
	ids := make([]string, len(list))
	for i, n := range list {
		at[n.ID], ids[i] = i, string(n.ID)
	}
	subnets, err := s.subnets(ctx, `WHERE network = ANY ($1) ORDER BY cidr`, ids)
	for _, sub := range subnets {
		n := &list[at[sub.Network]]
		n.Subnets = append(n.Subnets, sub)
	}
	return list, err
}

// KeepNetwork is CreateNetwork in a transaction of its own.
func (s *Store) KeepNetwork(ctx context.Context, n sprout.Network) (made sprout.Network, err error) {
	err = s.Tx(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
		made, err = s.CreateNetwork(ctx, tx, n)
		return err
	})
	return made, err
}
