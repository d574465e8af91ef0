package workflow_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sprout"
	"sprout/workflow"
	"sprout/workflow/workflowtest"
)

// awaits waits a minute for the signal, then says that none came.
func awaits(signal string) do {
	return func(_ context.Context, c *call) error {
		if _, ok := c.Take(signal); ok {
			return nil
		}
		if c.Expired() {
			return sprout.Fail(sprout.RamdiskSilent, "no "+signal+" came", "")
		}
		return workflow.WaitFor(signal, time.Minute, signal)
	}
}

func TestSignals(t *testing.T) {
	b := newBench(t, job(named("a", ok), named("b", awaits("report")), named("c", awaits("late"))))
	b.must(b.engine.Signal(t.Context(), id, "report", "early"))
	b.advance()
	if run := b.advance(); run.StepName != "c" || len(run.Signals) != 0 {
		t.Fatalf("the early signal was not taken: %s", workflowtest.Describe(run))
	}
	run := b.advance()
	if run.WaitSignal != "late" || !run.Wait.Until.Equal(b.clock.Now().Add(time.Minute)) || !run.NextAt.Equal(run.Wait.Until) {
		t.Fatalf("wait is %+v", run.Wait)
	}
	b.must(b.engine.Signal(t.Context(), id, "unrelated", nil))
	if !b.get().NextAt.Equal(run.NextAt) {
		t.Error("an unrelated signal woke the step")
	}
	b.must(b.engine.Signal(t.Context(), id, "late", 1))
	b.clock.Add(time.Second)
	if run = b.advance(); run.State != sprout.Succeeded {
		t.Fatal(workflowtest.Describe(run))
	}
	if err := b.engine.Signal(t.Context(), id, "late", 1); sprout.KindOf(err) != sprout.Conflict {
		t.Errorf("signal to an ended run: %v", err)
	}
}

func TestAWaitThatRunsOutIsDecidedByTheStep(t *testing.T) {
	b := newBench(t, job(named("a", awaits("report"))))
	b.finish(sprout.FailedRun)
	b.failure(sprout.RamdiskSilent, "a", "no report came")
}

func TestSignalDuringDoIsMerged(t *testing.T) {
	var b *bench
	calls := 0
	b = newBench(t, job(named("a", func(ctx context.Context, c *call) error {
		calls++
		if _, ok := c.Take("x"); ok {
			return nil
		}
		if err := c.Keep(map[string]int{"calls": calls}); err != nil {
			return err
		}
		if err := b.engine.Signal(ctx, id, "x", "in time"); err != nil {
			return err
		}
		return workflow.WaitFor("x", time.Hour, "x")
	})))
	run := b.advance()
	if !run.NextAt.Equal(b.clock.Now()) || string(run.Signals["x"]) != `"in time"` || string(run.Data) != `{"calls":1}` {
		t.Fatalf("after the merge: %+v", run)
	}
	b.finish(sprout.Succeeded)
}

func TestCancelUndoesTheStepItIsAt(t *testing.T) {
	b := newBench(t, job(named("a", ok), named("b", awaits("x"))))
	b.advance()
	b.advance()
	b.must(b.engine.Cancel(t.Context(), id, "ann"))
	b.finish(sprout.Cancelled)
	b.failure(sprout.CancelledByUser, "b", "ann")
	b.story("a done", "b failed", "b undone", "a undone")
	if err := b.engine.Cancel(t.Context(), id, "bob"); sprout.KindOf(err) != sprout.Conflict {
		t.Errorf("cancel of an ended run: %v", err)
	}
	b.must(b.engine.Retry(t.Context(), id, workflow.StartOptions{}, func(_ context.Context, tx *tx) error { tx.Put("retried", "1"); return nil }))
	run := b.get()
	if run.StepName != "a" || run.CancelBy != "" || len(run.Steps) != 4 || b.store.Values()["retried"] != "1" {
		t.Errorf("after retry: %+v", run)
	}
	if err := b.engine.Retry(t.Context(), id, workflow.StartOptions{}); sprout.KindOf(err) != sprout.Conflict {
		t.Errorf("retry of a running run: %v", err)
	}
}

