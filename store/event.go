package store

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
)

// EventChannel is notified when rows of the event log have committed.
const EventChannel = "sprout_event"

// touch queues that something has happened to e.Subject: its row in the event
// log is written when tx commits, one a subject.
func (s *Store) touch(ctx context.Context, tx pgx.Tx, e sprout.WatchEvent) error {
	t, finish := queued(tx)
	t.touch(e)
	return finish(ctx, s)
}

// changed is touch of what has an id, belongs to a site and has changed.
func changed[ID ~string](site sprout.SiteID, id ID) sprout.WatchEvent {
	return sprout.WatchEvent{What: sprout.WasChanged, Subject: string(id), Site: site}
}

// happened is changed with what happened.
func happened[ID ~string](what sprout.Happening, site sprout.SiteID, id ID) sprout.WatchEvent {
	return sprout.WatchEvent{What: what, Subject: string(id), Site: site}
}

func (t *txn) touch(e sprout.WatchEvent) {
	for i := range t.events {
		if t.events[i].Subject == e.Subject {
			t.events[i] = merged(t.events[i], e)
			return
		}
	}
	t.events = append(t.events, e)
}

// merged makes one event of two to the same subject: made and changed is made,
// gone is gone.
func merged(old, e sprout.WatchEvent) sprout.WatchEvent {
	if e.What == sprout.WasChanged {
		e.What = old.What
	}
	for _, keep := range []struct{ now, before *string }{
		{(*string)(&e.Site), (*string)(&old.Site)}, {(*string)(&e.Machine), (*string)(&old.Machine)},
		{&e.Name, &old.Name}, {&e.State, &old.State},
	} {
		if *keep.now == "" {
			*keep.now = *keep.before
		}
	}
	return e
}

// queueEvents adds the statement that inserts what is queued. A machine need not
// say its site.
func queueEvents(b *pgx.Batch, t *txn) {
	if len(t.events) == 0 {
		return
	}
	var columns [6][]string
	for _, e := range t.events {
		for i, v := range []string{string(e.What), e.Subject, string(e.Site), string(e.Machine), e.Name, e.State} {
			columns[i] = append(columns[i], v)
		}
	}
	t.events = nil
	b.Queue(`
		INSERT INTO event (what, subject, site, machine, name, state)
		SELECT u.what, u.subject, coalesce(nullif(u.site, ''), m.site, ''), coalesce(nullif(u.machine, ''), m.id, ''), u.name, u.state
		FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
		     WITH ORDINALITY u (what, subject, site, machine, name, state, n)
		     LEFT JOIN LATERAL (SELECT id, site FROM machine WHERE id = u.subject LIMIT 1) m ON true
		ORDER BY u.n`,
		columns[0], columns[1], columns[2], columns[3], columns[4], columns[5])
	t.notify(notice{EventChannel, ""})
}

// An EventFilter restricts what is read of the event log; zero fields do not.
type EventFilter struct {
	Sites   sprout.Sites // and what is of no site
	Machine sprout.MachineID
	Subject string
	Nouns   []sprout.Noun
}

// Match tells whether e passes the filter.
func (f EventFilter) Match(e sprout.WatchEvent) bool {
	return (f.Sites.Has(e.Site) || e.Noun == sprout.NounImage) &&
		(f.Machine == "" || e.Machine == f.Machine) && (f.Subject == "" || e.Subject == f.Subject) &&
		(len(f.Nouns) == 0 || slices.Contains(f.Nouns, e.Noun))
}

// OpenEvents makes the event log ready for a connection that was made anew. A
// database that was restored, or that another server took over, counts its
// transactions otherwise: what it logged before means nothing any more.
func (s *Store) OpenEvents(ctx context.Context) error {
	return s.Tx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		n, err := exec(ctx, tx, `
			UPDATE event_log SET epoch = now.epoch, pruned = '0'
			FROM (SELECT lpad(to_hex(hashtextextended(system_identifier || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8), 0)), 16, '0') AS epoch FROM pg_control_system()) now
			WHERE event_log.epoch <> now.epoch`)
		if err != nil || n == 0 {
			return err
		}
		_, err = exec(ctx, tx, `DELETE FROM event`)
		return err
	})
}

// PruneEvents removes rows of the event log, the oldest first, that are older
// than keep or more than rows: at most batch of them. More tells whether there
// may be others.
func (s *Store) PruneEvents(ctx context.Context, keep time.Duration, rows int64, batch int) (more bool, err error) {
	n, err := exec(ctx, s.db, `
		WITH old AS (SELECT xid, seq, at FROM event ORDER BY xid, seq LIMIT $3),
		     last AS (SELECT seq FROM event ORDER BY xid DESC, seq DESC LIMIT 1),
		     gone AS (
			DELETE FROM event e USING old, last
			WHERE e.xid = old.xid AND e.seq = old.seq AND (old.at < now() - $1::interval OR old.seq <= last.seq - $2)
			RETURNING e.xid),
		     upto AS (SELECT xid FROM gone ORDER BY xid DESC LIMIT 1),
		     noted AS (UPDATE event_log SET pruned = greatest(pruned, upto.xid) FROM upto)
		SELECT FROM gone`, keep, rows, batch)
	return n >= int64(batch), err
}
