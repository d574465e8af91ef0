package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/audit"
)

// auditLock is the advisory lock that orders the chain: whoever adds to it
// waits for the commit of who added before.
const auditLock = 0x5370726f7574 // "Sprout"

// Audit queues a record; it gets its number, time and hash when tx commits.
func (s *Store) Audit(ctx context.Context, tx pgx.Tx, r sprout.AuditRecord) error {
	t, finish := queued(tx)
	t.records = append(t.records, r)
	return finish(ctx, s)
}

// AuditAlone records in a transaction of its own what changed nothing: a
// refusal.
func (s *Store) AuditAlone(ctx context.Context, r sprout.AuditRecord) error {
	return s.Tx(ctx, func(ctx context.Context, tx pgx.Tx) error { return s.Audit(ctx, tx, r) })
}

func (s *Store) writeAudit(ctx context.Context, t *txn) error {
	if len(t.records) == 0 {
		return nil
	}
	if _, err := exec(ctx, t.Tx, `SELECT pg_advisory_xact_lock($1)`, auditLock); err != nil {
		return err
	}
	seq, prev, err := auditEnd(ctx, t.Tx)
	if err != nil {
		return err
	}
	b := &pgx.Batch{}
	for _, r := range t.records {
		seq++
		r.Seq, r.At = seq, time.Now().UTC().Truncate(time.Microsecond)
		r.Hash = audit.Hash(prev, r)
		prev = r.Hash
		b.Queue(`
			INSERT INTO audit (seq, site, at, actor, action, subject, name, outcome, detail, request, hash)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
			r.Seq, r.Site, r.At, r.Actor, r.Action, r.Subject, r.Name, r.Outcome, r.Detail, r.Request, r.Hash)
	}
	t.records = nil
	return explain(t.SendBatch(ctx, b).Close())
}

// auditEnd returns number and hash of the last record, zero if there is none.
func auditEnd(ctx context.Context, q querier) (seq int64, hash string, err error) {
	last, err := one(ctx, q, scanAudit, auditSelect+`ORDER BY seq DESC LIMIT 1`)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, "", nil
	}
	return last.Seq, last.Hash, err
}

const auditSelect = `SELECT seq, site, at, actor, action, subject, name, outcome, detail, request, hash FROM audit `

func scanAudit(row pgx.CollectableRow) (r sprout.AuditRecord, err error) {
	err = row.Scan(&r.Seq, &r.Site, &r.At, &r.Actor, &r.Action, &r.Subject, &r.Name, &r.Outcome, &r.Detail, &r.Request, &r.Hash)
	r.At = r.At.UTC()
	return r, err
}

// An AuditFilter restricts a list of audit records; zero fields do not.
type AuditFilter struct {
	Site    sprout.SiteID
	Subject string // an id or a name
	Actor   string
	After   int64
	Limit   int
}

// AuditRecords lists records in order; next is the number to go on after, 0 at
// the end.
func (s *Store) AuditRecords(ctx context.Context, f AuditFilter) (list []sprout.AuditRecord, next int64, err error) {
	page := Page{Limit: f.Limit}
	list, err = many(ctx, s.db, scanAudit, auditSelect+`
		WHERE ($1 = '' OR site = $1) AND ($2 = '' OR subject = $2 OR name = $2) AND ($3 = '' OR actor = $3) AND seq > $4
		ORDER BY seq LIMIT $5`, f.Site, f.Subject, f.Actor, f.After, page.limit()+1)
	if len(list) > page.limit() {
		list = list[:page.limit()]
		next = list[len(list)-1].Seq
	}
	return list, next, err
}

// VerifyAudit reads the whole chain and checks it. It returns how many records
// it holds; the error names the first that was changed or is missing. Records
// cut off at the end do not show: compare the count with one kept elsewhere.
func (s *Store) VerifyAudit(ctx context.Context) (int64, error) {
	var seq int64
	var prev string
	for {
		list, next, err := s.AuditRecords(ctx, AuditFilter{After: seq, Limit: 1000})
		if err != nil {
			return seq, err
		}
		if err := audit.Verify(prev, seq, list); err != nil {
			return seq, err
		}
		if len(list) > 0 {
			seq, prev = list[len(list)-1].Seq, list[len(list)-1].Hash
		}
		if next == 0 {
			return seq, nil
		}
	}
}
