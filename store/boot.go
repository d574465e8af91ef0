package store

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
)

// How much the flight recorder keeps: events of an attempt, attempts of a
// machine, and attempts of a site's unknown machines together.
const (
	keepEvents    = 400
	keepAttempts  = 20
	keepStrangers = 2000
)

// bootBatch is what is new of one attempt.
type bootBatch struct {
	sprout.BootAttempt
	events []sprout.BootEvent
}

// RecordBoots adds events, which name their attempts, to the timelines of the
// site's boot attempts, and prunes what is beyond the limits: a few statements,
// however many attempts there are. An event without an attempt is dropped; one
// whose machine is gone is kept under its MAC.
func (s *Store) RecordBoots(ctx context.Context, tx pgx.Tx, site sprout.SiteID, events []sprout.BootEvent) error {
	batches := batched(events)
	if len(batches) == 0 {
		return nil
	}
	attempts, err := putAttempts(ctx, tx, site, batches)
	if err != nil {
		return err
	}
	b := &pgx.Batch{}
	queueBootEvents(b, site, batches)
	queuePruning(b, site, attempts, batches)
	if err := explain(tx.SendBatch(ctx, b).Close()); err != nil {
		return err
	}
	for _, one := range batches {
		a, told := attempts[one.ID], changed(site, one.ID)
		if a.Known {
			told.Machine = sprout.MachineID(a.Owner)
		}
		if a.Seen == len(one.events) {
			told.What = sprout.WasCreated
		}
		if err := s.touch(ctx, tx, told); err != nil {
			return err
		}
	}
	return nil
}

// batched sorts events by attempt, in the order in which attempts first come.
func batched(events []sprout.BootEvent) []*bootBatch {
	var all []*bootBatch
	at := map[sprout.AttemptID]*bootBatch{}
	for _, e := range events {
		if e.Attempt == "" {
			continue
		}
		e = e.Clean()
		b := at[e.Attempt]
		if b == nil {
			b = &bootBatch{BootAttempt: sprout.BootAttempt{ID: e.Attempt, StartedAt: e.At}}
			at[e.Attempt], all = b, append(all, b)
		}
		if b.Machine == "" {
			b.Machine = e.Machine
		}
		if b.MAC == "" {
			b.MAC = e.MAC
		}
		if e.At.Before(b.StartedAt) {
			b.StartedAt = e.At
		}
		if !e.At.Before(b.LastAt) {
			b.LastAt, b.Last = e.At, e.What
		}
		b.events = append(b.events, e)
	}
	return all
}

// putAttempt is an attempt as it is stored now.
type putAttempt struct {
	ID    sprout.AttemptID
	Seen  int
	Owner string
	Known bool // the owner is a machine
}

// putAttempts makes the attempts' rows, or brings them up to date.
func putAttempts(ctx context.Context, tx pgx.Tx, site sprout.SiteID, batches []*bootBatch) (map[sprout.AttemptID]putAttempt, error) {
	var ids, machines, macs, last []string
	var started, at []time.Time
	var seen []int
	for _, b := range batches {
		ids, machines, macs, last = append(ids, string(b.ID)), append(machines, string(b.Machine)), append(macs, b.MAC), append(last, b.Last)
		started, at, seen = append(started, b.StartedAt), append(at, b.LastAt), append(seen, len(b.events))
	}
	list, err := many(ctx, tx, pgx.RowToStructByPos[putAttempt], `
		INSERT INTO boot_attempt AS a (site, id, owner, machine, mac, started_at, last_at, seen, last)
		SELECT $1, u.id, coalesce(m.id, u.mac), m.id, nullif(u.mac, '')::macaddr, u.started_at, u.last_at, u.seen, u.last
		FROM unnest($2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[], $7::int[], $8::text[])
		     AS u (id, machine, mac, started_at, last_at, seen, last)
		     LEFT JOIN LATERAL (SELECT id FROM machine WHERE site = $1 AND id = u.machine LIMIT 1) m ON true
		ON CONFLICT (site, id) DO UPDATE SET last_at = greatest(a.last_at, excluded.last_at), started_at = least(a.started_at, excluded.started_at), seen = a.seen + excluded.seen, last = excluded.last,
		       mac = coalesce(a.mac, excluded.mac)
		RETURNING id, seen, owner, machine IS NOT NULL`,
		site, ids, machines, macs, started, at, seen, last)
	put := map[sprout.AttemptID]putAttempt{}
	for _, a := range list {
		put[a.ID] = a
	}
	return put, err
}

