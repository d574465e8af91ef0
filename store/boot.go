package store

import (
	"context"
	"slices"

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
// site's boot attempts, and prunes what is beyond the limits. An event without
// an attempt is dropped; one whose machine is gone is kept under its MAC.
func (s *Store) RecordBoots(ctx context.Context, tx pgx.Tx, site sprout.SiteID, events []sprout.BootEvent) error {
	for _, b := range batched(events) {
		if err := s.recordAttempt(ctx, tx, site, b); err != nil {
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

func (s *Store) recordAttempt(ctx context.Context, tx pgx.Tx, site sprout.SiteID, b *bootBatch) error {
	type row struct {
		Seen  int
		Owner string
		Known bool
	}
	r, err := one(ctx, tx, pgx.RowToStructByPos[row], `
		INSERT INTO boot_attempt AS a (site, id, owner, machine, mac, started_at, last_at, seen, last)
		SELECT $1, $2, coalesce(m.id, $4), m.id, nullif($4, '')::macaddr, $5, $6, $7, $8
		FROM (SELECT 1) x LEFT JOIN machine m ON m.site = $1 AND m.id = $3
		ON CONFLICT (site, id) DO UPDATE SET last_at = greatest(a.last_at, excluded.last_at), started_at = least(a.started_at, excluded.started_at), seen = a.seen + excluded.seen, last = excluded.last,
		       mac = coalesce(a.mac, excluded.mac)
		RETURNING seen, owner, machine IS NOT NULL`,
		site, b.ID, b.Machine, b.MAC, b.StartedAt, b.LastAt, len(b.events), b.Last)
	if err != nil {
		return err
	}
	if _, err := exec(ctx, tx, `
		INSERT INTO boot_event (site, attempt, at, event)
		SELECT $1, $2, (e.event ->> 'at')::timestamptz, e.event
		FROM jsonb_array_elements($3::jsonb) WITH ORDINALITY e (event, n) ORDER BY e.n`, site, b.ID, bare(b.events)); err != nil {
		return err
	}
	told := changed(site, b.ID)
	if r.Known {
		told.Machine = sprout.MachineID(r.Owner)
	}
	if r.Seen == len(b.events) {
		told.What = sprout.WasCreated
	}
	if err := s.touch(ctx, tx, told); err != nil {
		return err
	}
	if r.Seen > keepEvents {
		if err := pruneEvents(ctx, tx, site, b.ID); err != nil {
			return err
		}
	}
	if r.Seen > len(b.events) {
		return nil // it was there before
	}
	return pruneAttempts(ctx, tx, site, r.Owner, r.Known)
}

// bare leaves out what the attempt's row says.
func bare(events []sprout.BootEvent) []sprout.BootEvent {
	events = slices.Clone(events)
	for i := range events {
		events[i].Attempt, events[i].Machine = "", ""
	}
	return events
}

// pruneEvents drops an attempt's oldest events.
func pruneEvents(ctx context.Context, tx pgx.Tx, site sprout.SiteID, id sprout.AttemptID) error {
	_, err := exec(ctx, tx, `
		DELETE FROM boot_event WHERE site = $1 AND attempt = $2 AND seq <=
		  (SELECT seq FROM boot_event WHERE site = $1 AND attempt = $2 ORDER BY seq DESC OFFSET $3 LIMIT 1)`, site, id, keepEvents)
	return err
}

// pruneAttempts drops the owner's oldest attempts, and those of strangers.
func pruneAttempts(ctx context.Context, tx pgx.Tx, site sprout.SiteID, owner string, known bool) error {
	if _, err := exec(ctx, tx, `
		DELETE FROM boot_attempt WHERE site = $1 AND owner = $2 AND id <=
		  (SELECT id FROM boot_attempt WHERE site = $1 AND owner = $2 ORDER BY id DESC OFFSET $3 LIMIT 1)`, site, owner, keepAttempts); err != nil || known {
		return err
	}
	_, err := exec(ctx, tx, `
		DELETE FROM boot_attempt WHERE site = $1 AND machine IS NULL AND id <=
		  (SELECT id FROM boot_attempt WHERE site = $1 AND machine IS NULL ORDER BY id DESC OFFSET $2 LIMIT 1)`, site, keepStrangers)
	return err
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
