package workflowtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"testing"

	"sprout"
	"sprout/workflow"
)

// A Case is a definition in a fresh world, ready to be run once.
type Case[T any] struct {
	Definition workflow.Definition[T]
	Store      workflow.Store[T]
	Input      any
	// Clock, if set, is the engine's: a world that tells time shares it.
	Clock *Clock
	// Drive, if set, is called whenever the run waits, before the clock moves
	// on: it gives the run the signals that the world would send. It may do
	// nothing; then the clock moves to the run's NextAt.
	Drive func(t *testing.T, e *workflow.Engine[T], run workflow.Run)
	// Check is called when the run has ended. Where its State is Succeeded all
	// must be done; else nothing may be left.
	Check func(t *testing.T, run workflow.Run)
}

// maxMoves is how many calls of Advance a run may need.
const maxMoves = 2000

// FailEach runs a definition to success, and then once for each way to break
// each step: Do fails at once; Do fails with its work done; the process dies
// between Do, or Undo, and its save; somebody cancels before the step and
// during it. A broken run must unwind and leave nothing, and a retry of it must
// succeed. A run whose process died must go on as if nothing had been.
func FailEach[T any](t *testing.T, setup func(t *testing.T) Case[T]) {
	t.Helper()
	t.Run("success", func(t *testing.T) { newBreaker(t, setup(t)).expect(sprout.Succeeded) })
	steps := setup(t).Definition.Steps
	for i, step := range steps {
		for _, way := range []struct {
			name string
			run  func(b *breaker[T], i int)
		}{
			{"fails at once", (*breaker[T]).failAtOnce},
			{"fails with its work done", (*breaker[T]).failLate},
			{"process dies after Do", (*breaker[T]).dieAfterDo},
			{"process dies after Undo", (*breaker[T]).dieAfterUndo},
			{"cancelled before", (*breaker[T]).cancelBefore},
			{"cancelled during", (*breaker[T]).cancelDuring},
		} {
			t.Run(step.Name+" "+way.name, func(t *testing.T) { way.run(newBreaker(t, setup(t)), i) })
		}
	}
}

type doing[T any] = func(ctx context.Context, c *workflow.Call[T]) error

// A breaker runs one case and breaks it at one place.
type breaker[T any] struct {
	t      *testing.T
	c      Case[T]
	store  *dyingStore[T]
	engine *workflow.Engine[T]
	broken bool // a broken step breaks until this is false
	struck bool // it did break
}

func newBreaker[T any](t *testing.T, c Case[T]) *breaker[T] {
	t.Helper()
	if c.Clock == nil {
		c.Clock = NewClock()
	}
	c.Definition.Steps = append([]workflow.Step[T](nil), c.Definition.Steps...)
	return &breaker[T]{t: t, c: c, store: &dyingStore[T]{Store: c.Store}, broken: true}
}

const runID = "wfl_broken"

func (b *breaker[T]) failAtOnce(i int) {
	b.wrapDo(i, func(ctx context.Context, c *workflow.Call[T], do doing[T]) error {
		return sprout.Fail(sprout.InternalFailure, "broken by the test, before its work", "")
	})
	b.expect(sprout.FailedRun)
	b.retrySucceeds()
}

func (b *breaker[T]) failLate(i int) {
	b.wrapDo(i, func(ctx context.Context, c *workflow.Call[T], do doing[T]) error {
		if err := do(ctx, c); err != nil {
			return err
		}
		return sprout.Fail(sprout.InternalFailure, "broken by the test, after its work", "")
	})
	b.expect(sprout.FailedRun)
	b.retrySucceeds()
}

func (b *breaker[T]) dieAfterDo(i int) {
	b.wrapDo(i, func(ctx context.Context, c *workflow.Call[T], do doing[T]) error {
		err := do(ctx, c)
		if err == nil {
			b.broken = false
			b.store.dead.Store(true)
		}
		return err
	})
	b.expect(sprout.Succeeded)
}

func (b *breaker[T]) dieAfterUndo(i int) {
	undo := b.c.Definition.Steps[i].Undo
	if undo == nil {
		b.t.Skip("the step has no Undo")
	}
	died := false
	b.c.Definition.Steps[i].Undo = func(ctx context.Context, c *workflow.Call[T]) error {
		err := undo(ctx, c)
		if err == nil && !died {
			died = true
			b.store.dead.Store(true)
		}
		return err
	}
	b.wrapDo(len(b.c.Definition.Steps)-1, func(ctx context.Context, c *workflow.Call[T], do doing[T]) error {
		if err := do(ctx, c); err != nil {
			return err
		}
		return sprout.Fail(sprout.InternalFailure, "broken by the test, after its work", "")
	})
	b.expect(sprout.FailedRun)
	if !died {
		b.t.Errorf("Undo of %s was never called", b.c.Definition.Steps[i].Name)
	}
	b.retrySucceeds()
}

func (b *breaker[T]) cancelBefore(i int) {
	b.c.Definition.Steps[i].Quick = false // else it may be taken together with the step before
	b.start()
	b.run(func(run workflow.Run) bool { return run.State == sprout.Running && run.Step == i })
	b.cancel()
	b.finish(sprout.Cancelled)
	b.struck = true
	b.retrySucceeds()
}

