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
