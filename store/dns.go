package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"sprout"
)

// dnsRecords are all names that a site answers for: those of machines, those
// made by hand, and those of updates. Those of machines have no id.
const dnsRecords = `
	SELECT * FROM (
		SELECT id, site, name, '' AS vrf, NULL::inet AS ip, type, data, ttl, source FROM dns_record
		UNION ALL SELECT '', site, name, vrf, ip, 'A', host(ip), ttl, 'machine' FROM record WHERE ip IS NOT NULL
		UNION ALL SELECT '', site, name, vrf, ip6, 'AAAA', host(ip6), ttl, 'machine' FROM record WHERE ip6 IS NOT NULL
	) r `

func scanDNSRecord(row pgx.CollectableRow) (r sprout.Record, err error) {
	err = row.Scan(&r.ID, &r.Site, &r.Name, &r.VRF, &r.IP, &r.Type, &r.Data, &r.TTL, &r.Source)
	return r, err
}

// A DNSRecordFilter restricts a list of records; zero fields do not.
type DNSRecordFilter struct {
	Sites sprout.Sites
	Page
}

var dnsRecordListing = listing[sprout.Record]{"dns record", "name", map[string]order[sprout.Record]{
	"name": {[]key{text("r.name"), text("r.type"), text("r.site"), text("r.source"), text("md5(r.data)"), text("r.id")}, func(r sprout.Record) []string {
		return []string{r.Name, r.Type, string(r.Site), r.Source, md5Of(r.Data), string(r.ID)}
	}},
}}

// DNSRecords lists the records of sites by name.
func (s *Store) DNSRecords(ctx context.Context, f DNSRecordFilter) ([]sprout.Record, string, error) {
	var q selection
	among(&q, "r.site", f.Sites)
	return page(dnsRecordListing, f.Page, q, func(tail string, args ...any) ([]sprout.Record, error) {
		return many(ctx, s.db, scanDNSRecord, dnsRecords+tail, args...)
	})
}

// DNSRecord returns a record made by hand or by an update.
func (s *Store) DNSRecord(ctx context.Context, sites sprout.Sites, id string) (sprout.Record, error) {
	r, err := one(ctx, s.db, scanDNSRecord, dnsRecords+`WHERE r.id = $1 AND r.id <> '' AND ($2::text[] IS NULL OR r.site = ANY ($2))`, id, sites)
	return r, orNotFound(err, "DNS record", id)
}

