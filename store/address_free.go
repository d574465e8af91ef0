package store

import (
	"context"
	"errors"
	"net/netip"

	"github.com/jackc/pgx/v5"

	"sprout"
)

// A hint is where the next free address of a subnet may be.
type hint = netip.Addr

func (h *hints) get(id sprout.SubnetID) netip.Addr {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.next[id]
}

func (h *hints) set(id sprout.SubnetID, ip netip.Addr) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.next[id] = ip
}

func (h *hints) lower(id sprout.SubnetID, ip netip.Addr) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if next := h.next[id]; next.IsValid() && ip.Less(next) {
		h.next[id] = ip
	}
}

// candidate holds what makes the address c.ip of the subnet b one to give out.
// OFFSET 0 keeps the planner from reading whole tables for it: asked of one
// address it costs four index look-ups, however full the subnet is.
const candidate = `
	NOT EXISTS (SELECT FROM address a WHERE a.site = b.site AND a.vrf = b.vrf AND a.ip = c.ip OFFSET 0)
	AND NOT EXISTS (SELECT FROM address_range r WHERE r.subnet = b.id AND c.ip BETWEEN r.first AND r.last OFFSET 0)
	AND NOT EXISTS (SELECT FROM agent g WHERE g.site = b.site AND g.retired_at IS NULL AND g.address = host(c.ip) OFFSET 0)
	AND c.ip IS DISTINCT FROM b.gateway`

// edges gives the first and last address (lo, hi) that a host may have: not
// the network's own and, in IPv4, not the broadcast address. A prefix of 31 or
// 32 bits (127 or 128) has neither (RFC 3021, RFC 6164).
const edges = `
	SELECT b.*, host(network(cidr))::inet + CASE WHEN bits - masklen(cidr) > 1 THEN 1 ELSE 0 END AS lo,
	       host(broadcast(cidr))::inet - CASE WHEN bits = 32 AND bits - masklen(cidr) > 1 THEN 1 ELSE 0 END AS hi
	FROM (SELECT *, CASE family(cidr) WHEN 4 THEN 32 ELSE 128 END AS bits FROM subnet WHERE id = $1) b`

// near lists what is free of the 64 addresses from the hint $2 on.
const near = `
	WITH b AS (` + edges + `)
	SELECT b.site, c.ip FROM b, LATERAL (SELECT $2::inet + n AS ip FROM generate_series(0, 63) AS n) c
	WHERE c.ip BETWEEN b.lo AND b.hi AND ` + candidate

// lowest lists free addresses that are the first of all or follow one that is
// not free, in order: the lowest free address is among them.
const lowest = `
	WITH b AS (` + edges + `)
	SELECT b.site, c.ip FROM b, LATERAL (
		SELECT lo AS ip
		UNION SELECT a.ip + 1 FROM address a WHERE a.subnet = b.id AND a.ip < b.hi
		UNION SELECT r.last + 1 FROM address_range r WHERE r.subnet = b.id AND r.last < b.hi
		UNION SELECT gateway + 1 WHERE gateway < b.hi
		UNION SELECT g.address::inet + 1 FROM agent g WHERE g.site = b.site AND g.retired_at IS NULL AND g.address <> ''
		ORDER BY 1) c
	WHERE c.ip BETWEEN b.lo AND b.hi AND ` + candidate

// first takes the first of a list.
func first(list string) string { return `SELECT ip FROM (` + list + ` OFFSET 0) f LIMIT 1` }

// firstUnclaimed takes the first of a list that no other transaction is about
// to insert, so that callers at the same time do not queue for the same one.
func firstUnclaimed(list string) string {
	return `SELECT ip FROM (` + list + ` OFFSET 0) f WHERE pg_try_advisory_xact_lock(hashtextextended(site || host(ip), 7)) LIMIT 1`
}

// freeAddress picks an address that was free when it looked. First near the
// hint, at a cost that does not depend on how full the subnet is; then the
// lowest that nobody else is about to take; then, when all that are left are
// being taken by others, one of those, so that the insert waits for what
// becomes of it.
func (s *Store) freeAddress(ctx context.Context, tx pgx.Tx, sub sprout.Subnet) (netip.Addr, error) {
	type query struct {
		sql  string
		args []any
	}
	tries := []query{{firstUnclaimed(lowest), []any{sub.ID}}, {first(lowest), []any{sub.ID}}}
	if at := s.hints.get(sub.ID); at.IsValid() {
		tries = append([]query{{firstUnclaimed(near), []any{sub.ID, at}}}, tries...)
	}
	for _, try := range tries {
		ip, err := one(ctx, tx, pgx.RowTo[netip.Addr], try.sql, try.args...)
		if !errors.Is(err, pgx.ErrNoRows) {
			return ip, err
		}
	}
	full := sprout.Fail(sprout.SubnetFull, "no address is free in "+sub.CIDR.String(), "")
	_, full.Remedy = sprout.Explain(sprout.SubnetFull, "", "", "")
	return netip.Addr{}, sprout.Errorf(sprout.Conflict, "cannot allocate an address: %w", full).WithRemedy("%s", full.Remedy)
}
