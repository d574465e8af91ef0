package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"sprout"
)

const leaseSelect = `SELECT site, subnet, ip, mac::text, client_id, hostname, state, expires_at FROM lease `

func scanLease(row pgx.CollectableRow) (l sprout.Lease, err error) {
	err = row.Scan(&l.Site, &l.Subnet, &l.IP, &l.MAC, &l.ClientID, &l.Hostname, &l.State, &l.ExpiresAt)
	return l, err
}

// SetLease keeps what an agent said last of an address.
func (s *Store) SetLease(ctx context.Context, tx pgx.Tx, l sprout.Lease) error {
	_, err := exec(ctx, tx, `
		INSERT INTO lease (site, ip, subnet, mac, client_id, hostname, state, expires_at)
		VALUES ($1, $2, $3, $4::text::macaddr, $5, $6, $7, $8)
		ON CONFLICT (site, ip) DO UPDATE SET subnet = excluded.subnet, mac = excluded.mac, client_id = excluded.client_id,
			hostname = excluded.hostname, state = excluded.state, expires_at = excluded.expires_at`,
		l.Site, l.IP, l.Subnet, l.MAC, l.ClientID, l.Hostname, l.State, l.ExpiresAt)
	return err
}

// A LeaseFilter restricts a list of leases; zero fields do not.
type LeaseFilter struct {
	Sites sprout.Sites
	Page
}

var leaseListing = listing[sprout.Lease]{"lease", "ip", map[string]order[sprout.Lease]{
	"ip": {[]key{text("site"), ip("ip")}, func(l sprout.Lease) []string { return []string{string(l.Site), l.IP.String()} }},
}}

// Leases lists the leases that are in force by address, those of one site after
// those of another.
func (s *Store) Leases(ctx context.Context, f LeaseFilter) ([]sprout.Lease, string, error) {
	q := selection{conditions: []string{"state = 'bound'", "expires_at > now()"}}
	among(&q, "site", f.Sites)
	return page(leaseListing, f.Page, q, func(tail string, args ...any) ([]sprout.Lease, error) {
		return many(ctx, s.db, scanLease, leaseSelect+tail, args...)
	})
}
