package store

import (
	"context"
	"net/netip"
	"slices"

	"github.com/jackc/pgx/v5"

	"sprout"
)

// window is how many addresses in use are read at a time.
const window = 4096

// A fence is a subnet with what is not given out of it, while its row is held:
// AddRange and DeleteNetwork wait, other allocations do not.
type fence struct {
	sprout.Subnet
	taken []run // ranges, the gateway, the site's agent
}

// fenceIn holds the subnet and reads its fence. The second statement sees what
// the first waited for.
func fenceIn(ctx context.Context, tx pgx.Tx, id sprout.SubnetID) (f fence, err error) {
	var first, last []netip.Addr
	var agents []string
	b := &pgx.Batch{}
	b.Queue(byIndex)
	b.Queue(subnetSelect+`WHERE id = $1 FOR KEY SHARE`, id).Query(func(rows pgx.Rows) (err error) {
		f.Subnet, err = pgx.CollectExactlyOneRow(rows, scanSubnet)
		return err
	})
	b.Queue(`
		SELECT ARRAY (SELECT first FROM address_range r WHERE r.subnet = b.id ORDER BY r.id),
		       ARRAY (SELECT last FROM address_range r WHERE r.subnet = b.id ORDER BY r.id),
		       ARRAY (SELECT address FROM agent g WHERE g.site = b.site AND g.retired_at IS NULL AND g.address <> '')
		FROM subnet b WHERE b.id = $1`, id).Query(func(rows pgx.Rows) error {
		return eachRow(rows, func() {}, &first, &last, &agents)
	})
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return f, orNotFound(explain(err), "subnet", string(id))
	}
	for i := range first {
		f.taken = append(f.taken, run{first[i], last[i]})
	}
	if f.Gateway.IsValid() {
		f.taken = append(f.taken, run{f.Gateway, f.Gateway})
	}
	for _, text := range agents {
		if ip, err := netip.ParseAddr(text); err == nil {
			f.taken = append(f.taken, run{ip, ip})
		}
	}
	return f, nil
}

// byIndex has the statements after it in a transaction planned for their indexes.
// PostgreSQL keeps the plan that it made while a table was small, which reads the
// table whole, until it looks at the table again a minute later: by then a
// hundred thousand addresses may have been given out.
// A bitmap would read all of a subnet to sort it, where the index has the order.
const byIndex = `SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true), set_config('jit', 'off', true)`

// looker reads what is free of a subnet, a window at a time.
func looker(ctx context.Context, q querier, id sprout.SubnetID, bounds run) func(from netip.Addr) ([]run, netip.Addr, error) {
	return func(from netip.Addr) (free []run, next netip.Addr, err error) {
		var ip netip.Addr
		var before, after *netip.Addr
		at := from
		b := &pgx.Batch{}
		b.Queue(byIndex)
		b.Queue(`
			SELECT ip, before, after FROM (
				SELECT ip, lag(ip) OVER (ORDER BY ip) AS before, lead(ip) OVER (ORDER BY ip) AS after
				FROM (SELECT ip FROM address WHERE subnet = $1 AND ip BETWEEN $2 AND $3 ORDER BY ip LIMIT $4) u) w
			WHERE before IS NULL OR after IS NULL OR before + 1 <> ip ORDER BY ip`, id, from, bounds.last, window).Query(func(rows pgx.Rows) error {
			return eachRow(rows, func() {
				if before != nil {
					at = before.Next()
				}
				if at.Less(ip) {
					free = append(free, run{at, ip.Prev()})
				}
				if after == nil {
					next = ip.Next()
				}
			}, &ip, &before, &after)
		})
		b.Queue(`SELECT ip FROM address WHERE subnet = $1 AND expires_at <= now() AND ip BETWEEN $2 AND $3 ORDER BY ip LIMIT $4`,
			id, from, bounds.last, window).Query(func(rows pgx.Rows) error {
			return eachRow(rows, func() {
				if next.IsValid() && ip.Less(next) {
					free = append(free, run{ip, ip})
				}
			}, &ip)
		})
		if err := q.SendBatch(ctx, b).Close(); err != nil {
			return nil, next, explain(err)
		}
		if !next.IsValid() { // nothing is in use from here on
			return []run{{from, bounds.last}}, next, nil
		}
		if bounds.last.Less(next) {
			next = netip.Addr{}
		}
		slices.SortFunc(free, func(a, b run) int { return a.first.Compare(b.first) })
		return free, next, nil
	}
}

// fullError says that no address is free.
func fullError(what string) error {
	full := sprout.Fail(sprout.SubnetFull, what, "")
	_, full.Remedy = sprout.Explain(sprout.SubnetFull, "", "", "")
	return sprout.Errorf(sprout.Conflict, "cannot allocate an address: %w", full).WithRemedy("%s", full.Remedy)
}
