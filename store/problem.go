package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"sprout"
)

const problemSelect = `
	SELECT id, coalesce(site, ''), subject, name, code, severity, reason, evidence, remedy, since, cleared_at FROM problem `

func scanProblem(row pgx.CollectableRow) (p sprout.Problem, err error) {
	err = row.Scan(&p.ID, &p.Site, &p.Subject, &p.Name, &p.Code, &p.Severity, &p.Reason, &p.Evidence, &p.Remedy, &p.Since, &p.ClearedAt)
	return p, err
}

// RaiseProblem opens a problem, or brings the open one of the same subject and
// code up to date; since stays.
func (s *Store) RaiseProblem(ctx context.Context, tx pgx.Tx, p sprout.Problem) error {
	if p.ID == "" {
		p.ID = sprout.NewID[sprout.ProblemID](sprout.PrefixProblem)
	}
	_, err := exec(ctx, tx, `
		INSERT INTO problem (id, site, subject, name, code, severity, reason, evidence, remedy)
		VALUES ($1, nullif($2, ''), $3, $4, $5, $6, $7, $8, $9)
		ON CONFLICT (subject, code) WHERE cleared_at IS NULL DO UPDATE SET name = excluded.name,
			severity = excluded.severity, reason = excluded.reason, evidence = excluded.evidence, remedy = excluded.remedy`,
		p.ID, p.Site, p.Subject, p.Name, p.Code, p.Severity, p.Reason, p.Evidence, p.Remedy)
	return err
}

// ClearProblems closes the open problems of a subject with one of the codes
// (none: all of them). Returns how many were closed.
func (s *Store) ClearProblems(ctx context.Context, tx pgx.Tx, subject string, codes ...sprout.Code) (int64, error) {
	return exec(ctx, tx, `
		UPDATE problem SET cleared_at = now()
		WHERE subject = $1 AND cleared_at IS NULL AND (cardinality($2::text[]) = 0 OR code = ANY ($2))`, subject, orEmpty(codes))
}

// A ProblemFilter restricts a list of problems; zero fields do not.
type ProblemFilter struct {
	Site    sprout.SiteID
	Subject string
	Cleared bool // those that were closed too
	Page
}

// Problems lists problems in the order they were raised.
func (s *Store) Problems(ctx context.Context, f ProblemFilter) ([]sprout.Problem, string, error) {
	list, err := many(ctx, s.db, scanProblem, problemSelect+`
		WHERE ($1 = '' OR site = $1) AND ($2 = '' OR subject = $2) AND ($3 OR cleared_at IS NULL) AND id > $4
		ORDER BY id LIMIT $5`, f.Site, f.Subject, f.Cleared, f.After, f.limit()+1)
	list, next := pageOf(f.Page, list, func(p sprout.Problem) string { return string(p.ID) })
	return list, next, err
}
