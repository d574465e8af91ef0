package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"sprout"
)

// mostNumbered is how many changes of a site one transaction numbers.
const mostNumbered = 5000

// NumberChanges gives every change that has committed the next number of its
// site, in the order of writing. Any number of replicas may call it: the row of
// the site is held meanwhile, and numbers have no gaps.
func (s *Store) NumberChanges(ctx context.Context) error {
	for {
		sites, err := many(ctx, s.db, pgx.RowTo[sprout.SiteID], `SELECT DISTINCT site FROM outbox_unnumbered ORDER BY site`)
		if err != nil || len(sites) == 0 {
			return err
		}
		for _, site := range sites {
			err := s.Tx(ctx, func(ctx context.Context, tx pgx.Tx) error { return numberSite(ctx, tx, site) })
			if err != nil {
				return err
			}
		}
	}
}

// numberSite numbers changes of one site. What a site that is gone had to be
// told goes.
func numberSite(ctx context.Context, tx pgx.Tx, site sprout.SiteID) error {
	// The second statement sees what whoever held the row has numbered.
	there, err := many(ctx, tx, pgx.RowTo[string], `SELECT id FROM site WHERE id = $1 FOR NO KEY UPDATE`, site)
	if err != nil {
		return err
	}
	if len(there) == 0 {
		_, err := exec(ctx, tx, `DELETE FROM outbox_unnumbered WHERE site = $1`, site)
		return err
	}
	_, err = exec(ctx, tx, `
		WITH next AS (SELECT id FROM outbox_unnumbered WHERE site = $1 ORDER BY id LIMIT $2),
		     taken AS (DELETE FROM outbox_unnumbered o USING next WHERE o.id = next.id RETURNING o.*),
		     numbered AS (SELECT *, row_number() OVER (ORDER BY id) AS n FROM taken),
		     raised AS (UPDATE site SET outbox_seq = outbox_seq + taken.n FROM (SELECT count(*) AS n FROM taken) taken
		                WHERE id = $1 RETURNING outbox_seq - taken.n AS before)
		INSERT INTO outbox (site, seq, kind, key, deleted, body, secret, created_at)
		SELECT site, raised.before + n, kind, key, deleted, body, secret, created_at FROM numbered, raised`, site, mostNumbered)
	return err
}

// numberNow writes the changes of the site t.anew with their numbers, and returns
// the others.
func (s *Store) numberNow(ctx context.Context, t *txn, list []change) (others []change, err error) {
	var now []change
	for _, c := range list {
		if c.site == t.anew {
			now = append(now, c)
		} else {
			others = append(others, c)
		}
	}
	if len(now) == 0 {
		return others, nil
	}
	t.notify(notice{OutboxChannel, string(t.anew)})
	last, err := one(ctx, t, pgx.RowTo[int64], `
		UPDATE site SET outbox_seq = outbox_seq + $2 WHERE id = $1 RETURNING outbox_seq`, t.anew, len(now))
	if err != nil {
		return others, orNotFound(err, "site", string(t.anew))
	}
	_, err = exec(ctx, t, `
		INSERT INTO outbox (site, seq, kind, key, deleted, body, secret)
		SELECT $6, $7 + n, kind, key, deleted, body::jsonb, secret
		FROM unnest($1::text[], $2::text[], $3::boolean[], $4::text[], $5::bytea[]) WITH ORDINALITY u (kind, key, deleted, body, secret, n)`,
		append(columnsOf(now), t.anew, last-int64(len(now)))...)
	return others, err
}