func TestCancelBeforeTheFirstStepEndsAtOnce(t *testing.T) {
	b := newBench(t, job(named("a", ok)))
	b.must(b.engine.Cancel(t.Context(), id, "ann"))
	if run := b.get(); run.State != sprout.Cancelled || run.EndedAt.IsZero() || len(run.Steps) != 0 {
		t.Errorf("after cancel: %+v", run)
	}
}

func TestCancelEndsTheCallInFlight(t *testing.T) { synctest.Test(t, cancelInFlight) }

func cancelInFlight(t *testing.T) {
	began := make(chan struct{})
	d := job(named("a", func(ctx context.Context, _ *call) error {
		close(began)
		<-ctx.Done()
		return context.Cause(ctx)
	}))
	b := newBench(t, d)
	advanced := make(chan error)
	go func() {
		_, _, err := b.engine.Advance(context.WithoutCancel(t.Context()), id)
		advanced <- err
	}()
	<-began
	if next, ended, err := b.engine.Advance(t.Context(), id); err != nil || ended || !next.Equal(b.clock.Now().Add(workflow.Lease)) {
		t.Errorf("a second Advance during Do: %v %v %v", next, ended, err)
	}
	asked := time.Now()
	b.must(b.engine.Cancel(t.Context(), id, "ann"))
	b.must(<-advanced)
	if took := time.Since(asked); took != 0 {
		t.Errorf("the cancel reached Do after %s", took)
	}
	b.finish(sprout.Cancelled)
	b.story("a failed", "a undone")
}

func TestParkAndRetry(t *testing.T) {
	parked := true
	b := newBench(t, job(named("a", ok), named("b", func(context.Context, *call) error {
		if parked {
			return workflow.Park("somebody to plug the cable in")
		}
		return nil
	})))
	b.advance()
	run := b.advance()
	if !run.Parked() || run.Wait.For != "somebody to plug the cable in" || !run.Wait.Until.IsZero() {
		t.Fatalf("not parked: %+v", run)
	}
	b.must(b.engine.Signal(t.Context(), id, "x", nil))
	b.clock.Add(24 * time.Hour)
	if run = b.advance(); !run.Parked() {
		t.Fatal("something woke a parked run")
	}
	parked = false
	b.must(b.engine.Retry(t.Context(), id, workflow.StartOptions{}))
	b.finish(sprout.Succeeded)
	b.story("a done", "b done")
}

func TestUnknownStepParks(t *testing.T) {
	b := newBench(t, job(named("a", ok), named("old", awaits("x"))))
	b.advance()
	b.advance()
	b.clock.Add(time.Minute)
	b.engine = b.process(job(named("a", ok), named("new", ok), named("old", ok)))
	if run := b.advance(); !run.Parked() || run.State != sprout.Running {
		t.Fatalf("not parked: %s", workflowtest.Describe(run))
	}
	b.failure(sprout.UnknownStep, "old", "no step old at place 1")
	b.must(b.engine.Retry(t.Context(), id, workflow.StartOptions{}))
	if run := b.advance(); !run.Parked() {
		t.Fatal("retry made it guess")
	}
	b.must(b.engine.Cancel(t.Context(), id, "ann"))
	b.finish(sprout.Cancelled)
	b.failure(sprout.CancelledByUser, "old", "unknown-step", "does not know the step")
	b.story("a done", "old failed", "old failed", "a undone")
}

// A step that a version adds, and says so, does not stop what an older one began
// and is past it, on its way forward or back.
func TestRunGoesOnPastAnAddedStep(t *testing.T) {
	added := named("new", ok)
	added.Added = true
	for _, cancel := range []bool{false, true} {
		b := newBench(t, job(named("a", ok), named("old", awaits("x"))))
		b.advance()
		b.advance()
		b.clock.Add(time.Minute)
		b.engine = b.process(job(named("a", ok), added, named("old", awaits("x")), named("z", fails("no"))))
		if cancel {
			b.must(b.engine.Cancel(t.Context(), id, "ann"))
			b.finish(sprout.Cancelled)
			b.story("a done", "old failed", "old undone", "a undone")
			continue
		}
		b.must(b.engine.Signal(t.Context(), id, "x", nil))
		b.finish(sprout.FailedRun)
		b.story("a done", "old done", "z failed", "z undone", "old undone", "a undone")
	}
}

