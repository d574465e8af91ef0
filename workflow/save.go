package workflow

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"sprout"
)

// An effectError is an error of an effect, told apart from one of the store.
type effectError struct {
	err  error
	from source
}

// A source says whose effect refused.
type source int

const (
	fromCall source = iota
	fromEnd
	fromMove
)

func (e *effectError) Error() string { return e.err.Error() }
func (e *effectError) Unwrap() error { return e.err }

// errRace says that another saved the run first.
var errRace = errors.New("another saved the run first")

// A race is what a store's Conflict is taken for: errRace, until the run turns out
// to be as it was. Then the store meant something else, and said what.
type race struct{ said error }

func (r *race) Error() string        { return errRace.Error() }
func (r *race) Is(target error) bool { return target == errRace }

// save replaces before by after. It returns errRace if another was first, an
// *effectError if an effect refused, else the store's
// error.
func (e *Engine[T]) save(ctx context.Context, before, after Run, effects []Effect[T]) error {
	var refused *effectError
	watched := func(effect Effect[T], from source) Effect[T] {
		return func(ctx context.Context, tx T) error {
			refused = nil
			err := effect(ctx, tx)
			if err != nil {
				refused = &effectError{err, from}
			}
			return err
		}
	}
	var all []Effect[T]
	for _, effect := range effects {
		all = append(all, watched(effect, fromCall))
	}
	for _, hook := range e.hooks(before, after) {
		all = append(all, watched(hook, fromMove))
	}
	if e.park != nil && before.Parked() != after.Parked() {
		all = append(all, watched(func(ctx context.Context, tx T) error { return e.park(ctx, tx, after) }, fromMove))
	}
	if onEnd := e.onEnd(before, after); onEnd != nil { // last: whoever hears of the end has heard of every step
		all = append(all, watched(onEnd, fromEnd))
	}
	err := e.store.Save(ctx, after, all...)
	switch {
	case err == nil:
		return nil
	case refused != nil:
		return refused
	case sprout.KindOf(err) == sprout.Conflict:
		return &race{err}
	}
	return fmt.Errorf("cannot save workflow %s: %w", after.ID, err)
}

// onEnd is the definition's OnEnd where this move ends the run, else nil.
func (e *Engine[T]) onEnd(before, after Run) Effect[T] {
	def, ok := e.defs[after.Kind]
	if !ok || def.OnEnd == nil || before.State.Ended() || !after.State.Ended() {
		return nil
	}
	return func(ctx context.Context, tx T) error { return def.OnEnd(ctx, tx, after) }
}

// hooks is the definition's OnMove, if it has one.
func (e *Engine[T]) hooks(before, after Run) []Effect[T] {
	def, ok := e.defs[after.Kind]
	if !ok || def.OnMove == nil {
		return nil
	}
	return []Effect[T]{func(ctx context.Context, tx T) error {
		if err := def.OnMove(ctx, tx, before, after); err != nil {
			return fmt.Errorf("cannot report the move of workflow %s: %w", after.ID, err)
		}
		return nil
	}}
}

// update changes a stored run, again from the start whenever another was first.
func (e *Engine[T]) update(ctx context.Context, id string, effects []Effect[T], change func(*Run) error) (Run, error) {
	var lost *race
	var version int64
	for range maxRaces {
		before, err := e.store.Get(ctx, id)
		if err != nil {
			return Run{}, err
		}
		if lost != nil && before.Version == version {
			return Run{}, lost.said // such as a machine that is locked
		}
		version = before.Version
		after := before.clone()
		if err := change(&after); err != nil {
			return Run{}, err
		}
		err = e.save(ctx, before, after, effects)
		if err == nil {
			return after, nil
		}
		if !errors.As(err, &lost) {
			return Run{}, asGiven(err)
		}
		if ctx.Err() != nil {
			return Run{}, ctx.Err()
		}
	}
	return Run{}, sprout.Errorf(sprout.Unavailable, "cannot save workflow %s: it moves too fast", id)
}

// asGiven returns an effect's error as the effect made it.
func asGiven(err error) error {
	var refused *effectError
	if errors.As(err, &refused) {
		return refused.err
	}
	return err
}

// clone copies all of the run that the engine changes in place.
func (r Run) clone() Run {
	r.Steps = slices.Clone(r.Steps)
	r.Signals = maps.Clone(r.Signals)
	if r.Wait != nil {
		r.Wait = new(*r.Wait)
	}
	if r.Failure != nil {
		r.Failure = new(*r.Failure)
	}
	if r.Claim != nil {
		r.Claim = new(*r.Claim)
	}
	return r
}