func (b *breaker[T]) cancelDuring(i int) {
	b.wrapDo(i, func(ctx context.Context, c *workflow.Call[T], do doing[T]) error {
		b.cancel()
		return do(ctx, c)
	})
	b.expect(sprout.Cancelled)
	b.retrySucceeds()
}

// wrapDo puts do around the Do of step i, as long as the breaker is broken.
func (b *breaker[T]) wrapDo(i int, do func(ctx context.Context, c *workflow.Call[T], do doing[T]) error) {
	step := &b.c.Definition.Steps[i]
	original := step.Do
	step.Do = func(ctx context.Context, c *workflow.Call[T]) error {
		if !b.broken {
			return original(ctx, c)
		}
		b.struck = true
		return do(ctx, c, original)
	}
}

func (b *breaker[T]) cancel() {
	if err := b.engine.Cancel(b.t.Context(), runID, "the test"); err != nil {
		b.t.Errorf("cannot cancel: %v", err)
	}
}

// expect runs the case from its start to this end.
func (b *breaker[T]) expect(end sprout.WorkflowState) {
	b.t.Helper()
	b.start()
	b.finish(end)
}

// retrySucceeds mends the broken step and has the run retried.
func (b *breaker[T]) retrySucceeds() {
	b.t.Helper()
	if !b.struck {
		b.t.Fatal("the step was never broken: the test proved nothing")
	}
	b.broken = false
	if err := b.engine.Retry(b.t.Context(), runID, workflow.StartOptions{}); err != nil {
		b.t.Fatal(err)
	}
	b.finish(sprout.Succeeded)
}

func (b *breaker[T]) start() {
	b.t.Helper()
	b.reborn()
	if _, err := b.engine.Start(b.t.Context(), runID, b.c.Definition.Kind, b.c.Input, workflow.StartOptions{}); err != nil {
		b.t.Fatal(err)
	}
}

// reborn makes the engine of a new process.
func (b *breaker[T]) reborn() {
	b.t.Helper()
	b.store.dead.Store(false)
	engine, err := workflow.New(b.store, b.c.Clock.Now, slog.New(slog.NewTextHandler(io.Discard, nil)), b.c.Definition)
	if err != nil {
		b.t.Fatal(err)
	}
	b.engine = engine
}

func (b *breaker[T]) finish(end sprout.WorkflowState) {
	b.t.Helper()
	run := b.run(func(run workflow.Run) bool { return run.State.Ended() })
	if run.State != end {
		b.t.Fatalf("the run is %s, want %s\n%s", run.State, end, Describe(run))
	}
	if end != sprout.Succeeded {
		for _, r := range run.Steps {
			if r.Outcome == "running" {
				b.t.Errorf("step %s is still on record as running", r.Name)
			}
		}
	}
	b.c.Check(b.t, run)
	if b.t.Failed() {
		b.t.Log(Describe(run))
	}
}

// run advances the run until it is as wanted, and moves the clock when it waits.
func (b *breaker[T]) run(wanted func(workflow.Run) bool) workflow.Run {
	b.t.Helper()
	for range maxMoves {
		run := b.get()
		if wanted(run) || run.State.Ended() {
			return run
		}
		if run.NextAt.IsZero() || run.NextAt.After(b.c.Clock.Now()) {
			if b.c.Drive != nil && run.Claim == nil {
				b.c.Drive(b.t, b.engine, run)
				run = b.get()
			}
			if run.Parked() {
				b.t.Fatalf("the run is parked\n%s", Describe(run))
			}
			b.c.Clock.Reach(run.NextAt)
		}
		_, _, err := b.engine.Advance(b.t.Context(), runID)
		switch {
		case errors.Is(err, errDied):
			b.reborn()
		case err != nil:
			b.t.Fatal(err)
		}
	}
	b.t.Fatalf("the run does not end\n%s", Describe(b.get()))
	return workflow.Run{}
}

func (b *breaker[T]) get() workflow.Run {
	b.t.Helper()
	run, err := b.c.Store.Get(b.t.Context(), runID)
	if err != nil {
		b.t.Fatal(err)
	}
	return run
}

// Describe tells a run's story, for the message of a failed test.
func Describe(run workflow.Run) string {
	s := fmt.Sprintf("workflow %s is %s at step %d %s", run.Kind, run.State, run.Step, run.StepName)
	if run.Wait != nil {
		s += "; waits for " + run.Wait.For
	}
	if run.Failure != nil {
		s += fmt.Sprintf("; failure at %s: %v [%s]", run.Failure.Step, run.Failure, run.Failure.Evidence)
	}
	for _, r := range run.Steps {
		s += fmt.Sprintf("\n  %s #%d %s %s", r.Name, r.Attempt, r.Outcome, r.Detail)
	}
	return s
}

var errDied = errors.New("the process died")

// A dyingStore saves nothing more once its process is dead.
type dyingStore[T any] struct {
	workflow.Store[T]
	dead atomic.Bool
}

func (s *dyingStore[T]) Save(ctx context.Context, run workflow.Run, effects ...workflow.Effect[T]) error {
	if s.dead.Load() {
		return errDied
	}
	return s.Store.Save(ctx, run, effects...)
}
