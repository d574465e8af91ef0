package workflow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"sprout"
)

// Advance takes one step of the run, or one undo, and saves what came of it. It
// returns when it is to be called next (zero: not before somebody acts) and
// whether the run has ended. A call that comes too early does nothing. An error
// is trouble of the store or the end of ctx, never of a step: call again.
func (e *Engine[T]) Advance(ctx context.Context, id string) (next time.Time, ended bool, err error) {
	run, err := e.store.Get(ctx, id)
	if err != nil {
		return time.Time{}, false, err
	}
	now := e.now()
	if run.State.Ended() || run.NextAt.IsZero() || run.NextAt.After(now) {
		return run.NextAt, run.State.Ended(), nil
	}
	after, err := e.move(ctx, run, now)
	if errors.Is(err, errRace) {
		return now, false, nil
	}
	if err != nil {
		return time.Time{}, false, asGiven(err)
	}
	return after.NextAt, after.State.Ended(), nil
}

// move decides what is to be done with a run that is due. Moves that need no
// call of the definition are saved at once.
func (e *Engine[T]) move(ctx context.Context, run Run, now time.Time) (Run, error) {
	if run.State == sprout.Unwinding && run.StepName == "" {
		return e.finish(ctx, run, run.clone(), now)
	}
	run = e.placed(run)
	step, known := e.step(run)
	after := run.clone()
	after.Claim = nil // of a process that died, if any
	switch {
	case run.State == sprout.Running && run.CancelBy != "":
		e.unwind(&after, cancelled(run), now)
	case !known && (run.State == sprout.Running || run.CancelBy == ""):
		e.parkUnknown(&after, now)
	case !known:
		e.giveUp(&after, "not undone: this version does not know the step", now)
	case run.State == sprout.Running && overdue(run, now) != nil:
		e.unwind(&after, overdue(run, now), now)
	case run.State == sprout.Running && step.Quick && run.Claim == nil:
		return e.takeQuick(ctx, run, step, now)
	case run.State == sprout.Running:
		return e.take(ctx, run, step, step.Do, now)
	case step.Undo == nil:
		e.undone(&after, "skipped", "nothing to undo", now)
	case begun(run) && !now.Before(run.StepDeadline):
		e.undoFailed(&after, fmt.Errorf("took longer than %s", step.Timeout), now)
	default:
		return e.take(ctx, run, step, step.Undo, now)
	}
	return e.finish(ctx, run, after, now)
}

// finish saves a move that was made without a call. Where OnEnd refuses the end
// of a run, the end is put off.
func (e *Engine[T]) finish(ctx context.Context, before, after Run, now time.Time) (Run, error) {
	endIfUnwound(&after, now)
	err := e.save(ctx, before, after, nil)
	var refused *effectError
	if errors.As(err, &refused) && refused.from == fromEnd {
		endLater(&after, refused.err, now)
		err = e.save(ctx, before, after, nil)
	}
	if err == nil {
		e.logMove(ctx, before, after)
	}
	return after, err
}

// take claims the run, calls Do or Undo outside of any transaction, and saves
// the outcome.
func (e *Engine[T]) take(ctx context.Context, run Run, step Step[T], do func(context.Context, *Call[T]) error, now time.Time) (Run, error) {
	callCtx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	claim := Claim{By: sprout.NewSecret(), Until: now.Add(e.lease)}
	defer e.register(claim.By, cancel)()
	run, err := e.claim(ctx, run, step, claim, now)
	if err != nil {
		return run, err
	}
	call := &Call[T]{Run: run.clone(), Now: now, data: run.Data}
	stop := e.keepClaim(callCtx, run.ID, claim, cancel)
	err = e.call(callCtx, call, do)
	stop()
	switch {
	case err == nil || isWait(err):
	case errors.Is(context.Cause(callCtx), errTakenOver):
		return run, errors.Join(errRace, e.release(ctx, run))
	case ctx.Err() != nil: // this process is stopping: the step did not fail
		return run, errors.Join(ctx.Err(), e.release(ctx, run))
	}
	saveCtx, saved := context.WithTimeout(context.WithoutCancel(ctx), saveTime)
	defer saved()
	return e.settle(saveCtx, run, step, call, err)
}

// call runs Do or Undo until the step's deadline.
func (e *Engine[T]) call(ctx context.Context, c *Call[T], do func(context.Context, *Call[T]) error) (err error) {
	timed, stop := context.WithTimeout(ctx, c.Run.StepDeadline.Sub(c.Now))
	defer stop()
	defer func() {
		if p := recover(); p != nil {
			e.log.ErrorContext(ctx, "step panicked", "run", c.Run.ID, "step", c.Run.StepName, "panic", p, "stack", string(debug.Stack()))
			err = sprout.Fail(sprout.InternalFailure, "a defect of Sprout: the step panicked", fmt.Sprint(p))
		}
		c.late = errors.Is(timed.Err(), context.DeadlineExceeded)
	}()
	if e.gate != nil {
		e.gate(timed, c.Run, false)
		defer func() { e.gate(timed, c.Run, true) }()
	}
	return do(timed, c)
}

// settle saves the outcome of a call. What others did to the run meanwhile
// (signals, a cancel, a renewed claim) is kept; if the claim went to another
// process, the outcome is dropped.
func (e *Engine[T]) settle(ctx context.Context, run Run, step Step[T], call *Call[T], err error) (Run, error) {
	claim := run.Claim.By
	var endErr error
	for range maxRaces {
		now := e.now()
		after, effects := e.outcome(run, step, call, err, now)
		if endErr != nil && after.State.Ended() {
			endLater(&after, endErr, now)
		}
		failed := e.save(ctx, run, after, effects)
		var refused *effectError
		switch {
		case failed == nil:
			e.logMove(ctx, run, after)
			return after, nil
		case errors.As(failed, &refused) && refused.from == fromEnd && run.State == sprout.Unwinding:
			endErr = refused.err
			continue
		case refused != nil && refused.from != fromMove:
			err = effectFailure(refused.err)
			continue
		case !errors.Is(failed, errRace):
			return run, failed
		}
		stored, getErr := e.store.Get(ctx, run.ID)
		if getErr != nil {
			return run, getErr
		}
		if stored.Claim == nil || stored.Claim.By != claim {
			e.log.WarnContext(ctx, "outcome dropped: another process took the step over", "run", run.ID, "step", run.StepName)
			return stored, errRace
		}
		run = stored
	}
	return run, sprout.Errorf(sprout.Unavailable, "cannot save workflow %s: it moves too fast", run.ID)
}

// effectFailure is what a step fails with when its effect returned err: an
// effect cannot wait.
func effectFailure(err error) error {
	if isWait(err) {
		return sprout.Fail(sprout.InternalFailure, "a defect of Sprout: an effect asked to wait", err.Error())
	}
	return err
}

// logMove says what a save changed.
func (e *Engine[T]) logMove(ctx context.Context, before, after Run) {
	level := slog.LevelInfo
	if before.State == after.State && before.Step == after.Step && before.Attempt == after.Attempt {
		level = slog.LevelDebug
	}
	args := []any{"run", after.ID, "kind", after.Kind, "state", after.State, "step", after.StepName, "attempt", after.Attempt}
	if after.Wait != nil {
		args = append(args, "waitsFor", after.Wait.For)
	}
	if after.Failure != nil {
		args = append(args, "failure", after.Failure.Error())
	}
	e.log.Log(ctx, level, "workflow moved", args...)
}
