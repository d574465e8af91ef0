package store

import (
	"context"
	"net/netip"

	"github.com/jackc/pgx/v5"

	"sprout"
)

const subnetSelect = `
	SELECT id, site, network, vrf, cidr, gateway, dns, ntp, discover, mtu, domain, search, routes, advertise, dhcp, dhcp_servers FROM subnet `

func scanSubnet(row pgx.CollectableRow) (n sprout.Subnet, err error) {
	n.Ranges = []sprout.Range{}
	err = row.Scan(&n.ID, &n.Site, &n.Network, &n.VRF, &n.CIDR, &n.Gateway, &n.DNS, &n.NTP, &n.Discover, &n.MTU,
		&n.Domain, &n.Search, &n.Routes, &n.Advertise, &n.DHCP, &n.DHCPServers)
	return n, err
}

// AddSubnet adds a subnet with its ranges to sub.Network. Conflict if it overlaps
// another of its VRF, which is waited for if somebody is about to add it; the
// transaction can go on then.
func (s *Store) AddSubnet(ctx context.Context, tx pgx.Tx, sub sprout.Subnet) (sprout.Subnet, error) {
	if sub.ID == "" {
		sub.ID = sprout.NewID[sprout.SubnetID](sprout.PrefixSubnet)
	}
	made, err := exec(ctx, tx, `
		INSERT INTO subnet (site, id, network, vrf, cidr, gateway, dns, ntp, discover, mtu, domain, search, routes, advertise, dhcp, dhcp_servers)
		SELECT site, $2, id, vrf, $3, $4, $5, $6, $7, coalesce(nullif($8, 0), mtu), $9, $10, $11, $12, $13, $14 FROM network WHERE id = $1
		ON CONFLICT ON CONSTRAINT subnet_overlap DO NOTHING`,
		sub.Network, sub.ID, sub.CIDR, sub.Gateway, orEmpty(sub.DNS), orEmpty(sub.NTP), sub.Discover, sub.MTU,
		sub.Domain, orEmpty(sub.Search), orEmpty(sub.Routes), sub.Advertise, sub.DHCP, orEmpty(sub.DHCPServers))
	if err != nil {
		return sub, err
	}
	if made == 0 {
		return sub, s.notAdded(ctx, tx, sub)
	}
	for _, r := range sub.Ranges {
		if err := insertRange(ctx, tx, sub.ID, r); err != nil {
			return sub, err
		}
	}
	return s.replicateSubnet(ctx, tx, sub.ID)
}

// notAdded says why a subnet could not be added.
func (s *Store) notAdded(ctx context.Context, tx pgx.Tx, sub sprout.Subnet) error {
	there, err := one(ctx, tx, pgx.RowTo[bool], `SELECT EXISTS (SELECT FROM network WHERE id = $1)`, sub.Network)
	if err != nil || !there {
		return mustTouch(0, err, "network", string(sub.Network))
	}
	overlap := constraints["subnet_overlap"]
	return conflictIn(overlap.field, "%s", overlap.message)
}

// lockSubnet reads a subnet and keeps others from changing it. Allocations hold
// its row FOR KEY SHARE: from here on none goes on.
func (s *Store) lockSubnet(ctx context.Context, tx pgx.Tx, id sprout.SubnetID) (sprout.Subnet, error) {
	if _, err := one(ctx, tx, pgx.RowTo[string], `SELECT id FROM subnet WHERE id = $1 FOR UPDATE`, id); err != nil {
		return sprout.Subnet{}, orNotFound(err, "subnet", string(id))
	}
	return s.In(tx).Subnet(ctx, id)
}

// UpdateSubnet makes the subnet as sub says; its ranges and its network stay as
// they are. Conflict, naming what uses it, if its prefix loses addresses that
// are in use or ranges, or that machines are configured with, or its gateway becomes
// one that is in use.
func (s *Store) UpdateSubnet(ctx context.Context, tx pgx.Tx, sub sprout.Subnet) (sprout.Subnet, error) {
	old, err := s.lockSubnet(ctx, tx, sub.ID)
	if err != nil {
		return old, err
	}
	if err := s.mayBecome(ctx, tx, old, sub); err != nil {
		return old, err
	}
	if _, err := exec(ctx, tx, `
		UPDATE subnet SET cidr = $2, gateway = $3, dns = $4, ntp = $5, discover = $6, mtu = $7, domain = $8, search = $9, routes = $10, advertise = $11, dhcp = $12, dhcp_servers = $13
		WHERE id = $1`, sub.ID, sub.CIDR, sub.Gateway, orEmpty(sub.DNS), orEmpty(sub.NTP), sub.Discover, sub.MTU,
		sub.Domain, orEmpty(sub.Search), orEmpty(sub.Routes), sub.Advertise, sub.DHCP, orEmpty(sub.DHCPServers)); err != nil {
		return old, err
	}
	return s.replicateSubnet(ctx, tx, sub.ID)
}

