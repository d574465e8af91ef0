package store

import (
	"context"
	"encoding/json"
	"net/netip"
	"slices"

	"github.com/jackc/pgx/v5"

	"sprout"
)

// together is what most asks need and no more: their rows, reservations and news
// in one statement, for those whose port has no address at all. Its conditions
// are the fence's; whatever is not as it was known to be leaves the ask to
// allocate, which looks anew.
const together = `
	WITH u AS (
		SELECT u.*, b.vrf FROM unnest($3::inet[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[]) u (ip, id, machine, mac, name, body)
		JOIN subnet b ON b.id = $2 AND b.site = $1 AND b.cidr = $9::cidr AND b.gateway IS DISTINCT FROM u.ip
		WHERE pg_try_advisory_xact_lock(hashtextextended($2 || host(u.ip), 7))
		AND NOT EXISTS (SELECT FROM address_range r WHERE r.subnet = $2 AND u.ip BETWEEN r.first AND r.last OFFSET 0)
		AND NOT EXISTS (SELECT FROM agent g WHERE g.site = $1 AND g.retired_at IS NULL AND g.address = host(u.ip) OFFSET 0)
		AND NOT EXISTS (SELECT FROM address o WHERE o.machine = u.machine AND o.mac = u.mac::macaddr OFFSET 0)),
	placed AS (
		INSERT INTO address (site, subnet, vrf, ip, id, kind, machine, mac, name)
		SELECT $1, $2, vrf, ip, id, 'machine', machine, mac::macaddr, name FROM u
		ON CONFLICT DO NOTHING RETURNING id, created_at),
	queued AS (
		INSERT INTO outbox_unnumbered (site, kind, key, deleted, body)
		SELECT $1, 'reservation', u.mac, false, u.body::jsonb FROM u JOIN placed USING (id)),
	told AS (
		INSERT INTO event (what, subject, site, machine, name, state)
		SELECT DISTINCT 'changed', u.machine, $1, u.machine, '', '' FROM u JOIN placed USING (id))
	SELECT id, created_at FROM placed`

// placeTogether answers those asks that it can in one round trip: PostgreSQL
// commits what is sent at once as one transaction. Who is not answered by it has
// to be asked for with allocate.
func (s *Store) placeTogether(ctx context.Context, id sprout.SubnetID, asks []*ask) error {
	p := s.pools.of(id)
	f, known := p.fenced()
	if !known {
		return nil
	}
	asks = slices.DeleteFunc(slices.Clone(asks), func(a *ask) bool {
		a.prepare(f)
		return a.over || a.want.IP.IsValid() || a.want.Machine == "" || a.want.MAC == "" || a.want.Kind != "machine"
	})
	conn, err := s.pool.Acquire(ctx) // before the pool of addresses: who holds that waits for no connection
	if err != nil {
		return explain(err)
	}
	defer conn.Release()
	bounds := hosts(f.CIDR)
	found, err := p.take(len(asks), bounds, f.taken, looker(ctx, conn, id, bounds))
	if err != nil || len(found) == 0 {
		return err
	}
	asks = asks[:len(found)]
	slices.SortFunc(found, netip.Addr.Compare) // one order, so that no two wait for each other
	placed, err := sendTogether(ctx, conn, f, asks, found)
	if err != nil {
		return err
	}
	for i, a := range asks {
		if made, ok := placed[a.want.ID]; ok {
			a.want.IP, a.want.CreatedAt = found[i], made.CreatedAt
			a.answer(a.want, nil)
		} else {
			p.stale()
		}
	}
	s.teller.tell([]notice{{OutboxChannel, string(f.Site)}, {EventChannel, ""}})
	return nil
}

// sendTogether gives each ask the address of the same place; the constraints
// decide. It returns those that got it, which has committed by then.
func sendTogether(ctx context.Context, q querier, f fence, asks []*ask, ips []netip.Addr) (map[sprout.AddressID]sprout.Address, error) {
	var columns [5][]string
	for i, a := range asks {
		w := a.want
		w.IP = ips[i]
		body, err := json.Marshal(reservationOf([]sprout.Address{w}))
		if err != nil {
			return nil, err
		}
		for c, v := range []string{string(w.ID), string(w.Machine), w.MAC, w.Name, string(body)} {
			columns[c] = append(columns[c], v)
		}
	}
	placed := map[sprout.AddressID]sprout.Address{}
	var got sprout.Address
	b := &pgx.Batch{}
	b.Queue(byIndex)
	b.Queue(`SELECT FROM subnet WHERE id = $1 FOR KEY SHARE`, f.ID) // what changes it is over before the next looks
	b.Queue(together, f.Site, f.ID, ips, columns[0], columns[1], columns[2], columns[3], columns[4], f.CIDR).Query(func(rows pgx.Rows) error {
		return eachRow(rows, func() { placed[got.ID] = got }, &got.ID, &got.CreatedAt)
	})
	return placed, explain(q.SendBatch(ctx, b).Close())
}
