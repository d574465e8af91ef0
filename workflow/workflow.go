// Package workflow runs named steps durably. It knows steps, not machines: what
// a step does is its definition's business, where a run is kept is the Store's,
// and who calls Advance is the driver's (River in the server, a timer loop in
// the agent).
package workflow

import (
	"context"
	"encoding/json"
	"time"

	"sprout"
)

// A Run is one workflow as it is stored. Everything that it is stands here.
type Run struct {
	ID           string                     `json:"id"`
	Kind         string                     `json:"kind"`
	State        sprout.WorkflowState       `json:"state"`
	Step         int                        `json:"step"`     // index of the step to do, or to undo while unwinding
	StepName     string                     `json:"stepName"` // its name: a definition that changed is noticed
	Attempt      int                        `json:"attempt"`  // of this step, from 1
	StepStarted  time.Time                  `json:"stepStarted"`
	StepDeadline time.Time                  `json:"stepDeadline"`
	Deadline     time.Time                  `json:"deadline"` // of the whole; zero: none
	Wait         *sprout.Wait               `json:"wait,omitempty"`
	WaitSignal   string                     `json:"waitSignal,omitempty"` // the signal it waits for, if any
	NextAt       time.Time                  `json:"nextAt"`               // when Advance is due; zero: not before somebody acts
	Claim        *Claim                     `json:"claim,omitempty"`      // set while Do or Undo is being called
	Signals      map[string]json.RawMessage `json:"signals,omitempty"`    // arrived and not yet taken
	Input        json.RawMessage            `json:"input"`
	Data         json.RawMessage            `json:"data,omitempty"` // what steps leave for later steps: one JSON object
	Failure      *sprout.Failure            `json:"failure,omitempty"`
	Steps        []sprout.StepRecord        `json:"steps"`
	Retries      int                        `json:"retries"`
	CancelBy     string                     `json:"cancelBy,omitempty"` // who asked to cancel
	Unknown      bool                       `json:"unknown,omitempty"`  // parked, as the version that had it does not know its step
	Version      int64                      `json:"version"`            // rises with every save
	CreatedAt    time.Time                  `json:"createdAt"`
	EndedAt      time.Time                  `json:"endedAt"`
}

// Waits is what the run waits for, as people are told: until the deadline of the
// step, however often the step looks in between.
func (r Run) Waits() *sprout.Wait {
	if r.Wait == nil || r.WaitSignal == "" || !r.StepDeadline.After(r.Wait.Until) {
		return r.Wait
	}
	told := *r.Wait
	told.Until = r.StepDeadline
	return &told
}

// A Claim says that a process is in the middle of a step's Do or Undo. It is
// renewed while the call runs, and ends by itself when that process died.
type Claim struct {
	By    string    `json:"by"` // a fresh secret for every call
	Until time.Time `json:"until"`
}

// Parked tells whether the run rests until somebody retries or cancels it.
func (r Run) Parked() bool { return !r.State.Ended() && r.NextAt.IsZero() }

// An Effect is a part of the transaction that saves a run.
type Effect[T any] = func(ctx context.Context, tx T) error

// A Store keeps runs. T is its transaction. Two exist: PostgreSQL in the
// server, bbolt in the agent.
type Store[T any] interface {
	// Get returns a run; NotFound if there is none.
	Get(ctx context.Context, id string) (Run, error)
	// Create keeps a new run (version 1), applies the effects, and arranges
	// the call of Advance at run.NextAt as Save does, in one transaction.
	// Conflict if the id exists. An error of an effect is returned so that
	// errors.Is finds it, and nothing is kept.
	Create(ctx context.Context, run Run, effects ...Effect[T]) error
	// Save replaces the run if its stored version is still run.Version, raises
	// the version by one, applies the effects, and arranges that the driver calls
	// Advance at run.NextAt (zero: not); all in one transaction. Conflict if
	// another saved it first, NotFound if there is none. An error of an effect
	// is returned as Create does, and nothing is saved.
	Save(ctx context.Context, run Run, effects ...Effect[T]) error
}

// A Step is one row of a definition. Do and Undo may be called again after a
// crash, so both must be repeatable.
type Step[T any] struct {
	Name string
	// Do takes the step. nil: done. One of AgainAfter, WaitFor or Park: not
	// yet. A *sprout.Failure: failed, and tried again while Attempts allow.
	// Any other error: the same, as an internal failure.
	Do func(ctx context.Context, c *Call[T]) error
	// Quick says that Do changes nothing but by Commit, and waits for nobody
	// but its store: it is called without a claim, and its outcome saved with
	// that of the quick steps after it. Two processes may call it at once; only
	// one of them saves. Where it is to do more for once it returns Slow.
	Quick bool
	// Added says that runs which versions without this step began go on without
	// it where they are past its place.
	Added bool
	// Undo takes back what Do did, also when Do failed in its middle. May be
	// nil. It may wait as Do does. An error is tried again, UndoAttempts times
	// in all, each within Timeout; then the next step is undone regardless.
	Undo func(ctx context.Context, c *Call[T]) error
	// Timeout is from the step's first start to its end, waits and attempts
	// included; Do's context ends then too. Required.
	Timeout time.Duration
	// Limit, which may be nil, is what the run says in place of Timeout, which
	// then holds for Undo only; 0: it says nothing.
	Limit func(run Run) time.Duration
	// Attempts is how often Do may fail; 0 means 1. Between attempts the
	// engine waits 1 s, 2 s, 4 s, … 30 s at most.
	Attempts int
}

// limit is how long the run may take over the step, or over undoing it.
func (s Step[T]) limit(run Run) time.Duration {
	if s.Limit != nil && run.State == sprout.Running {
		if own := s.Limit(run); own > 0 {
			return own
		}
	}
	return s.Timeout
}

// A Definition is a named table of steps. OnEnd, if set, adds effects to the
// transaction in which a run ends, however it ends.
type Definition[T any] struct {
	Kind  string
	At    string // who runs it, for step records: "centre" or "site"
	Steps []Step[T]
	// An error of OnEnd when the run succeeds fails its last step; when it
	// failed, the end is tried again until OnEnd agrees.
	OnEnd func(ctx context.Context, tx T, run Run) error
	// OnMove, if set, adds effects to every transaction that creates a run
	// (before is zero) or moves it: the agent reports step records by it. It is
	// not called for saves that only claim a run.
	OnMove func(ctx context.Context, tx T, before, after Run) error
}
