package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
)

// longestMove is how many bytes of a step's own words its record holds.
const longestMove = 1000

// A mover is the workflow whose moves are recorded: under the name of who asked
// for it, in which request.
type mover struct {
	Site        sprout.SiteID
	Machine     sprout.MachineID
	MachineName string
	Actor       string
	Request     string
	Kind        string
}

const moverWords = `w.site, coalesce(w.machine, ''), coalesce((SELECT m.name FROM machine m WHERE m.id = w.machine), ''), w.actor, w.request, w.kind`

// record is of what became of a step, or of the run while it is there.
func (m mover) record(id, step, outcome, detail string) sprout.AuditRecord {
	if len(detail) > longestMove {
		detail = strings.ToValidUTF8(detail[:longestMove], "") + "…"
	}
	return sprout.AuditRecord{
		Kind: sprout.AuditWorkflow, Site: m.Site, Actor: m.Actor, Action: m.Kind + " " + step,
		Subject: id, Name: m.MachineName, Outcome: outcome, Detail: detail, Request: m.Request,
	}
}

// stepRecord is the record of a step that has ended; false while it runs.
func (m mover) stepRecord(id, at string, r sprout.StepRecord) (sprout.AuditRecord, bool) {
	outcome := map[string]string{"done": "done", "undone": "done", "skipped": "done", "failed": "failed"}[r.Outcome]
	if outcome == "" || r.EndedAt == nil {
		return sprout.AuditRecord{}, false
	}
	const words = "2006-01-02T15:04:05.000Z"
	detail := fmt.Sprintf("%s at the %s, attempt %d, begun %s, ended %s", r.Outcome, at, r.Attempt, r.StartedAt.UTC().Format(words), r.EndedAt.UTC().Format(words))
	if r.Detail != "" {
		detail += ": " + r.Detail
	}
	return m.record(id, r.Name, outcome, detail), true
}

// AuditSteps queues a record of each step of a run that has ended between
// before and after, the run's step records, in the transaction that saves it.
func (s *Store) AuditSteps(ctx context.Context, tx pgx.Tx, id sprout.WorkflowID, before, after []sprout.StepRecord) error {
	for i, r := range after {
		if i < len(before) && before[i].StartedAt.Equal(r.StartedAt) && before[i].Outcome == r.Outcome {
			continue
		}
		m, err := s.moverOf(ctx, tx, id)
		if err != nil {
			return err
		}
		if record, ended := m.stepRecord(string(id), "centre", r); ended {
			if err := s.Audit(ctx, tx, record); err != nil {
				return err
			}
		}
	}
	return nil
}

// AuditRun queues a record of what became of a run while it is at a step: done
// or failed.
func (s *Store) AuditRun(ctx context.Context, tx pgx.Tx, id sprout.WorkflowID, step, outcome, detail string) error {
	m, err := s.moverOf(ctx, tx, id)
	if err != nil {
		return err
	}
	return s.Audit(ctx, tx, m.record(string(id), step, outcome, detail))
}

// moverOf is known without a question where tx saved the run.
func (s *Store) moverOf(ctx context.Context, tx pgx.Tx, id sprout.WorkflowID) (mover, error) {
	if t, ok := tx.(*txn); ok && t.mover.id == id {
		return t.mover.mover, nil
	}
	m, err := one(ctx, tx, pgx.RowToStructByPos[mover], `SELECT `+moverWords+` FROM workflow w WHERE w.id = $1`, id)
	return m, orNotFound(err, "workflow", string(id))
}

// writtenAt is when a record was made, now where it does not say so.
func writtenAt(r sprout.AuditRecord) time.Time {
	if r.At.IsZero() {
		r.At = time.Now()
	}
	return r.At.UTC().Truncate(time.Microsecond)
}
