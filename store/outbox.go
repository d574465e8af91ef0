package store

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
)

// OutboxChannel is notified with a site's id when a change of it commits.
const OutboxChannel = "sprout_outbox"

type change struct {
	site sprout.SiteID
	sprout.Change
	secret []byte // of work: sealed, for whoever is the site's agent when it is sent
}

// Replicate queues that record key of the kind is now body at the site. It gets
// the site's next number and is written when tx commits.
func (s *Store) Replicate(ctx context.Context, tx pgx.Tx, site sprout.SiteID, kind sprout.ChangeKind, key string, body any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("cannot replicate %s %s: %w", kind, key, err)
	}
	return s.queue(ctx, tx, change{site: site, Change: sprout.Change{Kind: kind, Key: key, Body: raw}})
}

// Forget queues that record key of the kind is gone at the site.
func (s *Store) Forget(ctx context.Context, tx pgx.Tx, site sprout.SiteID, kind sprout.ChangeKind, key string) error {
	return s.forgetAtSite(ctx, tx, site, kind, key)
}

func (s *Store) forgetAtSite(ctx context.Context, tx pgx.Tx, site sprout.SiteID, kind sprout.ChangeKind, key string) error {
	return s.queue(ctx, tx, change{site: site, Change: sprout.Change{Kind: kind, Key: key, Deleted: true}})
}

func (s *Store) queue(ctx context.Context, tx pgx.Tx, c change) error {
	t, finish := queued(tx)
	t.changes = append(t.changes, c)
	return finish(ctx, s)
}

// replicateMachine queues the machine as it will be when tx commits.
func (s *Store) replicateMachine(ctx context.Context, tx pgx.Tx, id sprout.MachineID) error {
	t, finish := queued(tx)
	if !slices.Contains(t.machines, id) {
		t.machines = append(t.machines, id)
	}
	t.touch(changed("", id))
	return finish(ctx, s)
}

// replicateReservation queues what the port of an address has now: one record
// of all its addresses, the usual one first, which is all that older agents read.
func (s *Store) replicateReservation(ctx context.Context, tx pgx.Tx, a sprout.Address) error {
	if a.Machine == "" {
		return nil
	}
	if err := s.touch(ctx, tx, changed(a.Site, a.Machine)); err != nil || a.MAC == "" {
		return err
	}
	held, err := many(ctx, tx, scanAddress, addressSelect+`
		JOIN network n ON n.id = b.network
		WHERE a.machine = $1 AND a.mac = $2::text::macaddr ORDER BY family(a.ip), n.vlan <> 0, a.created_at, a.id`, a.Machine, a.MAC)
	if err != nil {
		return err
	}
	if len(held) == 0 {
		return s.forgetAtSite(ctx, tx, a.Site, sprout.ChangeReservation, a.MAC)
	}
	return s.Replicate(ctx, tx, a.Site, sprout.ChangeReservation, a.MAC, reservationOf(held))
}

// replicateReservations is replicateReservation of several.
func (s *Store) replicateReservations(ctx context.Context, tx pgx.Tx, list []sprout.Address) error {
	for _, a := range list {
		if err := s.replicateReservation(ctx, tx, a); err != nil {
			return err
		}
	}
	return nil
}

// reservationOf makes one record of all that a port has.
func reservationOf(held []sprout.Address) sprout.Reservation {
	var all []sprout.Reservation
	for _, a := range held {
		all = append(all, sprout.Reservation{MAC: a.MAC, IP: a.IP, Subnet: a.Subnet, Machine: a.Machine, Hostname: a.Name})
	}
	first := all[0]
	first.More = all[1:]
	return first
}

// gatherChanges returns what is queued, site by site in one order.
func (s *Store) gatherChanges(ctx context.Context, t *txn) ([]change, error) {
	machines, err := s.siteMachines(ctx, t.Tx, `m.id = ANY ($1) AND m.state <> 'retired'`, orEmpty(t.machines))
	if err != nil {
		return nil, err
	}
	all := append(machines, t.changes...) // machines first: work and reservations name them
	slices.SortStableFunc(all, func(a, b change) int { return cmp.Compare(a.site, b.site) })
	t.changes, t.machines = nil, nil
	return all, nil
}

