package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"sprout"
)

// Signal gives the run a signal with a JSON payload. It is kept until a step
// takes it, also if it comes before its step; a second one of the same name
// replaces the first. The run is due at once if it waits for this signal, or by
// AgainAfter. Conflict if the run has ended.
func (e *Engine[T]) Signal(ctx context.Context, id, name string, payload any, effects ...Effect[T]) error {
	raw, err := json.Marshal(payload)
	if err != nil {
		return sprout.Errorf(sprout.Invalid, "cannot signal %s to workflow %s: %w", name, id, err)
	}
	_, err = e.update(ctx, id, effects, func(run *Run) error {
		if run.State.Ended() {
			return sprout.Errorf(sprout.Conflict, "cannot signal %s to workflow %s: it has ended (%s)", name, id, run.State)
		}
		if run.Signals == nil {
			run.Signals = map[string]json.RawMessage{}
		}
		run.Signals[name] = raw
		if e.wakes(run, name) {
			run.NextAt = e.now()
		}
		return nil
	})
	return err
}

// wakes tells whether the signal makes the run due: not while it is being
// worked on (the outcome sees the signal), parked, or between two attempts.
func (e *Engine[T]) wakes(run *Run, name string) bool {
	if run.Claim != nil || run.Wait == nil || run.Parked() {
		return false
	}
	return run.WaitSignal == name || run.WaitSignal == "" && e.record(run) != nil
}

// Cancel turns a running run back: what it did is undone, the step in flight
// included, and it ends as Cancelled. By is who asked. A run that unwinds
// already goes on doing so; one that is parked in an undo, or at a step that
// this version does not know, gives that undo up. Conflict if it has ended.
func (e *Engine[T]) Cancel(ctx context.Context, id, by string, effects ...Effect[T]) error {
	run, err := e.update(ctx, id, effects, func(run *Run) error {
		if run.State.Ended() {
			return sprout.Errorf(sprout.Conflict, "cannot cancel workflow %s: it has ended (%s)", id, run.State)
		}
		e.cancel(run, by)
		return nil
	})
	if err == nil && run.Claim != nil && run.State == sprout.Running {
		e.interrupt(run.Claim.By)
	}
	return err
}

func (e *Engine[T]) cancel(run *Run, by string) {
	now := e.now()
	run.CancelBy = by
	_, known := e.step(*run)
	switch {
	case run.State == sprout.Running && run.Claim == nil:
		e.unwind(run, cancelled(*run), now)
	case run.State == sprout.Unwinding && run.Parked() && known:
		e.giveUp(run, "not undone: "+run.Wait.For+"; given up by "+by, now)
	case run.State == sprout.Unwinding && run.Parked():
		run.rest(now)
	}
	endIfUnwound(run, now)
}

// Retry has a run that failed, was cancelled, or is parked go on. What failed or
// was cancelled has been unwound: it runs from its first step again, with the
// same input and none of its data or signals. What is parked goes on at its
// step. A zero opts.Deadline keeps the deadline, or drops one that has passed:
// the steps' own timeouts bound the run. Conflict in any other state.
func (e *Engine[T]) Retry(ctx context.Context, id string, opts StartOptions, effects ...Effect[T]) error {
	_, err := e.update(ctx, id, effects, func(run *Run) error {
		def, known := e.defs[run.Kind]
		ended := run.State == sprout.FailedRun || run.State == sprout.Cancelled
		if !known {
			return sprout.Errorf(sprout.Conflict, "cannot retry workflow %s: this version has no workflow %s", id, run.Kind)
		}
		if !ended && !run.Parked() {
			return sprout.Errorf(sprout.Conflict, "cannot retry workflow %s: it is %s, and must be failed, cancelled or parked", id, run.State)
		}
		e.retry(run, opts, ended, def.Steps[0].Name)
		return nil
	})
	return err
}

// Recognise has a run go on that is parked because a version did not know its
// step, if this one does: where it was, with the step's time begun anew. It tells
// whether it did. A driver calls it when it starts: after an upgrade.
func (e *Engine[T]) Recognise(ctx context.Context, id string) (known bool, err error) {
	_, err = e.update(ctx, id, nil, func(run *Run) error {
		step, ok := e.step(*run)
		if known = ok && run.Unknown && run.Parked(); !known {
			return errNothing
		}
		now := e.now()
		run.Unknown, run.Wait, run.NextAt = false, nil, now
		if begun(*run) {
			run.StepDeadline = now.Add(step.Timeout)
		}
		if run.State == sprout.Running {
			run.Failure = nil
		}
		return nil
	})
	if errors.Is(err, errNothing) {
		err = nil
	}
	return known, err
}

// errNothing ends an update that has nothing to change.
var errNothing = errors.New("nothing is to be done")

func (e *Engine[T]) retry(run *Run, opts StartOptions, ended bool, first string) {
	now := e.now()
	step, _ := e.step(*run) // an unknown one parks again
	resumed := !ended && run.State == sprout.Running && begun(*run)
	run.rest(now)
	run.Retries++
	if !opts.Deadline.IsZero() || !now.Before(run.Deadline) {
		run.Deadline = micros(opts.Deadline)
	}
	if ended {
		run.State, run.Step, run.StepName = sprout.Running, 0, first
		run.Data, run.Signals, run.CancelBy = nil, nil, ""
		run.EndedAt = time.Time{}
	}
	if run.State == sprout.Running {
		run.Failure = nil
	}
	if resumed { // its Do may be half done: a cancel must undo it
		run.StepStarted, run.StepDeadline = now, now.Add(step.limit(*run))
	}
}
