package store

import (
	"context"
	"crypto/md5" //nolint:gosec // it is what the index has, not a secret's
	"encoding/hex"

	"github.com/jackc/pgx/v5"

	"sprout"
)

func dnsKeyOwner(k sprout.DNSKey) string { return "dns key " + string(k.Site) + " " + k.Name }

func md5Of(data string) string {
	sum := md5.Sum([]byte(data)) //nolint:gosec // as above
	return hex.EncodeToString(sum[:])
}

func scanDNSKey(row pgx.CollectableRow) (k sprout.DNSKey, err error) {
	err = row.Scan(&k.Site, &k.Name, &k.Algorithm, &k.DNSKEY, &k.CreatedAt)
	return k, err
}

const dnsKeyColumns = `site, name, algorithm, public, created_at`

// DNSKeys lists the keys of sites by name, without their secrets.
func (s *Store) DNSKeys(ctx context.Context, sites sprout.Sites) ([]sprout.DNSKey, error) {
	return many(ctx, s.db, scanDNSKey, `SELECT `+dnsKeyColumns+` FROM dns_key WHERE $1::text[] IS NULL OR site = ANY ($1) ORDER BY name, site`, sites)
}

var dnsKeyListing = listing[sprout.DNSKey]{"DNS key", "name", map[string]order[sprout.DNSKey]{
	"name": {[]key{text("name")}, func(k sprout.DNSKey) []string { return []string{k.Name} }},
}}

// DNSKeyPage lists the keys of a site by name, without their secrets.
func (s *Store) DNSKeyPage(ctx context.Context, site sprout.SiteID, p Page) ([]sprout.DNSKey, string, error) {
	var q selection
	equal(&q, "site", site)
	return page(dnsKeyListing, p, q, func(tail string, args ...any) ([]sprout.DNSKey, error) {
		return many(ctx, s.db, scanDNSKey, `SELECT `+dnsKeyColumns+` FROM dns_key `+tail, args...)
	})
}

// CreateDNSKey keeps a key with its secret, sealed. Conflict if its site has one
// of the name.
func (s *Store) CreateDNSKey(ctx context.Context, tx pgx.Tx, k sprout.DNSKey) (sprout.DNSKey, error) {
	sealed, err := s.config.Key.Seal(dnsKeyOwner(k), []byte(k.Secret))
	if err != nil {
		return k, err
	}
	made, err := one(ctx, tx, scanDNSKey, `INSERT INTO dns_key (site, name, algorithm, public, secret) VALUES ($1, $2, $3, $4, $5) RETURNING `+dnsKeyColumns,
		k.Site, k.Name, k.Algorithm, k.DNSKEY, sealed)
	if err != nil {
		return k, err
	}
	return made, s.replicateDNSKey(ctx, tx, made)
}

// DeleteDNSKey forgets a key of a site.
func (s *Store) DeleteDNSKey(ctx context.Context, tx pgx.Tx, k sprout.DNSKey) error {
	n, err := exec(ctx, tx, `DELETE FROM dns_key WHERE site = $1 AND name = $2`, k.Site, k.Name)
	if err := mustTouch(n, err, "DNS key", k.Name); err != nil {
		return err
	}
	return s.forgetAtSite(ctx, tx, k.Site, sprout.ChangeDNSKey, k.Name)
}
