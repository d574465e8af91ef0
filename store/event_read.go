package store

import (
	"context"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
)

// Events is a part of the event log, in an order that is the same whoever reads.
type Events struct {
	List []sprout.WatchEvent
	At   Position // to go on after
	More bool     // others are there already
	Lost bool     // rows were removed that From had not seen: List is empty, and At is now
}

// EventsNow returns the position from which on only later changes are seen.
func (s *Store) EventsNow(ctx context.Context) (Position, error) {
	part, err := s.EventsAfter(ctx, Position{}, EventFilter{}, 0)
	return part.At, err
}

// EventsAfter reads at most limit rows of the event log that from has not seen
// and that pass the filter. Each carries the position after it as its id.
func (s *Store) EventsAfter(ctx context.Context, from Position, f EventFilter, limit int) (Events, error) {
	return s.events(ctx, from, "", f, limit)
}

// EventsUntil is EventsAfter that stops where until does.
func (s *Store) EventsUntil(ctx context.Context, from, until Position, f EventFilter, limit int) (Events, error) {
	return s.events(ctx, from, until.seen, f, limit)
}

// An eventRow is a row of the log with what is known of the log as a whole;
// without a row of it, XID is 0.
type eventRow struct {
	epoch, now string
	lost       bool
	xid        uint64
	seq        int64
	event      sprout.WatchEvent
}

func scanEvent(row pgx.CollectableRow) (r eventRow, err error) {
	var xid string
	var at *time.Time
	e := &r.event
	err = row.Scan(&r.epoch, &r.now, &r.lost, &xid, &r.seq, &at, &e.What, &e.Subject, &e.Site, &e.SiteName, &e.Machine, &e.Name, &e.State)
	if err != nil {
		return r, err
	}
	e.At, e.Noun = at, sprout.NounOf(e.Subject)
	r.xid, err = strconv.ParseUint(xid, 10, 64)
	return r, err
}

// What $1 has not seen and $2 has, after row $4, $5: rows of transactions that ran
// then, and of those that had not begun. Both are ranges of the key, each with one
// lower bound: of two, an index scan may begin at the one that is further away.
// Something is lost if a row that was removed could be one of these.
const eventsSelect = `
	WITH log AS (SELECT epoch, pruned, pg_current_snapshot() AS now FROM event_log),
	     part AS (SELECT log.*, coalesce(nullif($1, '')::pg_snapshot, now) AS seen, coalesce(nullif($2, '')::pg_snapshot, now) AS upto FROM log),
	     ask AS (SELECT part.*, greatest(pg_snapshot_xmax(seen), $4::text::xid8) AS xid,
	             CASE WHEN pg_snapshot_xmax(seen) > $4::text::xid8 THEN 0 ELSE $5 END AS seq FROM part)
	SELECT ask.epoch, ask.upto::text,
	       $3 <> '' AND (ask.epoch <> $3 OR ask.pruned >= greatest(pg_snapshot_xmin(ask.seen), least(pg_snapshot_xmin(ask.upto), $4::text::xid8)) OR pg_snapshot_xmax(ask.seen) > pg_snapshot_xmax(now)),
	       coalesce(e.xid, '0')::text, coalesce(e.seq, 0), e.at, coalesce(e.what, ''), coalesce(e.subject, ''), coalesce(e.site, ''),
	       coalesce(s.name, ''), coalesce(e.machine, ''), coalesce(nullif(e.name, ''), m.name, CASE WHEN e.machine = '' THEN s.name END, ''), coalesce(e.state, '')
	FROM ask LEFT JOIN LATERAL (
		(SELECT * FROM event WHERE xid = ANY (ARRAY(SELECT pg_snapshot_xip(ask.seen))) AND (xid, seq) > ($4::text::xid8, $5)
		 AND pg_visible_in_snapshot(xid, ask.upto) AND ` + eventsWhere + ` ORDER BY xid, seq LIMIT $6)
		UNION ALL
		(SELECT * FROM event WHERE (xid, seq) > (ask.xid, ask.seq) AND xid < pg_snapshot_xmax(ask.upto)
		 AND pg_visible_in_snapshot(xid, ask.upto) AND ` + eventsWhere + ` ORDER BY xid, seq LIMIT $6)
		ORDER BY xid, seq LIMIT $6) e ON true
	LEFT JOIN site s ON s.id = e.site
	LEFT JOIN machine m ON m.id = e.machine
	ORDER BY e.xid, e.seq`

const eventsWhere = `($7::text[] IS NULL OR site = ANY ($7) OR starts_with(subject, 'img_')) AND ($8 = '' OR machine = $8) AND ($9 = '' OR subject = $9)
		 AND (cardinality($10::text[]) = 0 OR split_part(subject, '_', 1) = ANY ($10))`

func (s *Store) events(ctx context.Context, from Position, until string, f EventFilter, limit int) (Events, error) {
	upto := from.next
	if upto == "" {
		upto = until
	}
	rows, err := many(ctx, s.db, scanEvent, eventsSelect, from.seen, upto, from.epoch, strconv.FormatUint(from.xid, 10), from.seq, limit+1,
		f.Sites, f.Machine, f.Subject, prefixes(f.Nouns))
	if err != nil {
		return Events{}, err
	}
	first := rows[0]
	part := Events{At: Position{epoch: first.epoch, seen: first.now}, Lost: first.lost}
	if first.lost {
		part.At, err = s.EventsNow(ctx)
		return part, err
	}
	if first.xid == 0 {
		rows = nil
	}
	if len(rows) > limit {
		rows, part.More = rows[:limit], true
	}
	for i, r := range rows {
		after := Position{epoch: first.epoch, seen: from.seen, next: first.now, xid: r.xid, seq: r.seq}
		if i == len(rows)-1 && !part.More {
			after = part.At
		}
		r.event.ID = after.String()
		part.List = append(part.List, r.event)
		if part.More {
			part.At = after
		}
	}
	part.More = part.More || (from.next != "" && until != from.next)
	return part, nil
}

// prefixes are those of the ids of nouns.
func prefixes(nouns []sprout.Noun) []string {
	list := []string{}
	for _, n := range nouns {
		list = append(list, n.Prefix())
	}
	return list
}