// mayBecome refuses a prefix or a gateway that takes addresses from who has them.
func (s *Store) mayBecome(ctx context.Context, tx pgx.Tx, old, sub sprout.Subnet) error {
	only := []sprout.SubnetID{sub.ID}
	if sub.CIDR != old.CIDR {
		var lost []string
		for _, r := range old.Ranges {
			if !sub.CIDR.Contains(r.First) || !sub.CIDR.Contains(r.Last) {
				lost = append(lost, string(r.Kind)+" "+r.First.String()+"-"+r.Last.String())
			}
		}
		doing := "make " + old.CIDR.String() + " into " + sub.CIDR.String()
		if len(lost) > 0 {
			return inUse("cidr", doing, "of its ranges left outside", lost[:min(len(lost), someUses)], len(lost))
		}
		kept := spanOf(sub.CIDR)
		if sub.CIDR.Addr().Is4() && sub.CIDR.Bits() < 31 { // the new edges are no host's
			kept = span{kept.first.Next(), kept.last.Prev()}
		}
		left := loss{subnets: only, kept: kept, leases: true}
		if err := keepUsed(ctx, tx, "cidr", doing, left); err != nil {
			return err
		}
		if err := keepConfigured(ctx, tx, "cidr", doing, left); err != nil {
			return err
		}
	}
	if sub.Gateway == old.Gateway || !sub.Gateway.IsValid() {
		return nil
	}
	return keepUsed(ctx, tx, "gateway", "make "+sub.Gateway.String()+" the gateway",
		loss{subnets: only, from: span{sub.Gateway, sub.Gateway}, leases: true})
}

// DeleteSubnet removes a subnet with its ranges. Conflict, naming what uses it,
// while its addresses are in use, or machines are configured with it.
func (s *Store) DeleteSubnet(ctx context.Context, tx pgx.Tx, id sprout.SubnetID) error {
	sub, err := s.lockSubnet(ctx, tx, id)
	if err != nil {
		return err
	}
	doing, all := "delete the subnet "+sub.CIDR.String(), loss{subnets: []sprout.SubnetID{id}, leases: true}
	if err := keepUsed(ctx, tx, "", doing, all); err != nil {
		return err
	}
	if err := keepConfigured(ctx, tx, "", doing, all); err != nil {
		return err
	}
	if err := s.forgetDHCPOptions(ctx, tx, string(id)); err != nil {
		return err
	}
	if _, err := exec(ctx, tx, `DELETE FROM subnet WHERE id = $1`, id); err != nil {
		return err
	}
	if err := s.touch(ctx, tx, changed(sub.Site, sub.Network)); err != nil {
		return err
	}
	return s.forgetAtSite(ctx, tx, sub.Site, sprout.ChangeSubnet, string(id))
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

// A SubnetFilter restricts a list of subnets; zero fields do not.
type SubnetFilter struct {
	Sites   sprout.Sites
	Network sprout.NetworkID
	Page
}

var subnetListing = listing[sprout.Subnet]{"subnet", "cidr", map[string]order[sprout.Subnet]{
	"cidr": {[]key{text("site"), prefix("cidr"), text("id")}, func(n sprout.Subnet) []string {
		return []string{string(n.Site), n.CIDR.String(), string(n.ID)}
	}},
}}

// ListSubnets lists subnets by prefix, those of one site after those of another.
func (s *Store) ListSubnets(ctx context.Context, f SubnetFilter) ([]sprout.Subnet, string, error) {
	var q selection
	among(&q, "site", f.Sites)
	equal(&q, "network", f.Network)
	return page(subnetListing, f.Page, q, func(tail string, args ...any) ([]sprout.Subnet, error) {
		return s.subnets(ctx, tail, args...)
	})
}

// FindSubnets returns the subnets of the sites that have the id or the prefix.
func (s *Store) FindSubnets(ctx context.Context, sites sprout.Sites, ref string) ([]sprout.Subnet, error) {
	cidr, _ := netip.ParsePrefix(ref)
	return s.subnets(ctx, `WHERE ($1::text[] IS NULL OR site = ANY ($1)) AND (id = $2 OR cidr = $3) ORDER BY site, vrf, id`, sites, ref, cidr)
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
