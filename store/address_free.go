package store

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/jackc/pgx/v5"

	"sprout"
)

// mostRead is how many addresses in use are read at a time.
const mostRead = 4096

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

// reach is how far a window goes at most: PostgreSQL tells distances as bigint.
const reach = 1 << 40

// looker reads what is free of a subnet, a window at a time: what is in use, as
// distances from where the window begins, which is a third of the work of finding
// the gaps in PostgreSQL.
func looker(ctx context.Context, q querier, id sprout.SubnetID, bounds run) func(from netip.Addr) ([]run, netip.Addr, error) {
	const inUse = `SELECT coalesce(array_agg(ip - $2::inet), '{}') FROM (
		SELECT ip FROM address WHERE subnet = $1 AND ip BETWEEN $2 AND $3 %s ORDER BY ip LIMIT $4) u`
	return func(from netip.Addr) ([]run, netip.Addr, error) {
		window := run{from, bounds.last}
		if far := plus(from, reach); far.IsValid() && far.Less(window.last) {
			window.last = far
		}
		var used, over []uint64
		b := &pgx.Batch{}
		b.Queue(byIndex)
		b.Queue(fmt.Sprintf(inUse, ""), id, from, window.last, mostRead).QueryRow(func(row pgx.Row) error { return row.Scan(&used) })
		b.Queue(fmt.Sprintf(inUse, "AND expires_at <= now()"), id, from, window.last, mostRead).QueryRow(func(row pgx.Row) error { return row.Scan(&over) })
		if err := q.SendBatch(ctx, b).Close(); err != nil {
			return nil, netip.Addr{}, explain(err)
		}
		slices.Sort(used)
		slices.Sort(over)
		if len(used) == mostRead { // the rest is of the next window
			window.last = plus(from, used[mostRead-1])
		}
		var next netip.Addr
		if window.last != bounds.last {
			next = window.last.Next()
		}
		return gaps(window, used, over), next, nil
	}
}

// gaps returns what is free of the window, in order: what is not used, or is no
// more. Both are distances from where it begins, in order.
func gaps(window run, used, over []uint64) (free []run) {
	at := uint64(0)
	for _, n := range used {
		if at < n {
			free = append(free, run{plus(window.first, at), plus(window.first, n-1)})
		}
		if _, is := slices.BinarySearch(over, n); is {
			free = append(free, run{plus(window.first, n), plus(window.first, n)})
		}
		at = n + 1
	}
	if rest := plus(window.first, at); rest.IsValid() && !window.last.Less(rest) {
		free = append(free, run{rest, window.last})
	}
	return free
}

// fullError says that no address is free.
func fullError(what string) error {
	full := sprout.Fail(sprout.SubnetFull, what, "")
	_, full.Remedy = sprout.Explain(sprout.SubnetFull, "", "", "")
	return sprout.Errorf(sprout.Conflict, "cannot allocate an address: %w", full).WithRemedy("%s", full.Remedy)
}
