package workflow_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"sprout"
	"sprout/workflow"
	"sprout/workflow/workflowtest"
)

type (
	tx         = workflowtest.Tx
	call       = workflow.Call[*tx]
	step       = workflow.Step[*tx]
	definition = workflow.Definition[*tx]
	do         = func(context.Context, *call) error
)

// A bench is an engine on a store in memory, with a clock that the test moves.
type bench struct {
	t      *testing.T
	store  *workflowtest.Memory
	clock  *workflowtest.Clock
	engine *workflow.Engine[*tx]
}

const id = "wfl_1"

func newBench(t *testing.T, def definition) *bench {
	t.Helper()
	b := &bench{t: t, store: workflowtest.NewMemory(), clock: workflowtest.NewClock()}
	b.engine = b.process(def)
	b.must(b.start(workflow.StartOptions{}))
	return b
}

// process is the engine of one more process on the same store.
func (b *bench) process(def definition) *workflow.Engine[*tx] {
	b.t.Helper()
	e, err := workflow.New(b.store, b.clock.Now, slog.New(slog.DiscardHandler), def)
	b.must(err)
	return e
}

func (b *bench) start(opts workflow.StartOptions) error {
	_, err := b.engine.Start(b.t.Context(), id, "job", map[string]int{"n": 1}, opts)
	return err
}

func (b *bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) get() workflow.Run {
	b.t.Helper()
	run, err := b.store.Get(b.t.Context(), id)
	b.must(err)
	return run
}

// advance takes one step and returns the run.
func (b *bench) advance() workflow.Run {
	b.t.Helper()
	next, ended, err := b.engine.Advance(b.t.Context(), id)
	b.must(err)
	run := b.get()
	if !next.Equal(run.NextAt) || ended != run.State.Ended() {
		b.t.Fatalf("Advance says %v %v, the run %v %v", next, ended, run.NextAt, run.State)
	}
	return run
}

// finish advances the run to its end, moving the clock to each NextAt.
func (b *bench) finish(want sprout.WorkflowState) workflow.Run {
	b.t.Helper()
	for range 200 {
		run := b.advance()
		if run.State.Ended() {
			if run.State != want {
				b.t.Fatalf("the run is %s, want %s\n%s", run.State, want, workflowtest.Describe(run))
			}
			return run
		}
		if run.Parked() {
			b.t.Fatalf("the run is parked\n%s", workflowtest.Describe(run))
		}
		b.clock.Reach(run.NextAt)
	}
	b.t.Fatalf("the run does not end\n%s", workflowtest.Describe(b.get()))
	return workflow.Run{}
}

func (b *bench) failure(code sprout.Code, step string, words ...string) {
	b.t.Helper()
	run := b.get()
	if run.Failure == nil || run.Failure.Code != code || run.Failure.Step != step {
		b.t.Fatalf("failure is %+v, want %s at %s", run.Failure, code, step)
	}
	for _, w := range words {
		if !strings.Contains(run.Failure.Reason+"\n"+run.Failure.Evidence, w) {
			b.t.Errorf("failure %+v does not say %q", run.Failure, w)
		}
	}
}

func (b *bench) outcomes() (all []string) {
	b.t.Helper()
	for _, r := range b.get().Steps {
		all = append(all, r.Name+" "+r.Outcome)
	}
	return all
}

func (b *bench) story(want ...string) {
	b.t.Helper()
	if got := b.outcomes(); !slices.Equal(got, want) {
		b.t.Errorf("steps were %q, want %q", got, want)
	}
}

func ok(context.Context, *call) error { return nil }

func fails(reason string) do {
	return func(context.Context, *call) error { return sprout.Fail(sprout.DiskFailed, reason, "sector 7") }
}

func named(name string, d do) step { return step{Name: name, Do: d, Undo: ok, Timeout: time.Hour} }

func job(steps ...step) definition { return definition{Kind: "job", At: "centre", Steps: steps} }

