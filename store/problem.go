package store

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
)

const (
	problemColumns = `id, coalesce(site, ''), subject, name, code, severity, reason, evidence, remedy, since, cleared_at`
	problemSelect  = `SELECT ` + problemColumns + ` FROM problem `
)

func scanProblem(row pgx.CollectableRow) (p sprout.Problem, err error) {
	err = row.Scan(&p.ID, &p.Site, &p.Subject, &p.Name, &p.Code, &p.Severity, &p.Reason, &p.Evidence, &p.Remedy, &p.Since, &p.ClearedAt)
	p.Type = p.Code.Type()
	return p, err
}

// RaiseProblem opens a problem, or brings the open one of the same subject and
// code up to date; since stays.
func (s *Store) RaiseProblem(ctx context.Context, tx pgx.Tx, p sprout.Problem) error {
	if p.ID == "" {
		p.ID = sprout.NewID[sprout.ProblemID](sprout.PrefixProblem)
	}
	_, err := s.problemsNow(ctx, tx, `
		INSERT INTO problem AS old (id, site, subject, name, code, severity, reason, evidence, remedy)
		VALUES ($1, nullif($2, ''), $3, $4, $5, $6, $7, $8, $9)
		ON CONFLICT (subject, code) WHERE cleared_at IS NULL DO UPDATE SET name = excluded.name,
			severity = excluded.severity, reason = excluded.reason, evidence = excluded.evidence, remedy = excluded.remedy
		WHERE (old.name, old.severity, old.reason, old.evidence, old.remedy)
		      IS DISTINCT FROM (excluded.name, excluded.severity, excluded.reason, excluded.evidence, excluded.remedy)
		RETURNING `+problemColumns, p.ID, p.Site, p.Subject, p.Name, p.Code, p.Severity, p.Reason, p.Evidence, p.Remedy)
	return err
}

// problemsNow runs a statement that returns the problems that it changed, and
// tells of them and of what they are about.
func (s *Store) problemsNow(ctx context.Context, tx pgx.Tx, sql string, args ...any) (int64, error) {
	list, err := many(ctx, tx, scanProblem, sql, args...)
	for _, p := range list {
		if err := s.touch(ctx, tx, eventOf(p)); err != nil {
			return 0, err
		}
		if err := s.touch(ctx, tx, changed(p.Site, p.Subject)); err != nil {
			return 0, err
		}
	}
	return int64(len(list)), err
}

func eventOf(p sprout.Problem) sprout.WatchEvent {
	e := changed(p.Site, p.ID)
	e.Name, e.State = p.Name, "open"
	if p.ClearedAt != nil {
		e.State = "over"
	}
	if sprout.NounOf(p.Subject) == sprout.NounMachine {
		e.Machine = sprout.MachineID(p.Subject)
	}
	return e
}

// forgetProblems removes every problem of a subject that is about to go.
func (s *Store) forgetProblems(ctx context.Context, tx pgx.Tx, subject string) error {
	list, err := many(ctx, tx, scanProblem, `DELETE FROM problem WHERE subject = $1 RETURNING `+problemColumns, subject)
	for _, p := range list {
		e := eventOf(p)
		e.What = sprout.WasDeleted
		if err := s.touch(ctx, tx, e); err != nil {
			return err
		}
	}
	return err
}

// ClearProblems closes the open problems of a subject with one of the codes
// (none: all of them). Returns how many were closed.
func (s *Store) ClearProblems(ctx context.Context, tx pgx.Tx, subject string, codes ...sprout.Code) (int64, error) {
	return s.problemsNow(ctx, tx, `
		UPDATE problem SET cleared_at = now()
		WHERE subject = $1 AND cleared_at IS NULL AND (cardinality($2::text[]) = 0 OR code = ANY ($2))
		RETURNING `+problemColumns, subject, orEmpty(codes))
}

