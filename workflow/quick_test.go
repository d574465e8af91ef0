package workflow_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"sprout"
	"sprout/workflow"
)

// marks is a quick step that notes its name when it is saved.
func marks(name string, before func(ctx context.Context) error) step {
	return step{Name: name, Quick: true, Undo: ok, Timeout: time.Hour, Do: func(ctx context.Context, c *call) error {
		c.Commit(func(ctx context.Context, tx *tx) error {
			if err := before(ctx); err != nil {
				return err
			}
			tx.Note("%s", name)
			return nil
		})
		return nil
	}}
}

func agree(context.Context) error { return nil }

func TestQuickStepsAreSavedTogether(t *testing.T) {
	b := newBench(t, job(marks("one", agree), marks("two", agree), named("slow", ok), marks("three", agree)))
	if run := b.advance(); run.StepName != "slow" || run.Version != 2 {
		t.Errorf("after one call it is at %s in version %d, want slow in 2", run.StepName, run.Version)
	}
	b.finish(sprout.Succeeded)
	b.story("one done", "two done", "slow done", "three done")
	if notes := b.store.Notes(); !slices.Equal(notes, []string{"one", "two", "three"}) {
		t.Errorf("effects were %q", notes)
	}
}

func TestRefusedEffectIsOfItsQuickStep(t *testing.T) {
	refuse := func(context.Context) error { return sprout.Fail(sprout.DiskFailed, "refused", "") }
	b := newBench(t, job(marks("one", agree), marks("two", refuse), marks("three", agree)))
	b.finish(sprout.FailedRun)
	b.failure(sprout.DiskFailed, "two", "refused")
	b.story("one done", "two failed", "two undone", "one undone")
	if notes := b.store.Notes(); !slices.Equal(notes, []string{"one"}) {
		t.Errorf("effects were %q", notes)
	}
}

// Two processes call the same quick step: one of them saves.
func TestQuickStepIsSavedOnce(t *testing.T) {
	var b *bench
	var other *workflow.Engine[*tx]
	first := true
	one := marks("one", agree)
	inner := one.Do
	one.Do = func(ctx context.Context, c *call) error {
		if first {
			first = false
			if _, _, err := other.Advance(ctx, id); err != nil {
				t.Errorf("the other process: %v", err)
			}
		}
		return inner(ctx, c)
	}
	def := job(one, named("slow", ok))
	b = newBench(t, def)
	other = b.process(def)
	if run := b.get(); run.Version != 1 {
		t.Fatalf("it begins in version %d", run.Version)
	}
	if _, _, err := b.engine.Advance(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	b.finish(sprout.Succeeded)
	b.story("one done", "slow done")
	if notes := b.store.Notes(); !slices.Equal(notes, []string{"one"}) {
		t.Errorf("effects were %q", notes)
	}
}

// A quick step that says it is slow this time is called again with a claim, which
// nobody else has then, and what it did before is forgotten; so also where quick
// steps come before it.
func TestQuickStepMayBeSlow(t *testing.T) {
	for _, before := range []int{0, 1} {
		var claims []bool
		var other *workflow.Engine[*tx]
		slow := marks("slow", agree)
		slow.Do = func(ctx context.Context, c *call) error {
			claims = append(claims, c.Claimed())
			note := "unclaimed"
			if c.Claimed() {
				note = "claimed"
				if _, _, err := other.Advance(ctx, id); err != nil && sprout.KindOf(err) != sprout.Conflict {
					t.Errorf("the other process: %v", err)
				}
			}
			c.Commit(func(_ context.Context, tx *tx) error { tx.Note("%s", note); return nil })
			if !c.Claimed() {
				return workflow.Slow()
			}
			return nil
		}
		steps := []step{slow, marks("after", agree)}
		want := []string{"claimed", "after"}
		if before > 0 {
			steps, want = append([]step{marks("before", agree)}, steps...), append([]string{"before"}, want...)
		}
		def := job(steps...)
		b := newBench(t, def)
		other = b.process(def)
		b.finish(sprout.Succeeded)
		if notes := b.store.Notes(); !slices.Equal(notes, want) {
			t.Errorf("effects were %q, want %q", notes, want)
		}
		if n := len(claims); n < 2 || claims[n-1] != true || slices.Contains(claims[:n-1], true) {
			t.Errorf("it was called with claims %v", claims)
		}
	}
}
