package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/workflow"
)

// WorkflowChannel is notified with a workflow's id when what people see of it
// has changed.
const WorkflowChannel = "sprout_workflow"

// LiveChannel is notified with a workflow's id when its work is further; that is
// in no log.
const LiveChannel = "sprout_live"

// An Origin says what a run is about and who asked for it.
type Origin struct {
	Site    sprout.SiteID
	Machine sprout.MachineID // may be empty
	Actor   string
	Request string // id of the request that asked for it; empty: nobody did
	Secret  []byte `db:"-"` // kept sealed beside the run until it has succeeded; may be empty
}

// CreateRun keeps a new run as version 1. With a machine it raises the
// machine's generation. Conflict if the id exists, if the machine is locked, or
// if another workflow runs on it: the error names that and how to cancel it.
func (s *Store) CreateRun(ctx context.Context, tx pgx.Tx, run workflow.Run, o Origin) error {
	run.Version = 1
	if run.CreatedAt.IsZero() {
		run.CreatedAt = time.Now()
	}
	if o.Machine != "" {
		if err := s.occupy(ctx, tx, o.Machine, run.Kind); err != nil {
			return err
		}
	}
	sealed, err := s.sealWork(run.ID, o.Secret)
	if err != nil {
		return err
	}
	n, err := exec(ctx, tx, `
		INSERT INTO workflow (site, id, kind, machine, actor, state, step_name, version, next_at, run, created_at, ended_at, request, secret)
		SELECT id, $2, $3, nullif($4, ''), $5, $6, $7, $8, $9, $10, $11, $12, $13, $14 FROM site WHERE id = $1`,
		o.Site, run.ID, run.Kind, o.Machine, o.Actor, run.State, run.StepName, run.Version, orNull(run.NextAt), run, run.CreatedAt, orNull(run.EndedAt), o.Request, sealed)
	if err := mustTouch(n, err, "site", string(o.Site)); err != nil {
		return err
	}
	return s.tellWorkflow(ctx, tx, sprout.WatchEvent{What: sprout.WasCreated, Subject: run.ID, Site: o.Site, Machine: o.Machine, State: string(run.State)})
}

// occupy takes the machine's row, refuses a machine that is locked or busy, and
// raises its generation.
func (s *Store) occupy(ctx context.Context, tx pgx.Tx, id sprout.MachineID, kind string) error {
	type row struct {
		Name   string
		Locked bool
	}
	m, err := one(ctx, tx, pgx.RowToStructByPos[row], `
		UPDATE machine SET generation = generation + 1, rests_until = NULL, changed_at = now() WHERE id = $1 RETURNING name, locked`, id)
	if err != nil {
		return orNotFound(err, "machine", string(id))
	}
	if m.Locked {
		return sprout.Errorf(sprout.Conflict, "cannot %s machine %s: it is locked", kind, m.Name).
			WithRemedy("sprout machine unlock %s", m.Name)
	}
	if err := refuseBusy(ctx, tx, id, kind); err != nil {
		return err
	}
	return s.replicateMachine(ctx, tx, id)
}