// ClearProblemsBut closes the open problems of a subject, but for those with one of
// the codes.
func (s *Store) ClearProblemsBut(ctx context.Context, tx pgx.Tx, subject string, codes ...sprout.Code) (int64, error) {
	return s.problemsNow(ctx, tx, `
		UPDATE problem SET cleared_at = now()
		WHERE subject = $1 AND cleared_at IS NULL AND code <> ALL ($2::text[])
		RETURNING `+problemColumns, subject, orEmpty(codes))
}

// RenewProblems notes that the open problems of a subject go on. EndSilent leaves
// them for as long as somebody does.
func (s *Store) RenewProblems(ctx context.Context, tx pgx.Tx, subject string) error {
	_, err := exec(ctx, tx, `UPDATE problem SET said_at = now() WHERE subject = $1 AND cleared_at IS NULL`, subject)
	return err
}

// EndSilent closes the open problems of all subjects that begin with prefix and
// have not been renewed for so long. Returns how many were closed.
func (s *Store) EndSilent(ctx context.Context, tx pgx.Tx, prefix string, after time.Duration) (int64, error) {
	return s.problemsNow(ctx, tx, `
		UPDATE problem SET cleared_at = now()
		WHERE subject >= $1 AND subject < $1 || '~' AND cleared_at IS NULL AND coalesce(said_at, since) < now() - $2::interval
		RETURNING `+problemColumns, prefix, after)
}

// EndStale closes the open problems of a code that have not been renewed for so long.
func (s *Store) EndStale(ctx context.Context, tx pgx.Tx, code sprout.Code, after time.Duration) error {
	_, err := s.problemsNow(ctx, tx, `
		UPDATE problem SET cleared_at = now() WHERE code = $1 AND cleared_at IS NULL AND coalesce(said_at, since) < now() - $2::interval
		RETURNING `+problemColumns, code, after)
	return err
}

// A ProblemFilter restricts a list of problems; zero fields do not.
type ProblemFilter struct {
	Sites    sprout.Sites
	Subject  string
	Codes    []sprout.Code // any of them
	Severity sprout.Severity
	Cleared  bool // those that were closed too
	Page
}

var problemListing = listing[sprout.Problem]{"problem", "since", map[string]order[sprout.Problem]{
	"since":    {[]key{text("id")}, func(p sprout.Problem) []string { return []string{string(p.ID)} }},
	"code":     {[]key{text("code"), text("id")}, func(p sprout.Problem) []string { return []string{string(p.Code), string(p.ID)} }},
	"severity": {[]key{text("severity"), text("id")}, func(p sprout.Problem) []string { return []string{string(p.Severity), string(p.ID)} }}, // critical is first
}}

// Problems lists problems, by default in the order they were raised.
func (s *Store) Problems(ctx context.Context, f ProblemFilter) ([]sprout.Problem, string, error) {
	var q selection
	among(&q, "site", f.Sites)
	equal(&q, "subject", f.Subject)
	equal(&q, "severity", f.Severity)
	if len(f.Codes) > 0 {
		q.where("code = ANY (%s)", f.Codes)
	}
	if !f.Cleared {
		q.where("cleared_at IS NULL")
	}
	return page(problemListing, f.Page, q, func(tail string, args ...any) ([]sprout.Problem, error) {
		return many(ctx, s.db, scanProblem, problemSelect+tail, args...)
	})
}

// FindProblems returns problems of the sites, open or over, whose id begins as ref
// does: some of them, and more than one if there are several.
func (s *Store) FindProblems(ctx context.Context, sites sprout.Sites, ref string) ([]sprout.Problem, error) {
	var q selection
	among(&q, "site", sites)
	q.where("id BETWEEN %s AND %s", ref, ref+strings.Repeat("z", len(idPattern)))
	return many(ctx, s.db, scanProblem, problemSelect+"WHERE "+strings.Join(q.conditions, " AND ")+" ORDER BY id LIMIT 6", q.args...)
}
