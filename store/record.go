package store

import (
	"context"
	"errors"
	"net/netip"

	"github.com/jackc/pgx/v5"

	"sprout"
)

// A named is a row: the addresses of a name, at most one of each family.
type named struct {
	sprout.Record // without IP
	ips           []netip.Addr
}

func scanRecord(row pgx.CollectableRow) (n named, err error) {
	var a, b netip.Addr
	err = row.Scan(&n.Site, &n.Name, &n.VRF, &n.TTL, &a, &b)
	for _, ip := range []netip.Addr{a, b} {
		if ip.IsValid() {
			n.ips = append(n.ips, ip)
		}
	}
	return n, err
}

// records are those of the row, one for each address.
func (n named) records() []sprout.Record {
	list := make([]sprout.Record, len(n.ips))
	for i, ip := range n.ips {
		list[i] = n.Record
		list[i].IP = ip
	}
	return list
}

const (
	recordColumns = `site, name, vrf, ttl, ip, ip6`
	recordSelect  = `SELECT ` + recordColumns + ` FROM record `
)

// recordKey is the key of a record's sprout.Change.
func recordKey(r sprout.Record) string { return r.Name + " " + r.IP.String() }

// SetRecord publishes r.Name → r.IP and the reverse, in place of the address of
// its family that the name had. In another VRF than it was the name loses both.
// A TTL of 0 becomes 300 s. Conflict if another name has the address.
func (s *Store) SetRecord(ctx context.Context, tx pgx.Tx, r sprout.Record) error {
	if r.TTL == 0 {
		r.TTL = 300
	}
	old, err := one(ctx, tx, scanRecord, recordSelect+`WHERE site = $1 AND name = $2 FOR UPDATE`, r.Site, r.Name)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return err
	}
	var ip, ip6 netip.Addr
	for _, o := range old.records() {
		switch {
		case o.VRF == r.VRF && o.IP.Is4() != r.IP.Is4() && o.IP.Is4():
			ip = o.IP
		case o.VRF == r.VRF && o.IP.Is4() != r.IP.Is4():
			ip6 = o.IP
		case o.IP != r.IP:
			if err := s.forgetAtSite(ctx, tx, r.Site, sprout.ChangeRecord, recordKey(o)); err != nil {
				return err
			}
		}
	}
	if r.IP.Is4() {
		ip = r.IP
	} else {
		ip6 = r.IP
	}
	if _, err := exec(ctx, tx, `
		INSERT INTO record (site, name, vrf, ip, ip6, ttl) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (site, name) DO UPDATE SET vrf = excluded.vrf, ip = excluded.ip, ip6 = excluded.ip6, ttl = excluded.ttl`,
		r.Site, r.Name, r.VRF, ip, ip6, r.TTL); err != nil {
		return err
	}
	return s.Replicate(ctx, tx, r.Site, sprout.ChangeRecord, recordKey(r), r)
}

// DeleteRecord withdraws a name and its reverses; a missing name is no error.
func (s *Store) DeleteRecord(ctx context.Context, tx pgx.Tx, site sprout.SiteID, name string) error {
	old, err := one(ctx, tx, scanRecord, `
		DELETE FROM record WHERE site = $1 AND name = $2 RETURNING `+recordColumns, site, name)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	for _, r := range old.records() {
		err = errors.Join(err, s.forgetAtSite(ctx, tx, site, sprout.ChangeRecord, recordKey(r)))
	}
	return err
}

// FindRecord returns what a name was set to, IPv4 first, and whether it was.
func (s *Store) FindRecord(ctx context.Context, site sprout.SiteID, name string) (sprout.Record, bool, error) {
	n, err := one(ctx, s.db, scanRecord, recordSelect+`WHERE site = $1 AND name = $2`, site, name)
	if errors.Is(err, pgx.ErrNoRows) {
		return n.Record, false, nil
	}
	if err != nil {
		return n.Record, false, err
	}
	return n.records()[0], true, nil
}