func TestNewRefusesUnsoundDefinitions(t *testing.T) {
	for name, defs := range map[string][]definition{
		"no kind":       {{Steps: []step{named("a", ok)}}},
		"no steps":      {job()},
		"no name":       {job(named("", ok))},
		"twice a name":  {job(named("a", ok), named("a", ok))},
		"no do":         {job(named("a", nil))},
		"no timeout":    {job(step{Name: "a", Do: ok})},
		"attempts < 0":  {job(step{Name: "a", Do: ok, Timeout: 1, Attempts: -1})},
		"twice a kind":  {job(named("a", ok)), job(named("b", ok))},
		"second is bad": {job(named("a", ok)), {Kind: "other"}},
	} {
		_, err := workflow.New(workflowtest.NewMemory(), time.Now, slog.New(slog.DiscardHandler), defs...)
		if sprout.KindOf(err) != sprout.Invalid {
			t.Errorf("%s: %v, want invalid", name, err)
		}
	}
}

func TestSuccessTakesOneStepACall(t *testing.T) {
	b := newBench(t, job(named("a", ok), named("b", ok)))
	if run := b.advance(); run.StepName != "b" || run.State != sprout.Running || !run.NextAt.Equal(b.clock.Now()) {
		t.Fatalf("after one call: %s", workflowtest.Describe(run))
	}
	run := b.advance()
	if run.State != sprout.Succeeded || run.EndedAt.IsZero() || !run.NextAt.IsZero() || run.Claim != nil {
		t.Fatalf("after two calls: %+v", run)
	}
	b.story("a done", "b done")
	if err := b.start(workflow.StartOptions{}); sprout.KindOf(err) != sprout.Conflict {
		t.Errorf("second start: %v, want a conflict", err)
	}
	if _, err := b.engine.Start(t.Context(), "x", "none", nil, workflow.StartOptions{}); sprout.KindOf(err) != sprout.Invalid {
		t.Errorf("unknown kind: %v, want invalid", err)
	}
}

func TestAttemptsBackOffThenUnwind(t *testing.T) {
	var times []time.Time
	var b *bench
	d := job(named("a", ok), step{Name: "b", Attempts: 7, Timeout: time.Hour, Undo: ok, Do: func(ctx context.Context, c *call) error {
		times = append(times, c.Now)
		return fails("no disk")(ctx, c)
	}})
	b = newBench(t, d)
	b.advance()
	run := b.advance()
	if run.Wait == nil || !strings.Contains(run.Wait.For, "no disk") || !run.Wait.Until.Equal(run.NextAt) || !run.Wait.Since.Equal(b.clock.Now()) {
		t.Errorf("the wait is %+v", run.Wait)
	}
	if run = b.advance(); run.Attempt != 2 || len(times) != 1 {
		t.Fatal("a call that came too early did something")
	}
	b.finish(sprout.FailedRun)
	var waits []int
	for i := 1; i < len(times); i++ {
		waits = append(waits, int(times[i].Sub(times[i-1]).Seconds()))
	}
	if !slices.Equal(waits, []int{1, 2, 4, 8, 16, 30}) {
		t.Errorf("waits were %v s", waits)
	}
	b.failure(sprout.DiskFailed, "b", "no disk", "sector 7")
	if got := b.outcomes(); !slices.Equal(got[len(got)-2:], []string{"b undone", "a undone"}) {
		t.Errorf("steps were %q", got)
	}
}

func TestOtherErrorsAndPanicsAreInternal(t *testing.T) {
	b := newBench(t, job(named("a", func(context.Context, *call) error { return errors.New("oh no") })))
	b.finish(sprout.FailedRun)
	b.failure(sprout.InternalFailure, "a", "oh no")
	b = newBench(t, job(named("a", func(context.Context, *call) error { panic("out of cheese") })))
	b.finish(sprout.FailedRun)
	b.failure(sprout.InternalFailure, "a", "out of cheese")
}

