package store

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
)

// Audit queues a record, which is written when tx commits and sealed soon after
// (SealAudit): then it has its number and hash. One without a kind is Sprout's
// own.
func (s *Store) Audit(ctx context.Context, tx pgx.Tx, r sprout.AuditRecord) error {
	t, finish := queued(tx)
	t.records = append(t.records, r)
	return finish(ctx, s)
}

// AuditAll records in a transaction of its own what changed nothing: refusals.
func (s *Store) AuditAll(ctx context.Context, list []sprout.AuditRecord) error {
	return s.Tx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		for _, r := range list {
			if err := s.Audit(ctx, tx, r); err != nil {
				return err
			}
		}
		return nil
	})
}

// AuditNews holds a value while records that this store wrote may wait to be
// sealed. One may listen.
func (s *Store) AuditNews() <-chan struct{} { return s.unsealed }

func (s *Store) tellSealer() {
	select {
	case s.unsealed <- struct{}{}:
	default:
	}
}

// queueAudit adds the statements that insert what is queued, unsealed: no two
// transactions wait for each other here.
func queueAudit(b *pgx.Batch, t *txn) {
	for _, r := range t.records {
		b.Queue(`
			INSERT INTO audit_unsealed (site, at, kind, actor, token, source, action, subject, name, outcome, detail, changes, request)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
			r.Site, writtenAt(r), cmp.Or(r.Kind, sprout.AuditSystem), r.Actor, r.Token, r.Source,
			r.Action, r.Subject, r.Name, r.Outcome, r.Detail, changesOrNull(r.Changes), r.Request)
	}
	t.audited = t.audited || len(t.records) > 0
	t.records = nil
}

func changesOrNull(list []sprout.FieldChange) any {
	if len(list) == 0 {
		return nil
	}
	return list
}

const (
	auditWords  = `site, at, kind, actor, token, source, action, subject, name, outcome, detail, changes, request`
	auditSelect = `SELECT seq, hash, ` + auditWords + ` FROM audit `
)

func scanAudit(row pgx.CollectableRow) (r sprout.AuditRecord, err error) {
	return scanAuditAfter(row, &r.Seq, &r.Hash, &r)
}

// scanAuditAfter scans two columns of any use, then the words of a record.
func scanAuditAfter(row pgx.CollectableRow, first, second any, r *sprout.AuditRecord) (sprout.AuditRecord, error) {
	var changes []byte
	err := row.Scan(first, second, &r.Site, &r.At, &r.Kind, &r.Actor, &r.Token, &r.Source, &r.Action, &r.Subject, &r.Name, &r.Outcome,
		&r.Detail, &changes, &r.Request)
	r.At = r.At.UTC()
	if err == nil && changes != nil {
		err = json.Unmarshal(changes, &r.Changes)
	}
	return *r, err
}

// An AuditFilter restricts a list of sealed audit records; zero fields do not.
type AuditFilter struct {
	Sites   sprout.Sites
	Subject string // an id or a name
	Actor   string
	Action  string
	Outcome string
	Kind    sprout.AuditKind
	Since   time.Time // at or after
	Until   time.Time // before
	Page
}

func (f AuditFilter) selection() (q selection) {
	among(&q, "site", f.Sites)
	equal(&q, "actor", f.Actor)
	equal(&q, "action", f.Action)
	equal(&q, "outcome", f.Outcome)
	equal(&q, "kind", f.Kind)
	if f.Subject != "" {
		q.where("(subject = %[1]s OR name = %[1]s)", f.Subject)
	}
	if !f.Since.IsZero() {
		q.where("at >= %s", f.Since)
	}
	if !f.Until.IsZero() {
		q.where("at < %s", f.Until)
	}
	return q
}

var auditListing = listing[sprout.AuditRecord]{"audit record", "-created", map[string]order[sprout.AuditRecord]{
	"created": {[]key{number("seq")}, func(r sprout.AuditRecord) []string { return []string{formatSeq(r.Seq)} }},
}}

// AuditRecords lists records, by default the newest first.
func (s *Store) AuditRecords(ctx context.Context, f AuditFilter) ([]sprout.AuditRecord, string, error) {
	return page(auditListing, f.Page, f.selection(), func(tail string, args ...any) ([]sprout.AuditRecord, error) {
		return many(ctx, s.db, scanAudit, auditSelect+tail, args...)
	})
}

// AuditPart is how many records AuditAfter returns at most.
const AuditPart = 1000

// AuditAfter returns the next records with numbers after one and up to last, in
// order; none where there are no more. The filter's Page has no part in it.
func (s *Store) AuditAfter(ctx context.Context, f AuditFilter, after, last int64) ([]sprout.AuditRecord, error) {
	q := f.selection()
	q.where("seq > %s AND seq <= %s", after, last)
	return many(ctx, s.db, scanAudit, fmt.Sprintf("%s WHERE %s ORDER BY seq LIMIT %d", auditSelect, strings.Join(q.conditions, " AND "), AuditPart), q.args...)
}

// AuditHead returns the signed end of the chain, zero while nothing is sealed.
func (s *Store) AuditHead(ctx context.Context) (sprout.AuditHead, error) {
	head, _, err := s.readHead(ctx, s.db)
	return head, err
}

// AuditRecord returns one sealed record; NotFound if there is none.
func (s *Store) AuditRecord(ctx context.Context, seq int64) (sprout.AuditRecord, error) {
	r, err := one(ctx, s.db, scanAudit, auditSelect+`WHERE seq = $1`, seq)
	return r, orNotFound(err, "audit record", formatSeq(seq))
}
