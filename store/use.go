package store

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"github.com/jackc/pgx/v5"

	"sprout"
)

// A loss is what a change takes from subnets: their addresses in From, without
// those in Kept. A zero span is every address (From) or none (Kept).
type loss struct {
	subnets    []sprout.SubnetID
	from, kept span
	leases     bool // also what is leased is lost
}

// A span is a run of addresses, both ends included.
type span struct{ first, last netip.Addr }

func spanOf(p netip.Prefix) span { return span{p.Masked().Addr(), LastOf(p)} }

// mostUses is how far uses are counted, and someUses how many are named.
const (
	mostUses = 1000
	someUses = 5
)

// uses lists what has addresses that would be lost: allocations, holds and leases
// that are in force.
const uses = `
	SELECT ip, said FROM (
		SELECT a.ip, host(a.ip) || ' (' || coalesce(m.name, nullif(a.name, ''), a.kind) || ')' AS said
		FROM address a LEFT JOIN machine m ON m.id = a.machine
		WHERE a.subnet = ANY ($1) AND (a.expires_at IS NULL OR a.expires_at > now())
		UNION ALL
		SELECT l.ip, host(l.ip) || ' (leased to ' || l.mac || ' until ' || to_char(l.expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI "UTC"') || ')'
		FROM subnet_lease l WHERE $6 AND l.subnet = ANY ($1) AND l.state IN ('bound', 'declined') AND l.expires_at > now()
		  AND NOT EXISTS (SELECT FROM address a WHERE a.subnet = l.subnet AND a.ip = l.ip AND (a.expires_at IS NULL OR a.expires_at > now()))
	) u WHERE ($2::inet IS NULL OR ip BETWEEN $2 AND $3) AND ($4::inet IS NULL OR NOT ip BETWEEN $4 AND $5)`

// keepUsed refuses a change that would take addresses from who has them: a
// Conflict that names the first few, and says how many there are.
func keepUsed(ctx context.Context, tx pgx.Tx, field, doing string, l loss) error {
	args := []any{l.subnets, l.from.first, l.from.last, l.kept.first, l.kept.last, l.leases}
	some, err := many(ctx, tx, pgx.RowTo[string], `SELECT said FROM (`+uses+fmt.Sprintf(`) v ORDER BY ip LIMIT %d`, someUses), args...)
	if err != nil || len(some) == 0 {
		return err
	}
	count, err := one(ctx, tx, pgx.RowTo[int], `SELECT count(*) FROM (`+uses+fmt.Sprintf(` LIMIT %d) v`, mostUses+1), args...)
	if err != nil {
		return err
	}
	return inUse(field, doing, "of its addresses in use", some, count)
}

// configured are the machines whose network configuration has addresses of subnets:
// any, or, of those that would be kept, one that is named and lies outside.
const configured = `
	SELECT DISTINCT m.name FROM subnet s JOIN machine m ON m.site = s.site, LATERAL jsonb_path_query(m.network, '$.interfaces[*].addresses[*]') a
	WHERE s.id = ANY ($1) AND m.state <> 'retired' AND a->>'subnet' = s.id
	  AND ($2::inet IS NULL OR NOT nullif(a->>'ip', '')::inet BETWEEN $2 AND $3)`

// ConfiguredWith names the machines whose network configuration has addresses of a
// subnet, in order: a thousand at most.
func (s *Store) ConfiguredWith(ctx context.Context, subnets ...sprout.SubnetID) ([]string, error) {
	return many(ctx, s.db, pgx.RowTo[string], configured+fmt.Sprintf(` ORDER BY 1 LIMIT %d`, mostUses), subnets, netip.Addr{}, netip.Addr{})
}

// keepConfigured refuses a change that would take a subnet, or addresses of it that
// are named, from the configuration of machines: their next deploy would fail.
func keepConfigured(ctx context.Context, tx pgx.Tx, field, doing string, l loss) error {
	names, err := many(ctx, tx, pgx.RowTo[string], configured+fmt.Sprintf(` ORDER BY 1 LIMIT %d`, mostUses+1), l.subnets, l.kept.first, l.kept.last)
	if err != nil || len(names) == 0 {
		return err
	}
	return inUse(field, doing, "of the site's machines configured with it", names[:min(len(names), someUses)], len(names)).WithRemedy("sprout machine network set %s --file FILE", names[0])
}

// inUse says what keeps something from being done.
func inUse(field, doing, what string, some []string, count int) *sprout.Error {
	number := fmt.Sprint(count)
	if count > mostUses {
		number = fmt.Sprintf("more than %d", mostUses)
	}
	more := ""
	if count > len(some) {
		more = ", …"
	}
	e := sprout.Errorf(sprout.Conflict, "cannot %s: %s %s: %s%s", doing, number, what, strings.Join(some, ", "), more)
	e.Field = field
	return e
}
