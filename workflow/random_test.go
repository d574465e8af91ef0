package workflow_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sprout"
	"sprout/workflow"
	"sprout/workflow/workflowtest"
)

// A chaos is a run whose steps, store and operators do anything. The world is
// how often each step's work stands.
type chaos struct {
	t      *rapid.T
	store  *flakyStore
	clock  *workflowtest.Clock
	engine *workflow.Engine[*tx]
	def    definition
	inCall atomic.Int32
	world  map[string]bool
	calm   bool // nothing goes wrong any more
}

// flakyStore loses saves when told to, as a process that died would.
type flakyStore struct {
	*workflowtest.Memory
	lose func() bool
}

func (s *flakyStore) Save(ctx context.Context, run workflow.Run, effects ...workflow.Effect[*tx]) error {
	if s.lose() {
		return errors.New("the process died")
	}
	return s.Memory.Save(ctx, run, effects...)
}

func newChaos(t *rapid.T) *chaos {
	c := &chaos{t: t, clock: workflowtest.NewClock(), world: map[string]bool{}}
	c.store = &flakyStore{workflowtest.NewMemory(), func() bool { return c.happens("lose a save") }}
	c.def = definition{Kind: "job", At: "site"}
	for i := range rapid.IntRange(1, 4).Draw(t, "steps") {
		name := fmt.Sprintf("s%d", i)
		s := step{
			Name: name, Attempts: rapid.IntRange(0, 3).Draw(t, "attempts"), Timeout: time.Duration(rapid.IntRange(5, 300).Draw(t, "timeout")) * time.Second,
			Do:   func(_ context.Context, call *call) error { return c.do(name, call) },
			Undo: func(_ context.Context, call *call) error { return c.undo(name) },
		}
		c.def.Steps = append(c.def.Steps, s)
	}
	c.reborn()
	if _, err := c.engine.Start(context.Background(), id, "job", nil, workflow.StartOptions{}); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *chaos) reborn() {
	e, err := workflow.New(c.store, c.clock.Now, slog.New(slog.NewTextHandler(io.Discard, nil)), c.def)
	if err != nil {
		c.t.Fatal(err)
	}
	c.engine = e
}

// happens tells whether this goes wrong now: one time in six.
func (c *chaos) happens(what string) bool {
	return !c.calm && rapid.IntRange(0, 5).Draw(c.t, what) == 5
}

func (c *chaos) enter() func() {
	if c.inCall.Add(1) != 1 {
		c.t.Fatal("two steps are taken at once")
	}
	return func() { c.inCall.Add(-1) }
}

func (c *chaos) do(name string, call *call) error {
	defer c.enter()()
	if c.happens("fail before the work") {
		return sprout.Fail(sprout.DiskFailed, "before", "")
	}
	c.world[name] = true
	if c.happens("cancel in Do") {
		if err := c.engine.Cancel(context.Background(), id, "chaos"); err != nil && sprout.KindOf(err) == sprout.Conflict {
			c.t.Fatal(err)
		}
	}
	if c.happens("a second driver") {
		if _, _, err := c.engine.Advance(context.Background(), id); err != nil {
			c.t.Fatal(err)
		}
	}
	if c.calm {
		return nil
	}
	switch rapid.IntRange(0, 8).Draw(c.t, "outcome") {
	case 0:
		return workflow.AgainAfter(3*time.Second, "chaos")
	case 1:
		if _, ok := call.Take("sign"); !ok {
			return workflow.WaitFor("sign", 20*time.Second, "a sign")
		}
	case 2:
		return workflow.Park("chaos")
	case 3:
		return errors.New("after")
	case 4:
		panic("chaos")
	case 5:
		call.Commit(func(context.Context, *tx) error { return errors.New("effect") })
	}
	return nil
}

func (c *chaos) undo(name string) error {
	defer c.enter()()
	if c.happens("fail to undo") {
		return errors.New("undo")
	}
	if c.happens("undo waits") {
		return workflow.AgainAfter(time.Second, "undo")
	}
	delete(c.world, name)
	return nil
}

func (c *chaos) get() workflow.Run {
	run, err := c.store.Get(context.Background(), id)
	if err != nil {
		c.t.Fatalf("the run is lost: %v", err)
	}
	return run
}

// holds checks what is always true of a run.
func (c *chaos) holds() {
	run := c.get()
	story := workflowtest.Describe(run)
	if run.State.Ended() {
		if run.EndedAt.IsZero() || !run.NextAt.IsZero() || run.Claim != nil || run.Wait != nil {
			c.t.Fatalf("ended, but still moves: %s", story)
		}
		if (run.State == sprout.Succeeded) != (run.Failure == nil) {
			c.t.Fatalf("ended without a reason: %s", story)
		}
		return
	}
	if !run.EndedAt.IsZero() {
		c.t.Fatalf("not ended, but has an end: %s", story)
	}
	if run.Parked() && (run.Wait == nil || run.Wait.For == "") {
		c.t.Fatalf("parked without a reason: %s", story)
	}
	if run.WaitSignal != "" && (run.NextAt.IsZero() || run.Wait == nil || run.Wait.Until.IsZero()) {
		c.t.Fatalf("waits for a signal without a deadline: %s", story)
	}
	if run.State == sprout.Unwinding && run.Failure == nil {
		c.t.Fatalf("unwinds without a reason: %s", story)
	}
	if run.Wait == nil && run.Claim == nil && run.NextAt.After(c.clock.Now()) {
		c.t.Fatalf("rests without a reason: %s", story)
	}
}

// operation does one thing to the run and looks at it.
func (c *chaos) operation() {
	ctx := context.Background()
	switch rapid.SampledFrom([]string{"advance", "advance", "advance", "wait", "signal", "cancel", "retry", "restart"}).Draw(c.t, "operation") {
	case "advance":
		_, _, _ = c.engine.Advance(ctx, id) // a lost save is an error, and harmless
	case "wait":
		c.clock.Reach(c.get().NextAt)
	case "signal":
		_ = c.engine.Signal(ctx, id, "sign", 1)
	case "cancel":
		_ = c.engine.Cancel(ctx, id, "chaos")
	case "retry":
		_ = c.engine.Retry(ctx, id, workflow.StartOptions{})
	case "restart":
		c.reborn()
	}
	c.holds()
}

func TestWhateverHappens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newChaos(t)
		for range rapid.IntRange(1, 60).Draw(t, "operations") {
			c.operation()
		}
		c.calm = true
		c.settle()
	})
}

// settle lets the run end undisturbed, and compares the world with how it ended.
func (c *chaos) settle() {
	ctx := context.Background()
	for range 500 {
		run := c.get()
		switch {
		case run.State == sprout.Succeeded && len(c.world) != len(c.def.Steps):
			c.t.Fatalf("succeeded, but stands only %v\n%s", c.world, workflowtest.Describe(run))
		case run.State.Ended() && run.State != sprout.Succeeded && len(c.world) != 0 && run.Failure.Evidence == "":
			c.t.Fatalf("%s, and left %v without a word\n%s", run.State, c.world, workflowtest.Describe(run))
		case run.State.Ended():
			return
		case run.Parked():
			if err := c.engine.Retry(ctx, id, workflow.StartOptions{}); err != nil {
				c.t.Fatal(err)
			}
		}
		c.clock.Reach(c.get().NextAt)
		if _, _, err := c.engine.Advance(ctx, id); err != nil {
			c.t.Fatal(err)
		}
		c.holds()
	}
	c.t.Fatalf("the run does not end\n%s", workflowtest.Describe(c.get()))
}
