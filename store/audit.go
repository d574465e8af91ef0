package store

import (
	"context"
	"errors"
	"strconv"
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
	Page
}

var auditListing = listing[sprout.AuditRecord]{"audit record", "-created", map[string]order[sprout.AuditRecord]{
	"created": {[]key{number("seq")}, func(r sprout.AuditRecord) []string { return []string{strconv.FormatInt(r.Seq, 10)} }},
}}

// AuditRecords lists records, by default the newest first.
func (s *Store) AuditRecords(ctx context.Context, f AuditFilter) ([]sprout.AuditRecord, string, error) {
	var q selection
	equal(&q, "site", f.Site)
	equal(&q, "actor", f.Actor)
	if f.Subject != "" {
		q.where("(subject = %[1]s OR name = %[1]s)", f.Subject)
	}
	return page(auditListing, f.Page, q, func(tail string, args ...any) ([]sprout.AuditRecord, error) {
		return many(ctx, s.db, scanAudit, auditSelect+tail, args...)
	})
}

// VerifyAudit reads the whole chain and checks it. It returns how many records
// it holds; the error names the first that was changed or is missing. Records
// cut off at the end do not show: compare the count with one kept elsewhere.
func (s *Store) VerifyAudit(ctx context.Context) (int64, error) {
	var seq int64
	var prev, after string
	for {
		list, next, err := s.AuditRecords(ctx, AuditFilter{Page: Page{Sort: "created", After: after, Limit: 1000}})
		if err != nil {
			return seq, err
		}
		if err := audit.Verify(prev, seq, list); err != nil {
			return seq, err
		}
		if len(list) > 0 {
			seq, prev = list[len(list)-1].Seq, list[len(list)-1].Hash
		}
		if next == "" {
			return seq, nil
		}
		after = next
	}
}