// After the upgrade that brings its step back, a run goes on where it was, and
// whoever asked for it is told when runs park and go on.
func TestRunGoesOnWhenItsStepIsKnownAgain(t *testing.T) {
	b := newBench(t, job(named("a", ok), named("old", awaits("x"))))
	newer := b.engine
	b.advance()
	b.advance()
	b.clock.Add(time.Minute)
	var parked []bool
	told := func(_ context.Context, _ *tx, run workflow.Run) error {
		parked = append(parked, run.Parked())
		return nil
	}
	b.engine = b.process(job(named("b", ok)))
	b.engine.OnPark(told)
	if run := b.advance(); !run.Parked() || !run.Unknown {
		t.Fatalf("not parked: %s", workflowtest.Describe(run))
	}
	if did, err := b.engine.Recognise(t.Context(), id); did || err != nil {
		t.Errorf("recognised what it does not know: %v", err)
	}
	b.engine = newer
	b.engine.OnPark(told)
	b.clock.Add(24 * time.Hour) // longer than the step may take
	if did, err := b.engine.Recognise(t.Context(), id); !did || err != nil {
		t.Fatalf("not recognised: %v", err)
	}
	if did, err := b.engine.Recognise(t.Context(), id); did || err != nil {
		t.Errorf("recognised twice: %v", err)
	}
	b.must(b.engine.Signal(t.Context(), id, "x", 1))
	b.finish(sprout.Succeeded)
	if run := b.get(); run.Retries != 0 || run.Failure != nil || len(parked) != 2 || !parked[0] || parked[1] {
		t.Errorf("%d retries, failure %v, parked %v", run.Retries, run.Failure, parked)
	}
}

func TestCancelGivesUpAParkedUndo(t *testing.T) {
	bad := named("b", fails("broken"))
	bad.Undo = func(context.Context, *call) error { return workflow.Park("a key") }
	b := newBench(t, job(named("a", ok), bad))
	for range 3 {
		b.advance()
	}
	if run := b.get(); !run.Parked() || run.State != sprout.Unwinding {
		t.Fatal(workflowtest.Describe(run))
	}
	b.must(b.engine.Cancel(t.Context(), id, "ann"))
	b.finish(sprout.FailedRun)
	b.failure(sprout.DiskFailed, "b", "broken", "a key; given up by ann")
}

func TestAStoppingProcessGivesItsStepBack(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	d := job(named("a", func(ctx context.Context, c *call) error {
		stop()
		return ctx.Err()
	}))
	b := newBench(t, d)
	if _, _, err := b.engine.Advance(ctx, id); !errors.Is(err, context.Canceled) {
		t.Fatalf("Advance: %v", err)
	}
	if run := b.get(); run.Claim != nil || run.Attempt != 1 || run.State != sprout.Running || run.NextAt.After(b.clock.Now()) {
		t.Fatalf("not given back: %+v", run)
	}
	b.engine = b.process(job(named("a", ok)))
	b.finish(sprout.Succeeded)
}

func TestResumeDropsTheClaimOfTheDead(t *testing.T) {
	b := newBench(t, job(named("a", ok)))
	run := b.get()
	run.Claim = &workflow.Claim{By: "the dead", Until: b.clock.Now().Add(workflow.Lease)}
	run.NextAt = run.Claim.Until
	b.must(b.store.Save(t.Context(), run))
	if run = b.advance(); run.State != sprout.Running {
		t.Fatal("a claimed run was advanced")
	}
	b.must(b.engine.Resume(t.Context(), id))
	b.advance()
	if run = b.get(); run.State != sprout.Succeeded {
		t.Fatal(workflowtest.Describe(run))
	}
}