// queueBootEvents adds the events, without what the attempt's row says.
func queueBootEvents(b *pgx.Batch, site sprout.SiteID, batches []*bootBatch) {
	var attempts []string
	var events []sprout.BootEvent
	for _, one := range batches {
		for _, e := range one.events {
			e.Attempt, e.Machine = "", ""
			attempts, events = append(attempts, string(one.ID)), append(events, e)
		}
	}
	b.Queue(`
		INSERT INTO boot_event (site, attempt, at, event)
		SELECT $1, e.attempt, (e.event ->> 'at')::timestamptz, e.event
		FROM ROWS FROM (unnest($2::text[]), jsonb_array_elements($3::jsonb)) WITH ORDINALITY e (attempt, event, n) ORDER BY e.n`,
		site, attempts, events)
}

// queuePruning drops the oldest events of attempts that have too many, and where
// an attempt is new its owner's oldest, and those of strangers.
func queuePruning(b *pgx.Batch, site sprout.SiteID, attempts map[sprout.AttemptID]putAttempt, batches []*bootBatch) {
	var owners []string
	strangers := false
	for _, one := range batches {
		a := attempts[one.ID]
		if a.Seen > keepEvents {
			b.Queue(`
				DELETE FROM boot_event WHERE site = $1 AND attempt = $2 AND seq <=
				  (SELECT seq FROM boot_event WHERE site = $1 AND attempt = $2 ORDER BY seq DESC OFFSET $3 LIMIT 1)`, site, one.ID, keepEvents)
		}
		if a.Seen > len(one.events) {
			continue // it was there before
		}
		owners, strangers = append(owners, a.Owner), strangers || !a.Known
	}
	if len(owners) > 0 {
		slices.Sort(owners)
		b.Queue(`
			DELETE FROM boot_attempt a USING unnest($2::text[]) o (owner), LATERAL
			  (SELECT id FROM boot_attempt WHERE site = $1 AND owner = o.owner ORDER BY id DESC OFFSET $3 LIMIT 1) last
			WHERE a.site = $1 AND a.owner = o.owner AND a.id <= last.id`, site, slices.Compact(owners), keepAttempts)
	}
	if strangers {
		b.Queue(`
			DELETE FROM boot_attempt WHERE site = $1 AND machine IS NULL AND id <=
			  (SELECT id FROM boot_attempt WHERE site = $1 AND machine IS NULL ORDER BY id DESC OFFSET $2 LIMIT 1)`, site, keepStrangers)
	}
}

// BootAttempts lists the machine's boot attempts, the newest first, without
// their events: also those from before it was known, by its MACs.
func (s *Store) BootAttempts(ctx context.Context, m sprout.Machine, p Page) ([]sprout.BootAttempt, string, error) {
	owners := []string{string(m.ID)}
	for _, i := range m.Interfaces {
		owners = append(owners, i.MAC)
	}
	var q selection
	q.where("site = %s AND owner = ANY (%s)", m.Site, owners)
	return page(bootListing, p, q, func(tail string, args ...any) ([]sprout.BootAttempt, error) {
		return many(ctx, s.db, scanBootAttempt, `
			SELECT id, site, coalesce(machine, ''), coalesce(mac::text, ''), started_at, last_at, seen, last
			FROM boot_attempt `+tail, args...)
	})
}

var bootListing = listing[sprout.BootAttempt]{"boot", "-created", map[string]order[sprout.BootAttempt]{
	"created": {[]key{text("id")}, func(a sprout.BootAttempt) []string { return []string{string(a.ID)} }},
}}

func scanBootAttempt(row pgx.CollectableRow) (a sprout.BootAttempt, err error) {
	err = row.Scan(&a.ID, &a.Site, &a.Machine, &a.MAC, &a.StartedAt, &a.LastAt, &a.Seen, &a.Last)
	return a, err
}

// BootEvents returns the events that are kept of an attempt, the oldest first.
func (s *Store) BootEvents(ctx context.Context, site sprout.SiteID, id sprout.AttemptID) ([]sprout.BootEvent, error) {
	return many(ctx, s.db, pgx.RowTo[sprout.BootEvent], `
		SELECT event FROM boot_event WHERE site = $1 AND attempt = $2 ORDER BY at, seq`, site, id)
}
