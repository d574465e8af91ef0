package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"sprout"
)

const leaseSelect = `SELECT site, subnet, ip, mac::text, client_id, hostname, state, expires_at FROM subnet_lease `

func scanLease(row pgx.CollectableRow) (l sprout.Lease, err error) {
	err = row.Scan(&l.Site, &l.Subnet, &l.IP, &l.MAC, &l.ClientID, &l.Hostname, &l.State, &l.ExpiresAt)
	return l, err
}

// SetLeases keeps what the site's agent said last of addresses: of several words
// about one address of a subnet the last counts.
func (s *Store) SetLeases(ctx context.Context, tx pgx.Tx, site sprout.SiteID, said []sprout.Lease) error {
	if len(said) == 0 {
		return nil
	}
	_, err := exec(ctx, tx, `
		INSERT INTO subnet_lease (site, ip, subnet, mac, client_id, hostname, state, expires_at)
		SELECT DISTINCT ON (u.ip, u.subnet) $1, u.ip, u.subnet, u.mac, coalesce(u."clientId", ''), coalesce(u.hostname, ''), u.state, u."expiresAt"
		FROM ROWS FROM (jsonb_to_recordset($2::jsonb) AS (ip inet, subnet text, mac macaddr, "clientId" text, hostname text, state text, "expiresAt" timestamptz))
		     WITH ORDINALITY u
		ORDER BY u.ip, u.subnet, u.ordinality DESC
		ON CONFLICT (site, ip, subnet) DO UPDATE SET mac = excluded.mac, client_id = excluded.client_id,
			hostname = excluded.hostname, state = excluded.state, expires_at = excluded.expires_at`, site, said)
	return err
}

// A LeaseFilter restricts a list of leases; zero fields do not.
type LeaseFilter struct {
	Sites sprout.Sites
	Page
}

var leaseListing = listing[sprout.Lease]{"lease", "ip", map[string]order[sprout.Lease]{
	"ip": {[]key{text("site"), ip("ip"), text("subnet")}, func(l sprout.Lease) []string {
		return []string{string(l.Site), l.IP.String(), string(l.Subnet)}
	}},
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
