package store

import (
	"context"
	"errors"
	"net/netip"

	"github.com/jackc/pgx/v5"

	"sprout"
)

const addressSelect = `
	SELECT a.id, a.site, a.subnet, a.vrf, a.ip, masklen(b.cidr), a.kind, coalesce(a.machine, ''), coalesce(a.mac::text, ''), a.name, a.purpose, a.expires_at, coalesce(a.taken_by::text, ''), a.probe_at, a.created_at
	FROM address a JOIN subnet b ON b.id = a.subnet `

func scanAddress(row pgx.CollectableRow) (a sprout.Address, err error) {
	err = row.Scan(&a.ID, &a.Site, &a.Subnet, &a.VRF, &a.IP, &a.Prefix, &a.Kind, &a.Machine, &a.MAC, &a.Name, &a.Purpose, &a.ExpiresAt, &a.TakenBy, &a.ProbeAt, &a.CreatedAt)
	return a, err
}

// whoHas explains why a certain address could not be had; nil: it may be now.
func (s *Store) whoHas(ctx context.Context, tx pgx.Tx, a sprout.Address) error {
	holder, err := one(ctx, tx, pgx.RowTo[string], `
		SELECT coalesce(m.name, nullif(a.name, ''), a.kind) FROM address a LEFT JOIN machine m ON m.id = a.machine
		WHERE a.site = $1 AND a.vrf = $2 AND a.ip = $3 AND (a.subnet, a.machine, a.mac) IS DISTINCT FROM ($4, $5, nullif($6, '')::macaddr)`,
		a.Site, a.VRF, a.IP, a.Subnet, a.Machine, a.MAC)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil // it is ours, or free by now
	}
	if err != nil {
		return err
	}
	return conflictIn("ip", "%s is taken by %s", a.IP, holder)
}

// SetAddressName notes the name that is published for an address, and gives it
// to the site as the host name of the reservation.
func (s *Store) SetAddressName(ctx context.Context, tx pgx.Tx, id sprout.AddressID, name string) error {
	n, err := exec(ctx, tx, `UPDATE address SET name = $2 WHERE id = $1`, id, name)
	if err := mustTouch(n, err, "address", string(id)); err != nil {
		return err
	}
	a, err := one(ctx, tx, scanAddress, addressSelect+`WHERE a.id = $1`, id)
	if err != nil {
		return err
	}
	return s.replicateReservation(ctx, tx, a)
}

// ReleaseAddresses frees all that the machine holds, in a transaction of its
// own; none is no error.
func (s *Store) ReleaseAddresses(ctx context.Context, machine sprout.MachineID) error {
	return s.Tx(ctx, func(ctx context.Context, tx pgx.Tx) error { return s.Release(ctx, tx, machine) })
}

// Release is ReleaseAddresses within a transaction. What somebody else uses too
// is given to nobody.
func (s *Store) Release(ctx context.Context, tx pgx.Tx, machine sprout.MachineID) error {
	held, err := s.In(tx).AddressesOf(ctx, machine)
	if err != nil || len(held) == 0 {
		return err
	}
	if err := s.touch(ctx, tx, changed(held[0].Site, machine)); err != nil {
		return err
	}
	for _, a := range held {
		if a.ProbeAt == nil {
			continue
		}
		if err := s.takeAway(ctx, tx, a); err != nil {
			return err
		}
	}
	if _, err := exec(ctx, tx, `DELETE FROM address WHERE machine = $1`, machine); err != nil {
		return err
	}
	for _, a := range held {
		if a.ProbeAt != nil {
			continue
		}
		s.pools.of(a.Subnet).put(a.IP)
		if err := s.replicateReservation(ctx, tx, a); err != nil {
			return err
		}
	}
	return nil
}

// AddressesOf lists what the machine holds, in order.
func (s *Store) AddressesOf(ctx context.Context, machine sprout.MachineID) ([]sprout.Address, error) {
	return many(ctx, s.db, scanAddress, addressSelect+`WHERE a.machine = $1 ORDER BY a.ip`, machine)
}

// An AddressFilter restricts a list of addresses; zero fields do not.
type AddressFilter struct {
	Sites  sprout.Sites
	Subnet sprout.SubnetID
	Kind   string
	Page
}

var addressListing = listing[sprout.Address]{"address", "ip", map[string]order[sprout.Address]{
	"ip": {[]key{text("a.site"), ip("a.ip"), text("a.vrf")}, func(a sprout.Address) []string {
		return []string{string(a.Site), a.IP.String(), a.VRF}
	}},
}}

// inForce leaves out what is free again.
const inForce = `(a.expires_at IS NULL OR a.expires_at > now())`

// FindAddresses returns the addresses of the sites that ref names, by id or by
// itself: more than one if it is given out more than once.
func (s *Store) FindAddresses(ctx context.Context, sites sprout.Sites, ref string) ([]sprout.Address, error) {
	ip, _ := netip.ParseAddr(ref) // no address: an id
	return many(ctx, s.db, scanAddress, addressSelect+`
		WHERE ($1::text[] IS NULL OR a.site = ANY ($1)) AND (a.id = $2 OR a.ip = $3) AND `+inForce+` ORDER BY a.site, a.vrf LIMIT 2`, sites, ref, orNone(ip))
}

// orNone makes no address NULL.
func orNone(ip netip.Addr) *netip.Addr {
	if !ip.IsValid() {
		return nil
	}
	return &ip
}

// Addresses lists addresses in order, those of one site after those of another.
func (s *Store) Addresses(ctx context.Context, f AddressFilter) ([]sprout.Address, string, error) {
	var q selection
	among(&q, "a.site", f.Sites)
	equal(&q, "a.subnet", f.Subnet)
	equal(&q, "a.kind", f.Kind)
	q.conditions = append(q.conditions, inForce)
	return page(addressListing, f.Page, q, func(tail string, args ...any) ([]sprout.Address, error) {
		return many(ctx, s.db, scanAddress, addressSelect+tail, args...)
	})
}