// refuseBusy is a Conflict while a workflow runs on the machine.
func refuseBusy(ctx context.Context, q querier, id sprout.MachineID, verb string) error {
	type row struct{ ID, Kind, Machine string }
	w, err := one(ctx, q, pgx.RowToStructByPos[row], `
		SELECT w.id, w.kind, m.name FROM workflow w JOIN machine m ON m.id = w.machine
		WHERE w.machine = $1 AND w.state IN ('running', 'unwinding')`, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	return sprout.Errorf(sprout.Conflict, "cannot %s machine %s: %s %s runs on it", verb, w.Machine, w.Kind, w.ID).
		WithRemedy("wait for it, or: sprout workflow cancel %s", w.ID)
}

// GetRun returns a run; NotFound if there is none.
func (s *Store) GetRun(ctx context.Context, id string) (workflow.Run, error) {
	run, err := one(ctx, s.db, func(c pgx.CollectableRow) (run workflow.Run, err error) {
		var version int64
		err = c.Scan(&run, &version)
		run.Version = version
		return run, err
	}, `SELECT run, version FROM workflow WHERE id = $1`, id)
	return run, orNotFound(err, "workflow", id)
}

// OriginOf returns what a run is about; NotFound if there is no run.
func (s *Store) OriginOf(ctx context.Context, id sprout.WorkflowID) (Origin, error) {
	o, err := one(ctx, s.db, pgx.RowToStructByPos[Origin], `
		SELECT site, coalesce(machine, ''), actor, request FROM workflow WHERE id = $1`, id)
	return o, orNotFound(err, "workflow", string(id))
}

// SaveRun replaces the run if its stored version is still run.Version, and
// raises the version; else Conflict. A run that had ended and moves again (a
// retry, by run.Retries) occupies its machine anew, as in CreateRun.
func (s *Store) SaveRun(ctx context.Context, tx pgx.Tx, run workflow.Run) error {
	old, err := replaceRun(ctx, tx, run, false)
	if errors.Is(err, pgx.ErrNoRows) {
		if err = s.revive(ctx, tx, run); err == nil {
			old, err = replaceRun(ctx, tx, run, true)
		}
	}
	if err != nil {
		return err
	}
	if err := forgetSecret(ctx, tx, run); err != nil {
		return err
	}
	if t, ok := tx.(*txn); ok {
		t.mover.id, t.mover.mover = sprout.WorkflowID(run.ID), old.mover
	}
	told := sprout.WatchEvent{What: sprout.WasChanged, Subject: run.ID, Site: old.Site, Machine: old.Machine}
	if old.State != run.State {
		told.State = string(run.State)
	}
	return s.tellWorkflow(ctx, tx, told)
}

// A runRow is what a run was before it was replaced.
type runRow struct {
	State sprout.WorkflowState
	Step  string
	mover
}

// replaceRun is pgx.ErrNoRows if another was first, and where a run that has
// ended would move again, unless that is wanted. What the site's work looked like is
// over where the run is at another step.
func replaceRun(ctx context.Context, tx pgx.Tx, run workflow.Run, revived bool) (runRow, error) {
	before := run.Version
	run.Version++
	return one(ctx, tx, scanRunRow, `
		WITH old AS (
			SELECT id, state, step_name FROM workflow
			WHERE id = $1 AND version = $2 AND ($9 OR $10 OR ended_at IS NULL) FOR NO KEY UPDATE),
		over AS (
			DELETE FROM workflow_live l USING old WHERE l.workflow = old.id AND (old.state, old.step_name) <> ($3, $4))
		UPDATE workflow w SET state = $3, step_name = $4, version = $5, next_at = $6, run = $7, ended_at = $8
		FROM old WHERE w.id = old.id
		RETURNING old.state, old.step_name, `+moverWords,
		run.ID, before, run.State, run.StepName, run.Version, orNull(run.NextAt), run, orNull(run.EndedAt), revived, run.State.Ended())
}

func scanRunRow(row pgx.CollectableRow) (r runRow, err error) {
	err = row.Scan(&r.State, &r.Step, &r.Site, &r.Machine, &r.MachineName, &r.Actor, &r.Request, &r.Kind)
	return r, err
}

// revive says why a run cannot be replaced, or, if it is a retry, has it occupy
// its machine anew.
func (s *Store) revive(ctx context.Context, tx pgx.Tx, run workflow.Run) error {
	type row struct {
		Version int64
		State   sprout.WorkflowState
		Machine sprout.MachineID
	}
	old, err := one(ctx, tx, pgx.RowToStructByPos[row], `
		SELECT version, state, coalesce(machine, '') FROM workflow WHERE id = $1 FOR NO KEY UPDATE`, run.ID)
	switch {
	case err != nil:
		return orNotFound(err, "workflow", run.ID)
	case old.Version != run.Version:
		return sprout.Errorf(sprout.Conflict, "cannot save workflow %s: it has changed since version %d", run.ID, run.Version)
	case old.State.Ended() && old.Machine != "":
		return s.occupy(ctx, tx, old.Machine, "retry "+run.Kind+" of")
	}
	return nil
}

// RunsDue lists runs that should have been advanced before a time, or, where a
// process that took their step has died, before dead: the driver's net for those
// that have no job.
func (s *Store) RunsDue(ctx context.Context, before, dead time.Time, limit int) ([]sprout.WorkflowID, error) {
	return many(ctx, s.db, pgx.RowTo[sprout.WorkflowID], `
		SELECT id FROM workflow WHERE state IN ('running', 'unwinding') AND next_at < greatest($1::timestamptz, $2::timestamptz)
		  AND (next_at < $1 OR run ? 'claim') ORDER BY next_at LIMIT $3`, before, dead, limit)
}

// RunsUnknown lists runs that are parked because a version did not know their
// step.
func (s *Store) RunsUnknown(ctx context.Context, limit int) ([]sprout.WorkflowID, error) {
	return many(ctx, s.db, pgx.RowTo[sprout.WorkflowID], `
		SELECT id FROM workflow WHERE state IN ('running', 'unwinding') AND next_at IS NULL AND run ->> 'unknown' = 'true' ORDER BY id LIMIT $1`, limit)
}

// SaveLive keeps what running site work looks like now, for all who watch at
// any replica. It is not durable; a workflow that has ended ignores it.
func (s *Store) SaveLive(ctx context.Context, id sprout.WorkflowID, live sprout.Live) error {
	n, err := exec(ctx, s.db, `
		INSERT INTO workflow_live (workflow, live) SELECT id, $2 FROM workflow WHERE id = $1 AND state IN ('running', 'unwinding')
		ON CONFLICT (workflow) DO UPDATE SET live = excluded.live, at = now()`, id, live)
	if err != nil || n == 0 {
		return err
	}
	s.teller.tell([]notice{{LiveChannel, string(id)}})
	return nil
}

// tellWorkflow tells who watches of a workflow, and of what its machine does.
func (s *Store) tellWorkflow(ctx context.Context, tx pgx.Tx, e sprout.WatchEvent) error {
	if err := s.touch(ctx, tx, e); err != nil {
		return err
	}
	if e.Machine != "" {
		if err := s.touch(ctx, tx, changed(e.Site, e.Machine)); err != nil {
			return err
		}
	}
	return notify(ctx, tx, WorkflowChannel, e.Subject)
}

// orNull keeps a zero time from becoming the year 1.
func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