// CreateDNSRecord publishes a record made by hand. Conflict, if it is there, or
// if an alias would not stand alone (RFC 2181 section 10.1).
func (s *Store) CreateDNSRecord(ctx context.Context, tx pgx.Tx, r sprout.Record) (sprout.Record, error) {
	r.ID, r.Source = sprout.NewID[sprout.RecordID](sprout.PrefixRecord), sprout.ManualRecord
	// Two at once see each other.
	if _, err := exec(ctx, tx, `SELECT pg_advisory_xact_lock(hashtextextended($1 || ' ' || $2, 0))`, r.Site, r.Name); err != nil {
		return r, err
	}
	others, err := many(ctx, tx, scanDNSRecord, dnsRecords+`WHERE r.site = $1 AND r.name = $2`, r.Site, r.Name)
	if err != nil {
		return r, err
	}
	for _, o := range others {
		if (o.Type == "CNAME") != (r.Type == "CNAME") || r.Type == "CNAME" {
			return r, conflictIn("name", "%s has a record of type %s (%s) already, and an alias stands alone", r.Name, o.Type, o.Source)
		}
	}
	if _, err := exec(ctx, tx, `INSERT INTO dns_record (site, id, name, type, data, ttl, source) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		r.Site, r.ID, r.Name, r.Type, r.Data, r.TTL, r.Source); err != nil {
		return r, err
	}
	return r, s.Replicate(ctx, tx, r.Site, sprout.ChangeDNSRecord, r.Key(), r)
}

// DeleteDNSRecord withdraws a record made by hand. Conflict for one that an
// update made: the site owns it.
func (s *Store) DeleteDNSRecord(ctx context.Context, tx pgx.Tx, r sprout.Record) error {
	if r.Source != sprout.ManualRecord {
		return sprout.Errorf(sprout.Conflict, "cannot delete %s: an update at the site made it, and an update takes it away", r.Name)
	}
	n, err := exec(ctx, tx, `DELETE FROM dns_record WHERE id = $1`, r.ID)
	if err := mustTouch(n, err, "DNS record", string(r.ID)); err != nil {
		return err
	}
	return s.forgetAtSite(ctx, tx, r.Site, sprout.ChangeDNSRecord, r.Key())
}

// TakeNames takes what updates changed at a site: it is so already there.
func (s *Store) TakeNames(ctx context.Context, tx pgx.Tx, site sprout.SiteID, f sprout.NamesFact) error {
	b := &pgx.Batch{}
	for _, r := range f.Removed {
		b.Queue(`DELETE FROM dns_record WHERE site = $1 AND name = $2 AND type = $3 AND data = $4 AND source = 'update'`, site, r.Name, r.Type, r.Data)
	}
	for _, r := range f.Added {
		b.Queue(`INSERT INTO dns_record (site, id, name, type, data, ttl, source) VALUES ($1, $2, $3, $4, $5, $6, 'update')
			ON CONFLICT (site, name, type, source, md5(data)) DO UPDATE SET ttl = excluded.ttl`,
			site, sprout.NewID[sprout.RecordID](sprout.PrefixRecord), r.Name, r.Type, r.Data, r.TTL)
	}
	if b.Len() == 0 {
		return nil
	}
	return explain(tx.SendBatch(ctx, b).Close())
}

// DNSPolicy returns who may do what with a site's zones.
func (s *Store) DNSPolicy(ctx context.Context, site sprout.SiteID) (sprout.DNSPolicy, error) {
	none := sprout.DNSPolicy{Site: site, Transfer: []string{}, Update: []string{}, Notify: []string{}, Forward: []string{}}
	p, err := one(ctx, s.db, func(row pgx.CollectableRow) (p sprout.DNSPolicy, err error) {
		err = row.Scan(&p.Site, &p.Transfer, &p.Update, &p.Notify, &p.Forward)
		return p, err
	}, `SELECT site, transfer, updaters, notify, forward FROM dns_policy WHERE site = $1`, site)
	if errors.Is(err, pgx.ErrNoRows) {
		return none, nil
	}
	return p, err
}

// SetDNSPolicy replaces who may do what with a site's zones.
func (s *Store) SetDNSPolicy(ctx context.Context, tx pgx.Tx, p sprout.DNSPolicy) (sprout.DNSPolicy, error) {
	p.Transfer, p.Update, p.Notify, p.Forward = orEmpty(p.Transfer), orEmpty(p.Update), orEmpty(p.Notify), orEmpty(p.Forward)
	if _, err := exec(ctx, tx, `
		INSERT INTO dns_policy (site, transfer, updaters, notify, forward) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (site) DO UPDATE SET transfer = excluded.transfer, updaters = excluded.updaters, notify = excluded.notify, forward = excluded.forward`,
		p.Site, p.Transfer, p.Update, p.Notify, p.Forward); err != nil {
		return p, err
	}
	return p, s.Replicate(ctx, tx, p.Site, sprout.ChangeDNSPolicy, string(p.Site), p)
}

// snapshotDNS queues what a site's DNS has beside machines' names.
func (s *Store) snapshotDNS(ctx context.Context, tx pgx.Tx, site sprout.SiteID) error {
	list, err := many(ctx, tx, scanDNSRecord, dnsRecords+`WHERE r.site = $1 AND r.source <> 'machine' ORDER BY r.id`, site)
	for _, r := range list {
		if r.Source == sprout.UpdateRecord {
			r.ID = "" // as its site names it
		}
		err = errors.Join(err, s.Replicate(ctx, tx, site, sprout.ChangeDNSRecord, r.Key(), r))
	}
	if err != nil {
		return err
	}
	p, err := s.In(tx).DNSPolicy(ctx, site)
	if err == nil && len(p.Transfer)+len(p.Update)+len(p.Notify)+len(p.Forward) > 0 {
		err = s.Replicate(ctx, tx, site, sprout.ChangeDNSPolicy, string(site), p)
	}
	keys, failed := s.In(tx).DNSKeys(ctx, sprout.At(site))
	for _, k := range keys {
		err = errors.Join(err, s.replicateDNSKey(ctx, tx, k))
	}
	return errors.Join(err, failed)
}

// replicateDNSKey queues a key for its site, its secret sealed to the agent that
// the site has now; without one it waits for the agent's snapshot.
func (s *Store) replicateDNSKey(ctx context.Context, tx pgx.Tx, k sprout.DNSKey) error {
	type row struct {
		Secret  []byte
		SealKey string
	}
	r, err := one(ctx, tx, pgx.RowToStructByPos[row], `
		SELECT d.secret, g.seal_key FROM dns_key d JOIN agent g ON g.site = d.site AND g.retired_at IS NULL WHERE d.site = $1 AND d.name = $2`, k.Site, k.Name)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && (r.SealKey == "" || s.config.SealFor == nil) {
		return nil
	}
	if err != nil {
		return err
	}
	secret, err := s.config.Key.Open(dnsKeyOwner(k), r.Secret)
	if err != nil {
		return err
	}
	sealed, err := s.config.SealFor(r.SealKey, secret)
	if err != nil {
		return fmt.Errorf("cannot seal the DNS key %s to its site's agent: %w", k.Name, err)
	}
	body, err := json.Marshal(sprout.SiteDNSKey{Name: k.Name, Algorithm: k.Algorithm, Secret: sealed})
	if err != nil {
		return fmt.Errorf("cannot replicate the DNS key %s: %w", k.Name, err)
	}
	return s.queue(ctx, tx, change{site: k.Site, Change: sprout.Change{Kind: sprout.ChangeDNSKey, Key: k.Name, Body: body}})
}