func TestUndoIsTriedAgainThenGivenUp(t *testing.T) {
	undos := 0
	bad := named("b", ok)
	bad.Undo = func(context.Context, *call) error { undos++; return errors.New("stuck") }
	b := newBench(t, job(named("a", ok), bad, step{Name: "c", Do: fails("broken"), Timeout: time.Hour}))
	b.finish(sprout.FailedRun)
	if undos != workflow.UndoAttempts {
		t.Errorf("undone %d times", undos)
	}
	b.failure(sprout.DiskFailed, "c", "broken", "b: undo failed: stuck")
	got := b.outcomes()
	if got[3] != "c skipped" || got[len(got)-1] != "a undone" || got[len(got)-2] != "b failed" {
		t.Errorf("steps were %q", got)
	}
}

func TestTimeoutSaysWhatItWaitedForSinceWhen(t *testing.T) {
	b := newBench(t, job(step{Name: "a", Timeout: time.Minute, Undo: ok, Do: func(context.Context, *call) error {
		return workflow.AgainAfter(25*time.Second, "the moon")
	}}))
	since := b.clock.Now()
	for range 2 {
		run := b.advance()
		if run.Wait.For != "the moon" || !run.Wait.Since.Equal(since) || !run.Wait.Until.Equal(since.Add(time.Minute)) {
			t.Fatalf("wait is %+v", run.Wait)
		}
		b.clock.Add(25 * time.Second)
	}
	b.finish(sprout.FailedRun)
	b.failure(sprout.StepTimeout, "a", "1m0s", "the moon", since.Format(time.RFC3339))
	if took := b.clock.Now().Sub(since); took != time.Minute {
		t.Errorf("timed out after %s", took)
	}
}

func TestDoEndsAtItsDeadline(t *testing.T) {
	b := newBench(t, job(step{Name: "a", Timeout: 20 * time.Millisecond, Attempts: 5, Undo: ok, Do: func(ctx context.Context, _ *call) error {
		<-ctx.Done()
		return ctx.Err()
	}}))
	b.finish(sprout.FailedRun)
	b.failure(sprout.StepTimeout, "a", "20ms", "deadline exceeded")
	b.story("a failed", "a undone")
}

func TestDeadlineOfTheWhole(t *testing.T) {
	b := &bench{t: t, store: workflowtest.NewMemory(), clock: workflowtest.NewClock()}
	b.engine = b.process(job(named("a", func(context.Context, *call) error { return workflow.AgainAfter(time.Second, "rain") })))
	b.must(b.start(workflow.StartOptions{Deadline: b.clock.Now().Add(10 * time.Second)}))
	b.finish(sprout.FailedRun)
	b.failure(sprout.StepTimeout, "a", "workflow's deadline", "rain")
	b.must(b.engine.Retry(t.Context(), id, workflow.StartOptions{}))
	if run := b.get(); !run.Deadline.IsZero() || run.Retries != 1 || run.Failure != nil {
		t.Errorf("after retry: %+v", run)
	}
}

func TestEffectErrorFailsTheStep(t *testing.T) {
	refuse := true
	b := newBench(t, job(step{Name: "a", Attempts: 2, Timeout: time.Hour, Do: func(_ context.Context, c *call) error {
		if _, ok := c.Take("go"); !ok {
			return workflow.WaitFor("go", time.Minute, "go")
		}
		c.Commit(func(_ context.Context, tx *tx) error { tx.Put("x", "1"); return nil })
		c.Commit(func(context.Context, *tx) error {
			if refuse {
				return sprout.Errorf(sprout.Conflict, "cannot do it now")
			}
			return nil
		})
		return nil
	}}))
	b.must(b.engine.Signal(t.Context(), id, "go", 1))
	run := b.advance()
	if run.Attempt != 2 || !strings.Contains(run.Wait.For, "cannot do it now") || len(b.store.Values()) != 0 {
		t.Fatalf("after a refused effect: %s %v", workflowtest.Describe(run), b.store.Values())
	}
	refuse = false
	b.finish(sprout.Succeeded) // the signal was left to the second attempt
	if b.store.Values()["x"] != "1" {
		t.Error("the effect was lost")
	}
}

