package store

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"sprout"
)

// mostOptions bounds what is set at one site.
const mostOptions = 10_000

const dhcpOptionColumns = `id, site, coalesce(subnet, ''), class, coalesce(machine, ''), version, code, name, value, always, created_at, data`

func scanDHCPOption(row pgx.CollectableRow) (o sprout.SiteDHCPOption, err error) {
	err = row.Scan(&o.ID, &o.Site, &o.Subnet, &o.Class, &o.Machine, &o.Version, &o.Code, &o.Name, &o.Value, &o.Always, &o.CreatedAt, &o.Data)
	return o, err
}

func scanDHCPSetting(row pgx.CollectableRow) (sprout.DHCPSetting, error) {
	o, err := scanDHCPOption(row)
	return o.DHCPSetting, err
}

// A DHCPOptionFilter restricts a list of options; zero fields do not.
type DHCPOptionFilter struct {
	Sites sprout.Sites
	Page
}

var dhcpOptionListing = listing[sprout.DHCPSetting]{"dhcp option", "name", map[string]order[sprout.DHCPSetting]{
	"name": {[]key{text("site"), text("name"), text("id")}, func(o sprout.DHCPSetting) []string {
		return []string{string(o.Site), o.Name, string(o.ID)}
	}},
}}

// DHCPOptions lists what is set at sites by name, those of one site after those
// of another.
func (s *Store) DHCPOptions(ctx context.Context, f DHCPOptionFilter) ([]sprout.DHCPSetting, string, error) {
	var q selection
	among(&q, "site", f.Sites)
	return page(dhcpOptionListing, f.Page, q, func(tail string, args ...any) ([]sprout.DHCPSetting, error) {
		return many(ctx, s.db, scanDHCPSetting, `SELECT `+dhcpOptionColumns+` FROM dhcp_option `+tail, args...)
	})
}

// DHCPOption returns one that is set.
func (s *Store) DHCPOption(ctx context.Context, sites sprout.Sites, id string) (sprout.DHCPSetting, error) {
	o, err := one(ctx, s.db, scanDHCPSetting, `SELECT `+dhcpOptionColumns+` FROM dhcp_option WHERE id = $1 AND ($2::text[] IS NULL OR site = ANY ($2))`, id, sites)
	return o, orNotFound(err, "DHCP option", id)
}

// SetDHCPOption sets an option, in place of the value that it had for the same
// clients, which it returns: its id is "" where it had none. Conflict if the site
// has 10,000 of them.
func (s *Store) SetDHCPOption(ctx context.Context, tx pgx.Tx, o sprout.SiteDHCPOption) (now, before sprout.DHCPSetting, err error) {
	const same = `site = $1 AND subnet IS NOT DISTINCT FROM nullif($2, '') AND class = $3 AND machine IS NOT DISTINCT FROM nullif($4, '') AND version = $5 AND code = $6`
	scope := []any{o.Site, o.Subnet, o.Class, o.Machine, o.Version, o.Code}
	// Two at once see each other.
	if _, err := exec(ctx, tx, `SELECT pg_advisory_xact_lock(hashtextextended('dhcp option ' || $1, 0))`, o.Site); err != nil {
		return now, before, err
	}
	before, err = one(ctx, tx, scanDHCPSetting, `SELECT `+dhcpOptionColumns+` FROM dhcp_option WHERE `+same, scope...)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return now, before, err
	}
	if o.ID = before.ID; o.ID == "" {
		o.ID = sprout.NewID[sprout.OptionID](sprout.PrefixOption)
		n, err := one(ctx, tx, pgx.RowTo[int], `SELECT count(*) FROM dhcp_option WHERE site = $1`, o.Site)
		if err != nil {
			return now, before, err
		}
		if n >= mostOptions {
			return now, before, sprout.Errorf(sprout.Conflict, "cannot set %s: the site has %d options already", o.Name, n).WithRemedy("set it for the site, a subnet or a class in place of each machine")
		}
	}
	made, err := one(ctx, tx, scanDHCPOption, `
		INSERT INTO dhcp_option (site, subnet, class, machine, version, code, id, name, value, data, always)
		VALUES ($1, nullif($2, ''), $3, nullif($4, ''), $5, $6, $7, $8, $9, $10, $11)
		ON CONFLICT (site, id) DO UPDATE SET value = excluded.value, data = excluded.data, always = excluded.always
		RETURNING `+dhcpOptionColumns, append(scope, o.ID, o.Name, o.Value, o.Data, o.Always)...)
	if err != nil {
		return now, before, err
	}
	return made.DHCPSetting, before, s.Replicate(ctx, tx, made.Site, sprout.ChangeDHCPOption, string(made.ID), made)
}

// UnsetDHCPOption takes an option away.
func (s *Store) UnsetDHCPOption(ctx context.Context, tx pgx.Tx, o sprout.DHCPSetting) error {
	n, err := exec(ctx, tx, `DELETE FROM dhcp_option WHERE id = $1`, o.ID)
	if err := mustTouch(n, err, "DHCP option", string(o.ID)); err != nil {
		return err
	}
	return s.forgetAtSite(ctx, tx, o.Site, sprout.ChangeDHCPOption, string(o.ID))
}

// forgetDHCPOptions takes away what is set for machines or subnets that go.
func (s *Store) forgetDHCPOptions(ctx context.Context, tx pgx.Tx, owners ...string) error {
	gone, err := many(ctx, tx, scanDHCPSetting, `DELETE FROM dhcp_option WHERE subnet = ANY ($1) OR machine = ANY ($1) RETURNING `+dhcpOptionColumns, owners)
	for _, o := range gone {
		err = errors.Join(err, s.forgetAtSite(ctx, tx, o.Site, sprout.ChangeDHCPOption, string(o.ID)))
	}
	return err
}

// snapshotDHCP queues the options that are set at a site.
func (s *Store) snapshotDHCP(ctx context.Context, tx pgx.Tx, site sprout.SiteID) error {
	list, err := many(ctx, tx, scanDHCPOption, `SELECT `+dhcpOptionColumns+` FROM dhcp_option WHERE site = $1 ORDER BY id`, site)
	for _, o := range list {
		err = errors.Join(err, s.Replicate(ctx, tx, site, sprout.ChangeDHCPOption, string(o.ID), o))
	}
	return err
}
