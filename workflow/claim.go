package workflow

import (
	"context"
	"errors"
	"time"

	"sprout"
)

// Why a call's context may end before its time.
var (
	errCancelled = errors.New("the workflow was cancelled")
	errTakenOver = errors.New("another process took the step over")
)

// claim saves that the step's Do or Undo is about to be called. What the step
// waited for stays as it is: only the outcome may change it.
func (e *Engine[T]) claim(ctx context.Context, run Run, step Step[T], claim Claim, now time.Time) (Run, error) {
	after, again := e.begin(run, step, now)
	after.Claim, after.NextAt = &claim, claim.Until
	if again {
		if run.Claim != nil {
			e.log.WarnContext(ctx, "step is called again: the process that called it died", "run", run.ID, "step", run.StepName)
		}
		if err := e.store.Save(ctx, after); err != nil {
			return run, raced(err)
		}
	} else if err := e.save(ctx, run, after, nil); err != nil {
		return run, err
	}
	after.Version++
	return after, nil
}

// begin returns the run as it is while its step is called; again tells that the
// step was called before.
func (e *Engine[T]) begin(run Run, step Step[T], now time.Time) (after Run, again bool) {
	after = run.clone()
	after.Claim = nil
	if !begun(run) {
		after.StepStarted, after.StepDeadline = now, now.Add(step.limit(run))
		if run.State == sprout.Running && !run.Deadline.IsZero() && run.Deadline.Before(after.StepDeadline) {
			after.StepDeadline = run.Deadline
		}
	}
	if e.record(&after) != nil {
		return after, true
	}
	after.Wait, after.WaitSignal = nil, ""
	e.addRecord(&after, "running", "", now)
	return after, false
}

func raced(err error) error {
	if sprout.KindOf(err) == sprout.Conflict {
		return errRace
	}
	return err
}

// register lets Cancel find the call of the claim, until the function that it
// returns is called.
func (e *Engine[T]) register(claim string, cancel context.CancelCauseFunc) (forget func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.calls[claim] = cancel
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.calls, claim)
	}
}

// interrupt ends the call of the claim, if it runs in this process.
func (e *Engine[T]) interrupt(claim string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if cancel, ok := e.calls[claim]; ok {
		cancel(errCancelled)
	}
}

// keepClaim renews the run's claim until the function that it returns is
// called. It ends the call when another process cancelled the run, and when the
// claim is lost.
func (e *Engine[T]) keepClaim(ctx context.Context, id string, claim Claim, cancel context.CancelCauseFunc) (stop func()) {
	ctx, end := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(e.lease / 3)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if why := e.renew(ctx, id, &claim); why != nil {
				cancel(why)
				return
			}
		}
	}()
	return func() {
		end()
		<-done
	}
}

// renew moves the end of the claim on. It returns why the call must end, if it
// must. A store that cannot be reached is no reason before the claim has run out.
func (e *Engine[T]) renew(ctx context.Context, id string, claim *Claim) error {
	run, err := e.store.Get(ctx, id)
	if err == nil {
		if run.Claim == nil || run.Claim.By != claim.By {
			return errTakenOver
		}
		if run.CancelBy != "" && run.State == sprout.Running {
			return errCancelled
		}
		run = run.clone()
		run.Claim.Until = e.now().Add(e.lease)
		run.NextAt = run.Claim.Until
		if err = e.store.Save(ctx, run); err == nil {
			claim.Until = run.Claim.Until
			return nil
		}
	}
	if !e.now().Before(claim.Until) {
		return errTakenOver
	}
	return nil
}

// release gives a claimed step back unfinished, as the process is stopping.
func (e *Engine[T]) release(ctx context.Context, run Run) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTime)
	defer cancel()
	claim := run.Claim.By
	_, err := e.updateQuietly(ctx, run.ID, func(r *Run) bool {
		if r.Claim == nil || r.Claim.By != claim {
			return false
		}
		r.Claim, r.NextAt = nil, e.now()
		return true
	})
	return err
}

// Resume drops the claim of a process that died, so that the run is due at
// once. Only a driver that is alone on its store may call it, before it calls
// Advance for the first time: the agent does when it starts.
func (e *Engine[T]) Resume(ctx context.Context, id string) error {
	_, err := e.updateQuietly(ctx, id, func(r *Run) bool {
		if r.Claim == nil {
			return false
		}
		r.Claim, r.NextAt = nil, e.now()
		return true
	})
	return err
}

// updateQuietly changes a stored run without a word to OnMove. change returns
// false to leave it.
func (e *Engine[T]) updateQuietly(ctx context.Context, id string, change func(*Run) bool) (Run, error) {
	for range maxRaces {
		run, err := e.store.Get(ctx, id)
		if err != nil {
			return Run{}, err
		}
		run = run.clone()
		if !change(&run) {
			return run, nil
		}
		if err = e.store.Save(ctx, run); err == nil || !errors.Is(raced(err), errRace) {
			return run, err
		}
	}
	return Run{}, sprout.Errorf(sprout.Unavailable, "cannot save workflow %s: it moves too fast", id)
}
