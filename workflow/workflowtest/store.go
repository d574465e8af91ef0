package workflowtest

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"sync"
	"testing"
	"time"

	"sprout"
	"sprout/workflow"
)

// A StoreCase is an empty store to hold to the contract.
type StoreCase[T any] struct {
	Store workflow.Store[T]
	// Write leaves a mark of this name in a transaction, Wrote tells whether it
	// is there.
	Write func(ctx context.Context, tx T, name string) error
	Wrote func(t *testing.T, name string) bool
	// Due, if set, returns when the driver will call Advance for the run; zero:
	// not. It is the last NextAt that was saved.
	Due func(t *testing.T, id string) time.Time
}

// RunStore holds a store to what workflow.Store promises.
func RunStore[T any](t *testing.T, open func(t *testing.T) StoreCase[T]) {
	t.Helper()
	for _, test := range []struct {
		name string
		run  func(*testing.T, StoreCase[T])
	}{
		{"a run comes back whole", wholeRun[T]},
		{"a missing run is not found", missingRun[T]},
		{"an id is used once", usedOnce[T]},
		{"a save is guarded by version", guarded[T]},
		{"one of many savers wins", oneWins[T]},
		{"effects are atomic with the save", atomicEffects[T]},
		{"the time of the next call is kept", keepsNext[T]},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

var instant = time.Date(2026, 3, 4, 5, 6, 7, 123456000, time.UTC)

// fullRun has no field at its zero value, so that a lost one is seen.
func fullRun(id string) workflow.Run {
	return workflow.Run{
		ID: id, Kind: "deploy", State: sprout.Running, Step: 2, StepName: "third", Attempt: 3,
		StepStarted: instant, StepDeadline: instant.Add(time.Hour), Deadline: instant.Add(2 * time.Hour),
		Wait:       &sprout.Wait{For: "a sign", Since: instant, Until: instant.Add(time.Minute)},
		WaitSignal: "sign", NextAt: instant.Add(time.Minute), Unknown: true,
		Claim:   &workflow.Claim{By: "one", Until: instant.Add(30 * time.Second)},
		Signals: map[string]json.RawMessage{"other": json.RawMessage(`{"a":1}`)},
		Input:   json.RawMessage(`{"image":"debian"}`), Data: json.RawMessage(`{"ip":"10.0.0.1"}`),
		Failure: &sprout.Failure{Code: sprout.StepTimeout, Step: "third", Reason: "why", Evidence: "seen", Remedy: "do"},
		Steps: []sprout.StepRecord{{
			Name: "first", At: "site", Attempt: 1, Outcome: "done", Detail: "d", StartedAt: instant, EndedAt: new(instant.Add(time.Second)),
		}},
		Retries: 4, CancelBy: "ann", Version: 1, CreatedAt: instant, EndedAt: instant.Add(3 * time.Hour),
	}
}

func wholeRun[T any](t *testing.T, c StoreCase[T]) {
	want := fullRun("wfl_whole")
	v := reflect.ValueOf(want)
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Fatalf("the contract's own run lacks %s", v.Type().Field(i).Name)
		}
	}
	create(t, c, want)
	same(t, get(t, c, want.ID), want)
	want.Step, want.Signals, want.Wait, want.Claim = 3, nil, nil, nil
	if err := c.Store.Save(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	want.Version = 2
	same(t, get(t, c, want.ID), want)
}

func missingRun[T any](t *testing.T, c StoreCase[T]) {
	if _, err := c.Store.Get(t.Context(), "wfl_none"); sprout.KindOf(err) != sprout.NotFound {
		t.Errorf("Get of a missing run: %v, want not found", err)
	}
	if err := c.Store.Save(t.Context(), fullRun("wfl_none")); sprout.KindOf(err) != sprout.NotFound {
		t.Errorf("Save of a missing run: %v, want not found", err)
	}
}

func usedOnce[T any](t *testing.T, c StoreCase[T]) {
	create(t, c, fullRun("wfl_once"))
	err := c.Store.Create(t.Context(), fullRun("wfl_once"), c.write("twice"))
	if sprout.KindOf(err) != sprout.Conflict {
		t.Errorf("second Create: %v, want a conflict", err)
	}
	if c.Wrote(t, "twice") {
		t.Error("the effect of a refused Create was kept")
	}
}

func guarded[T any](t *testing.T, c StoreCase[T]) {
	run := fullRun("wfl_guard")
	create(t, c, run)
	if err := c.Store.Save(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	run.StepName = "late"
	err := c.Store.Save(t.Context(), run, c.write("late"))
	if sprout.KindOf(err) != sprout.Conflict {
		t.Errorf("Save of an old version: %v, want a conflict", err)
	}
	if c.Wrote(t, "late") || get(t, c, run.ID).StepName == "late" {
		t.Error("a refused Save left something")
	}
}

func oneWins[T any](t *testing.T, c StoreCase[T]) {
	run := fullRun("wfl_race")
	create(t, c, run)
	errs := make([]error, 8)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { errs[i] = c.Store.Save(t.Context(), run) })
	}
	all.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else if sprout.KindOf(err) != sprout.Conflict {
			t.Errorf("a loser got %v, want a conflict", err)
		}
	}
	if v := get(t, c, run.ID).Version; won != 1 || v != 2 {
		t.Errorf("%d savers won and the version is %d, want 1 and 2", won, v)
	}
}