// queueChanges adds the statement that leaves changes to be numbered. They get
// their numbers in the order of writing once they have committed: so a change
// has a higher number than every change that its writer has seen, and of two
// writers of the same record, of whom one waits for the other, the later one.
func queueChanges(b *pgx.Batch, t *txn, list []change) {
	if len(list) == 0 {
		return
	}
	args := columnsOf(list)
	sites := make([]string, len(list))
	for i, c := range list {
		sites[i] = string(c.site)
		t.notify(notice{OutboxChannel, string(c.site)})
	}
	b.Queue(`
		INSERT INTO outbox_unnumbered (site, kind, key, deleted, body, secret)
		SELECT site, kind, key, deleted, body::jsonb, secret
		FROM unnest($1::text[], $2::text[], $3::boolean[], $4::text[], $5::bytea[], $6::text[]) WITH ORDINALITY u (kind, key, deleted, body, secret, site, n)
		ORDER BY n`, append(args, sites)...)
}

// columnsOf returns changes as one array a column: kind, key, deleted, body, secret.
func columnsOf(list []change) []any {
	var kinds, keys []string
	var gone []bool
	var bodies []*string
	var secrets [][]byte
	for _, c := range list {
		kinds, keys, gone, secrets = append(kinds, string(c.Kind)), append(keys, c.Key), append(gone, c.Deleted), append(secrets, c.secret)
		bodies = append(bodies, textOf(c.Body))
	}
	return []any{kinds, keys, gone, bodies, secrets}
}

// textOf is a body as text; nil if there is none.
func textOf(body json.RawMessage) *string {
	if body == nil {
		return nil
	}
	text := string(body)
	return &text
}

// An OutboxRow is a change and the site that it is for.
type OutboxRow struct {
	Site sprout.SiteID
	sprout.Change
	secret []byte
}

const outboxColumns = `site, seq, kind, key, deleted, body, secret`

func scanOutbox(row pgx.CollectableRow) (o OutboxRow, err error) {
	err = row.Scan(&o.Site, &o.Seq, &o.Kind, &o.Key, &o.Deleted, &o.Body, &o.secret)
	return o, err
}

// outbox reads changes as their sites shall get them.
func (s *Store) outbox(ctx context.Context, rest string, args ...any) ([]OutboxRow, error) {
	rows, err := many(ctx, s.db, scanOutbox, `SELECT `+outboxColumns+` FROM outbox WHERE `+rest, args...)
	if err != nil {
		return nil, err
	}
	return rows, s.sealForSites(ctx, rows)
}

// OutboxAfter lists changes of a site after number seq, in order.
func (s *Store) OutboxAfter(ctx context.Context, site sprout.SiteID, seq int64, limit int) ([]sprout.Change, error) {
	if err := s.NumberChanges(ctx); err != nil {
		return nil, err
	}
	return s.changes(ctx, `site = $1 AND seq > $2 ORDER BY seq LIMIT $3`, site, seq, limit)
}

// PublishedAfter is OutboxAfter of those changes that the relay handed on at
// least so long ago.
func (s *Store) PublishedAfter(ctx context.Context, site sprout.SiteID, seq int64, ago time.Duration, limit int) ([]sprout.Change, error) {
	return s.changes(ctx, `site = $1 AND seq > $2 AND published_at < now() - $4::interval ORDER BY seq LIMIT $3`, site, seq, limit, ago)
}

func (s *Store) changes(ctx context.Context, rest string, args ...any) ([]sprout.Change, error) {
	rows, err := s.outbox(ctx, rest, args...)
	out := make([]sprout.Change, len(rows))
	for i, r := range rows {
		out[i] = r.Change
	}
	return out, err
}

// Unpublished lists changes that the relay has not handed on, in order within
// each site, of all sites but those of except.
func (s *Store) Unpublished(ctx context.Context, limit int, except ...sprout.SiteID) ([]OutboxRow, error) {
	if err := s.NumberChanges(ctx); err != nil {
		return nil, err
	}
	return s.outbox(ctx, `published_at IS NULL AND site <> ALL ($2) ORDER BY site, seq LIMIT $1`, limit, orEmpty(except))
}

// MarkPublished notes that the relay handed on the changes of a site up to seq.
func (s *Store) MarkPublished(ctx context.Context, site sprout.SiteID, seq int64) error {
	_, err := exec(ctx, s.db, `
		UPDATE outbox SET published_at = now() WHERE site = $1 AND seq <= $2 AND published_at IS NULL`, site, seq)
	return err
}

// PruneOutbox removes changes of a site that it has applied and that a later
// change of the same record made void. Returns how many.
func (s *Store) PruneOutbox(ctx context.Context, site sprout.SiteID, applied int64) (int64, error) {
	return exec(ctx, s.db, `
		DELETE FROM outbox o WHERE o.site = $1 AND o.seq <= $2 AND o.published_at IS NOT NULL
		  AND EXISTS (SELECT FROM outbox l WHERE l.site = o.site AND l.kind = o.kind AND l.key = o.key AND l.seq > o.seq)`,
		site, applied)
}
