package store

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"sprout"
)

const addressSelect = `
	SELECT a.id, a.site, a.subnet, a.vrf, a.ip, masklen(b.cidr), a.kind, coalesce(a.machine, ''), coalesce(a.mac::text, ''), a.name, a.created_at
	FROM address a JOIN subnet b ON b.id = a.subnet `

func scanAddress(row pgx.CollectableRow) (a sprout.Address, err error) {
	err = row.Scan(&a.ID, &a.Site, &a.Subnet, &a.VRF, &a.IP, &a.Prefix, &a.Kind, &a.Machine, &a.MAC, &a.Name, &a.CreatedAt)
	return a, err
}

// AllocateAddress gives a.Machine an address of a.Subnet for a.MAC, in a
// transaction of its own: the one it holds there, else a.IP if set, else a free
// one, low ones first. Two callers never get the same. Conflict if a.IP is
// taken; Conflict with a *sprout.Failure of code SubnetFull as its cause if no
// address is free. Whether a.IP may be had at all is the caller's to check.
func (s *Store) AllocateAddress(ctx context.Context, a sprout.Address) (sprout.Address, error) {
	var got sprout.Address
	err := s.Tx(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
		got, err = s.Allocate(ctx, tx, a)
		return err
	})
	return got, err
}

// Allocate is AllocateAddress within a transaction.
func (s *Store) Allocate(ctx context.Context, tx pgx.Tx, a sprout.Address) (sprout.Address, error) {
	if a.MAC != "" {
		mac, err := canonicalMAC("mac", a.MAC)
		if err != nil {
			return a, err
		}
		a.MAC = mac
	}
	if a.Kind == "" {
		a.Kind = "machine"
	}
	// KEY SHARE keeps AddRange and DeleteNetwork out, not other allocations.
	sub, err := one(ctx, tx, scanSubnet, subnetSelect+`WHERE id = $1 FOR KEY SHARE`, a.Subnet)
	if err != nil {
		return a, orNotFound(err, "subnet", string(a.Subnet))
	}
	a.Site, a.VRF = sub.Site, sub.VRF
	for {
		held, err := one(ctx, tx, scanAddress, addressSelect+`
			WHERE a.subnet = $1 AND a.machine = $2 AND (a.mac = nullif($3, '')::macaddr OR $3 = '' AND a.mac IS NULL)`, a.Subnet, a.Machine, a.MAC)
		if !errors.Is(err, pgx.ErrNoRows) {
			return held, err
		}
		taken, err := s.tryAllocate(ctx, tx, sub, a)
		if !errors.Is(err, errRaced) {
			return taken, err
		}
	}
}

// errRaced says that another caller was faster: look again.
var errRaced = errors.New("another caller took the address")

// tryAllocate picks an address and inserts it; the constraints decide.
func (s *Store) tryAllocate(ctx context.Context, tx pgx.Tx, sub sprout.Subnet, a sprout.Address) (sprout.Address, error) {
	asked := a.IP.IsValid()
	if !asked {
		ip, err := s.freeAddress(ctx, tx, sub)
		if err != nil {
			return a, err
		}
		a.IP = ip
	}
	a.ID = sprout.NewID[sprout.AddressID](sprout.PrefixAddress)
	n, err := exec(ctx, tx, `
		INSERT INTO address (site, id, subnet, vrf, ip, kind, machine, mac, name)
		VALUES ($1, $2, $3, $4, $5, $6, nullif($7, ''), nullif($8, '')::macaddr, $9)
		ON CONFLICT DO NOTHING`, a.Site, a.ID, a.Subnet, a.VRF, a.IP, a.Kind, a.Machine, a.MAC, a.Name)
	if err != nil {
		return a, err
	}
	if n == 0 && asked {
		return a, s.whoHas(ctx, tx, a)
	}
	if n == 0 {
		return a, errRaced
	}
	s.hints.set(a.Subnet, a.IP.Next())
	if err := s.replicateReservation(ctx, tx, a); err != nil {
		return a, err
	}
	return one(ctx, tx, scanAddress, addressSelect+`WHERE a.id = $1`, a.ID)
}

// whoHas explains why a certain address could not be had.
func (s *Store) whoHas(ctx context.Context, tx pgx.Tx, a sprout.Address) error {
	holder, err := one(ctx, tx, pgx.RowTo[string], `
		SELECT coalesce(m.name, nullif(a.name, ''), a.kind) FROM address a LEFT JOIN machine m ON m.id = a.machine
		WHERE a.site = $1 AND a.vrf = $2 AND a.ip = $3 AND (a.subnet, a.machine, a.mac) IS DISTINCT FROM ($4, $5, nullif($6, '')::macaddr)`,
		a.Site, a.VRF, a.IP, a.Subnet, a.Machine, a.MAC)
	if errors.Is(err, pgx.ErrNoRows) {
		return errRaced // it is ours, or free by now
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

// Release is ReleaseAddresses within a transaction.
func (s *Store) Release(ctx context.Context, tx pgx.Tx, machine sprout.MachineID) error {
	held, err := s.In(tx).AddressesOf(ctx, machine)
	if err != nil || len(held) == 0 {
		return err
	}
	if err := s.touch(ctx, tx, changed(held[0].Site, machine)); err != nil {
		return err
	}
	if _, err := exec(ctx, tx, `DELETE FROM address WHERE machine = $1`, machine); err != nil {
		return err
	}
	for _, a := range held {
		s.hints.lower(a.Subnet, a.IP)
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
	Page
}

var addressListing = listing[sprout.Address]{"address", "ip", map[string]order[sprout.Address]{
	"ip": {[]key{text("a.site"), ip("a.ip"), text("a.vrf")}, func(a sprout.Address) []string {
		return []string{string(a.Site), a.IP.String(), a.VRF}
	}},
}}

// Addresses lists addresses in order, those of one site after those of another.
func (s *Store) Addresses(ctx context.Context, f AddressFilter) ([]sprout.Address, string, error) {
	var q selection
	among(&q, "a.site", f.Sites)
	equal(&q, "a.subnet", f.Subnet)
	return page(addressListing, f.Page, q, func(tail string, args ...any) ([]sprout.Address, error) {
		return many(ctx, s.db, scanAddress, addressSelect+tail, args...)
	})
}