func atomicEffects[T any](t *testing.T, c StoreCase[T]) {
	refusal := errors.New("refused")
	refuse := func(context.Context, T) error { return refusal }
	run := fullRun("wfl_atom")
	if err := c.Store.Create(t.Context(), run, c.write("a"), refuse); !errors.Is(err, refusal) {
		t.Errorf("Create: %v, want the effect's error", err)
	}
	if _, err := c.Store.Get(t.Context(), run.ID); sprout.KindOf(err) != sprout.NotFound || c.Wrote(t, "a") {
		t.Error("a Create whose effect refused left something")
	}
	if err := c.Store.Create(t.Context(), run, c.write("b")); err != nil || !c.Wrote(t, "b") {
		t.Fatalf("Create: %v, effect kept: %v", err, c.Wrote(t, "b"))
	}
	changed := run
	changed.StepName = "changed"
	if err := c.Store.Save(t.Context(), changed, c.write("c"), refuse, c.write("d")); !errors.Is(err, refusal) {
		t.Errorf("Save: %v, want the effect's error", err)
	}
	if c.Wrote(t, "c") || c.Wrote(t, "d") {
		t.Error("a Save whose effect refused left something")
	}
	same(t, get(t, c, run.ID), run)
	if err := c.Store.Save(t.Context(), changed, c.write("e"), c.write("f")); err != nil {
		t.Fatal(err)
	}
	if !c.Wrote(t, "e") || !c.Wrote(t, "f") || get(t, c, run.ID).StepName != "changed" {
		t.Error("a Save or its effects were lost")
	}
}

func keepsNext[T any](t *testing.T, c StoreCase[T]) {
	run := fullRun("wfl_next")
	due := func(want time.Time) {
		t.Helper()
		if got := get(t, c, run.ID).NextAt; !got.Equal(want) {
			t.Errorf("NextAt is %s, want %s", got, want)
		}
		if c.Due == nil {
			return
		}
		if got := c.Due(t, run.ID); !got.Equal(want) {
			t.Errorf("the driver is due at %s, want %s", got, want)
		}
	}
	create(t, c, run)
	due(run.NextAt)
	for _, next := range []time.Time{instant.Add(time.Hour), instant, {}, instant.Add(time.Minute)} {
		run.NextAt = next
		if err := c.Store.Save(t.Context(), run); err != nil {
			t.Fatal(err)
		}
		run.Version++
		due(next)
	}
}

func (c StoreCase[T]) write(name string) workflow.Effect[T] {
	return func(ctx context.Context, tx T) error { return c.Write(ctx, tx, name) }
}

func create[T any](t *testing.T, c StoreCase[T], run workflow.Run) {
	t.Helper()
	if err := c.Store.Create(t.Context(), run); err != nil {
		t.Fatal(err)
	}
}

func get[T any](t *testing.T, c StoreCase[T], id string) workflow.Run {
	t.Helper()
	run, err := c.Store.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// same compares runs by their JSON, with times in UTC and JSON in one spelling.
func same(t *testing.T, got, want workflow.Run) {
	t.Helper()
	if g, w := plain(t, got), plain(t, want); !reflect.DeepEqual(g, w) {
		t.Errorf("the run came back changed:\n got %v\nwant %v", g, w)
	}
}

func plain(t *testing.T, run workflow.Run) (v map[string]any) {
	t.Helper()
	raw, err := json.Marshal(run)
	if err == nil {
		err = json.Unmarshal(raw, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	return utc(v).(map[string]any)
}

// utc spells every time in v in UTC.
func utc(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = utc(v[k])
		}
	case []any:
		for i := range v {
			v[i] = utc(v[i])
		}
	case string:
		if at, err := time.Parse(time.RFC3339Nano, v); err == nil {
			return at.UTC().Format(time.RFC3339Nano)
		}
	}
	return v
}