func TestOnMoveAndOnEnd(t *testing.T) {
	refusals := 2
	d := job(named("a", ok), named("b", fails("bad")))
	d.OnMove = func(_ context.Context, tx *tx, before, after workflow.Run) error {
		tx.Note("%s>%s %d", before.StepName, after.StepName, len(after.Steps))
		return nil
	}
	d.OnEnd = func(_ context.Context, tx *tx, run workflow.Run) error {
		if refusals--; refusals >= 0 {
			return sprout.Errorf(sprout.Conflict, "cannot end yet")
		}
		tx.Put("end", string(run.State))
		return nil
	}
	b := newBench(t, d)
	b.finish(sprout.FailedRun)
	if b.store.Values()["end"] != "failed" || refusals != -1 {
		t.Errorf("OnEnd: %v, refusals left %d", b.store.Values(), refusals)
	}
	b.failure(sprout.DiskFailed, "b", "bad")
	if notes := b.store.Notes(); notes[0] != ">a 0" || notes[1] != "a>a 1" || notes[2] != "a>b 1" {
		t.Errorf("OnMove noted %q", notes)
	}
	b.story("a done", "b failed", "b undone", "a undone")
}

func TestOnEndRefusingSuccessFailsTheLastStep(t *testing.T) {
	d := job(named("a", ok))
	d.OnEnd = func(_ context.Context, _ *tx, run workflow.Run) error {
		if run.State == sprout.Succeeded {
			return sprout.Errorf(sprout.Conflict, "cannot be deployed: it is broken")
		}
		return nil
	}
	b := newBench(t, d)
	b.finish(sprout.FailedRun)
	b.failure(sprout.InternalFailure, "a", "it is broken")
}

// What a run says of a step's time is in place of what its definition says, but
// not of its undoing's; and a step may give itself a time of its own.
func TestAStepsTimeIsTheRuns(t *testing.T) {
	forever := func(context.Context, *call) error { return workflow.AgainAfter(30*time.Second, "the moon") }
	own := func(d time.Duration) func(workflow.Run) time.Duration {
		return func(workflow.Run) time.Duration { return d }
	}
	within := func(_ context.Context, c *call) error {
		c.Within(20 * time.Minute)
		return workflow.AgainAfter(30*time.Second, "the moon")
	}
	for _, test := range []struct {
		name string
		step step
		want time.Duration
	}{
		{"longer", step{Do: forever, Limit: own(10 * time.Minute)}, 10 * time.Minute},
		{"shorter", step{Do: forever, Limit: own(10 * time.Second)}, 10 * time.Second},
		{"not said", step{Do: forever, Limit: own(0)}, time.Minute},
		{"by itself", step{Do: within}, 20 * time.Minute},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.step.Name, test.step.Timeout = "a", time.Minute
			b := newBench(t, job(test.step))
			since := b.clock.Now()
			if run := b.advance(); !run.Wait.Until.Equal(since.Add(test.want)) {
				t.Errorf("it waits until %s after %s", run.Wait.Until, since)
			}
			b.finish(sprout.FailedRun)
			b.failure(sprout.StepTimeout, "a", "within "+test.want.String())
			if took := b.clock.Now().Sub(since); took != test.want {
				t.Errorf("timed out after %s", took)
			}
		})
	}
	var undo time.Duration
	d := job(step{Name: "a", Timeout: time.Minute, Limit: own(time.Hour), Do: fails("broken"), Undo: func(_ context.Context, c *call) error {
		undo = c.Run.StepDeadline.Sub(c.Run.StepStarted)
		return nil
	}})
	newBench(t, d).finish(sprout.FailedRun)
	if undo != time.Minute {
		t.Errorf("its undoing may take %s", undo)
	}
}