// A claim is renewed while Do runs, seen by another process; a cancel there
// reaches Do at the next renewal; and who lost its claim drops its outcome.
func TestClaimsAcrossProcesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bench{t: t, store: workflowtest.NewMemory()}
		var calls atomic.Int32
		d := job(step{Name: "a", Timeout: time.Hour, Undo: ok, Do: func(ctx context.Context, _ *call) error {
			calls.Add(1)
			select {
			case <-ctx.Done():
			case <-time.After(5 * time.Minute):
			}
			return context.Cause(ctx)
		}})
		process := func() *workflow.Engine[*tx] {
			e, err := workflow.New(b.store, time.Now, slog.New(slog.DiscardHandler), d)
			b.must(err)
			return e
		}
		one, two := process(), process()
		b.engine = one
		b.must(b.start(workflow.StartOptions{}))
		advanced := make(chan error, 1)
		go func() {
			_, _, err := one.Advance(t.Context(), id)
			advanced <- err
		}()
		for range 8 { // two minutes: four leases
			time.Sleep(15 * time.Second)
			if _, _, err := two.Advance(t.Context(), id); err != nil || calls.Load() != 1 {
				t.Fatalf("the second process: %v; Do was called %d times", err, calls.Load())
			}
		}
		before := time.Now()
		b.must(two.Cancel(t.Context(), id, "ann"))
		b.must(<-advanced)
		if took := time.Since(before); took > workflow.Lease/3 {
			t.Errorf("the cancel took %s", took)
		}
		if run := b.get(); run.State != sprout.Unwinding || run.Claim != nil {
			t.Error(workflowtest.Describe(run))
		}
	})
}

func TestWhoLostItsClaimDropsItsOutcome(t *testing.T) {
	var b *bench
	b = newBench(t, job(named("a", func(ctx context.Context, c *call) error {
		run := b.get()
		run.Claim = &workflow.Claim{By: "another", Until: b.clock.Now().Add(time.Minute)}
		c.Commit(func(_ context.Context, tx *tx) error { tx.Put("x", "1"); return nil })
		return b.store.Save(ctx, run)
	})))
	next, ended, err := b.engine.Advance(t.Context(), id)
	if err != nil || ended || !next.Equal(b.clock.Now()) {
		t.Errorf("Advance: %v %v %v, want to be called again now", next, ended, err)
	}
	if run := b.get(); run.Claim.By != "another" || run.Steps[0].Outcome != "running" || len(b.store.Values()) != 0 {
		t.Errorf("the outcome was kept: %+v", run)
	}
}

func TestARefusedReportIsNoFailureOfTheStep(t *testing.T) {
	down := false
	d := job(named("a", func(context.Context, *call) error { down = true; return nil }))
	d.OnMove = func(context.Context, *tx, workflow.Run, workflow.Run) error {
		if down {
			return sprout.Errorf(sprout.Conflict, "outbox full")
		}
		return nil
	}
	b := newBench(t, d)
	if _, _, err := b.engine.Advance(t.Context(), id); err == nil || !strings.Contains(err.Error(), "outbox full") {
		t.Errorf("Advance: %v", err)
	}
	down = false
	d.Steps[0].Do = ok
	b.engine = b.process(d)
	b.clock.Add(workflow.Lease)
	b.finish(sprout.Succeeded)
}

func TestInputAndData(t *testing.T) {
	type data struct{ IP string }
	b := newBench(t, job(
		named("a", func(_ context.Context, c *call) error {
			var in map[string]int
			if err := c.Input(&in); err != nil || in["n"] != 1 {
				return errors.Join(err, errors.New("no input"))
			}
			c.Detail("found %d", in["n"])
			return c.Keep(data{"10.0.0.1"})
		}),
		named("b", func(_ context.Context, c *call) error {
			var d data
			if err := c.Data(&d); err != nil || d.IP != "10.0.0.1" {
				return errors.Join(err, errors.New("no data"))
			}
			return nil
		})))
	b.finish(sprout.Succeeded)
	run := b.get()
	if raw, _ := json.Marshal(run.Steps[0].Detail); string(raw) != `"found 1"` {
		t.Errorf("detail is %s", raw)
	}
}
