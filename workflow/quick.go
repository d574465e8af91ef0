package workflow

import (
	"context"
	"errors"
	"time"

	"sprout"
)

// A taken is a quick step that was called, and what shall become of the run.
type taken[T any] struct {
	begun   Run // as the call saw it
	step    Step[T]
	call    *Call[T]
	err     error
	after   Run
	effects []Effect[T]
}

// takeQuick calls a quick step, and the quick ones that follow it at once, without
// a claim, and saves what came of them together: two processes may call the same
// step, and only one of them saves. Where the effects of several are refused the
// first is saved alone, so that a refusal is of the step that it belongs to.
func (e *Engine[T]) takeQuick(ctx context.Context, run Run, step Step[T], now time.Time) (Run, error) {
	var all []taken[T]
	for at, more := run, true; more; {
		t := e.callQuick(ctx, at, step, now)
		if ctx.Err() != nil && t.err != nil && !isWait(t.err) { // this process is stopping: the step did not fail
			return run, ctx.Err()
		}
		if errors.Is(t.err, errSlow) {
			if len(all) == 0 {
				return e.take(ctx, run, step, step.Do, now)
			}
			break // those before are saved, and it is called again
		}
		all = append(all, t)
		now = e.now()
		next, known := e.step(t.after)
		more = known && next.Quick && t.after.State == sprout.Running && t.after.Step != at.Step && !t.after.NextAt.After(now)
		at, step = t.after, next
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), saveTime)
	defer stop()
	return e.settleQuick(ctx, run, all)
}

// settleQuick saves the outcome of steps that were called one after the other.
func (e *Engine[T]) settleQuick(ctx context.Context, run Run, all []taken[T]) (Run, error) {
	for {
		last := &all[len(all)-1]
		var effects []Effect[T]
		for _, t := range all {
			effects = append(effects, t.effects...)
		}
		err := e.save(ctx, run, last.after, effects)
		var refused *effectError
		switch {
		case err == nil:
			for _, t := range all {
				e.logMove(ctx, run, t.after)
			}
			return last.after, nil
		case !errors.As(err, &refused) || refused.from == fromMove:
			return run, err
		case len(all) > 1:
			all = all[:1]
		case last.err != nil && !isWait(last.err): // it has no effects of its own any more
			return run, err
		default:
			last.err = effectFailure(refused.err)
			last.after, last.effects = e.outcome(last.begun, last.step, last.call, last.err, e.now())
		}
	}
}

// callQuick calls Do as take does, but for the claim.
func (e *Engine[T]) callQuick(ctx context.Context, run Run, step Step[T], now time.Time) taken[T] {
	begun, _ := e.begin(run, step, now)
	t := taken[T]{begun: begun, step: step, call: &Call[T]{Run: begun.clone(), Now: now, data: begun.Data}}
	t.err = e.call(ctx, t.call, step.Do)
	t.after, t.effects = e.outcome(begun, step, t.call, t.err, e.now())
	return t
}
