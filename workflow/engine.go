package workflow

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"time"

	"sprout"
)

// The engine's numbers.
const (
	// Lease is how long a claim holds after its process last renewed it: at
	// most so long after a crash another process goes on.
	Lease = 30 * time.Second
	// UndoAttempts is how often an Undo may fail before it is given up.
	UndoAttempts = 10
	// MaxBackoff is the longest wait between two attempts.
	MaxBackoff = 30 * time.Second

	saveTime  = 10 * time.Second // for saving an outcome after the caller's context ended
	maxRaces  = 100              // how often a save may lose a race before it gives up
	atUnnamed = "centre"
)

// An Engine advances runs of the definitions it was made with. Any number may
// share one store, in one process or several: a claim in the run keeps two of
// them from taking the same step at once.
type Engine[T any] struct {
	store Store[T]
	clock func() time.Time
	log   *slog.Logger
	defs  map[string]Definition[T]
	lease time.Duration
	park  func(ctx context.Context, tx T, run Run) error
	gate  Gate

	mu    sync.Mutex
	calls map[string]context.CancelCauseFunc // by claim: the calls in flight in this process
}

// New makes an engine. The definitions must be sound: unique kinds, steps with
// unique names, each with a Do and a Timeout; else Invalid.
func New[T any](store Store[T], clock func() time.Time, log *slog.Logger, defs ...Definition[T]) (*Engine[T], error) {
	e := &Engine[T]{store: store, clock: clock, log: log, lease: Lease, defs: map[string]Definition[T]{}, calls: map[string]context.CancelCauseFunc{}}
	for _, d := range defs {
		if err := check(d); err != nil {
			return nil, err
		}
		if _, dup := e.defs[d.Kind]; dup {
			return nil, sprout.Errorf(sprout.Invalid, "cannot define workflow %q twice", d.Kind)
		}
		if d.At == "" {
			d.At = atUnnamed
		}
		e.defs[d.Kind] = d
	}
	return e, nil
}

// WithLease has claims hold for another time than Lease, before the engine is
// used: a shorter one finds dead processes sooner, and is renewed more often.
func (e *Engine[T]) WithLease(lease time.Duration) *Engine[T] {
	e.lease = lease
	return e
}

// A Gate is passed twice by every call of a Do or an Undo: before it, with its
// claim saved, and after it (done), before its outcome is. It may wait, and must
// not longer than ctx. Tests hold processes there to kill them in mid step.
type Gate func(ctx context.Context, run Run, done bool)

// WithGate has every call pass the gate, before the engine is used; nil: none.
func (e *Engine[T]) WithGate(g Gate) *Engine[T] {
	e.gate = g
	return e
}

// OnPark adds an effect, before the engine is used, to every transaction in which
// a run is parked, or goes on or ends after it was: run.Parked tells which. It is
// called for runs of kinds, and at steps, that this version does not know, too.
func (e *Engine[T]) OnPark(effect func(ctx context.Context, tx T, run Run) error) { e.park = effect }

func check[T any](d Definition[T]) error {
	if d.Kind == "" || len(d.Steps) == 0 {
		return sprout.Errorf(sprout.Invalid, "cannot define workflow %q: it needs a kind and at least one step", d.Kind)
	}
	names := map[string]bool{}
	for i, s := range d.Steps {
		switch {
		case s.Name == "":
			return sprout.Errorf(sprout.Invalid, "cannot define workflow %s: step %d has no name", d.Kind, i)
		case names[s.Name]:
			return sprout.Errorf(sprout.Invalid, "cannot define workflow %s: two steps are named %s", d.Kind, s.Name)
		case s.Do == nil:
			return sprout.Errorf(sprout.Invalid, "cannot define workflow %s: step %s has no Do", d.Kind, s.Name)
		case s.Timeout <= 0:
			return sprout.Errorf(sprout.Invalid, "cannot define workflow %s: step %s has no Timeout", d.Kind, s.Name)
		case s.Attempts < 0:
			return sprout.Errorf(sprout.Invalid, "cannot define workflow %s: step %s has negative Attempts", d.Kind, s.Name)
		}
		names[s.Name] = true
	}
	return nil
}

// StartOptions is what a new run, or a new try of one, may be given.
type StartOptions struct {
	Deadline time.Time // of the whole run; zero: none
}

// Start creates a run of the kind, due now, and applies the effects in the same
// transaction. Input becomes its JSON input. Conflict if the id exists, Invalid
// if the kind is unknown.
func (e *Engine[T]) Start(ctx context.Context, id, kind string, input any, opts StartOptions, effects ...Effect[T]) (Run, error) {
	def, ok := e.defs[kind]
	if !ok {
		return Run{}, sprout.Errorf(sprout.Invalid, "cannot start workflow %q: no such kind", kind)
	}
	raw, err := json.Marshal(input)
	if err != nil {
		return Run{}, sprout.Errorf(sprout.Invalid, "cannot start workflow %s: %w", kind, err)
	}
	now := e.now()
	run := Run{
		ID: id, Kind: kind, State: sprout.Running, StepName: def.Steps[0].Name, Attempt: 1,
		Deadline: micros(opts.Deadline), NextAt: now, Input: raw, Steps: []sprout.StepRecord{}, Version: 1, CreatedAt: now,
	}
	effects = append(effects[:len(effects):len(effects)], e.hooks(Run{}, run)...)
	if err := e.store.Create(ctx, run, effects...); err != nil {
		return Run{}, err
	}
	e.log.InfoContext(ctx, "workflow started", "run", id, "kind", kind)
	return run, nil
}

// now is the time as every store can keep it.
func (e *Engine[T]) now() time.Time { return micros(e.clock()) }

func micros(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Microsecond)
}

// placed is the run with the place that its step has in this version: off its old
// one by steps that were added since, and by no others.
func (e *Engine[T]) placed(run Run) Run {
	steps := e.defs[run.Kind].Steps
	at := slices.IndexFunc(steps, func(s Step[T]) bool { return s.Name == run.StepName })
	added := 0
	for i, s := range steps {
		if s.Added && (run.Step <= i && i < at || at < i && i <= run.Step) {
			added++
		}
	}
	if at >= 0 && max(at-run.Step, run.Step-at) <= added {
		run.Step = at
	}
	return run
}

// step returns the step that the run is at. ok is false if the definition has
// no step of that name at that place: then nobody may guess.
func (e *Engine[T]) step(run Run) (step Step[T], ok bool) {
	def, at := e.defs[run.Kind], e.placed(run).Step
	if at < 0 || at >= len(def.Steps) || def.Steps[at].Name != run.StepName {
		return Step[T]{}, false
	}
	return def.Steps[at], true
}
