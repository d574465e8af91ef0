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
	NextAt       time.Time                  `json:"nextAt"`               // when Advance is due; zero: not before a signal
	Signals      map[string]json.RawMessage `json:"signals,omitempty"`    // arrived and not yet taken
	Input        json.RawMessage            `json:"input"`
	Data         json.RawMessage            `json:"data,omitempty"` // what steps leave for later steps: one JSON object
	Failure      *sprout.Failure            `json:"failure,omitempty"`
	Steps        []sprout.StepRecord        `json:"steps"`
	Retries      int                        `json:"retries"`
	CancelBy     string                     `json:"cancelBy,omitempty"` // who asked to cancel
	Version      int64                      `json:"version"`            // rises with every save
	CreatedAt    time.Time                  `json:"createdAt"`
	EndedAt      time.Time                  `json:"endedAt"`
}

// A Store keeps runs. T is its transaction. Two exist: PostgreSQL in the
// server, bbolt in the agent.
type Store[T any] interface {
	// Get returns a run; NotFound if there is none.
	Get(ctx context.Context, id string) (Run, error)
	// Create keeps a new run (version 1) and applies the effects, in one
	// transaction. Conflict if the id exists.
	Create(ctx context.Context, run Run, effects ...func(ctx context.Context, tx T) error) error
	// Save replaces the run if its stored version is still run.Version, raises
	// the version, applies the effects, and arranges that the driver calls
	// Advance at run.NextAt (zero: not); all in one transaction. Conflict if
	// another saved it first.
	Save(ctx context.Context, run Run, effects ...func(ctx context.Context, tx T) error) error
}

// A Step is one row of a definition. Do and Undo may be called again after a
// crash, so both must be repeatable.
type Step[T any] struct {
	Name string
	// Do takes the step. nil: done. One of AgainAfter, WaitFor or Park: not
	// yet. A *sprout.Failure: failed, and tried again while Attempts allow.
	// Any other error: the same, as an internal failure.
	Do func(ctx context.Context, c *Call[T]) error
	// Undo takes back what Do did, also when Do failed in its middle. May be nil.
	Undo func(ctx context.Context, c *Call[T]) error
	// Timeout is from the step's first start to its end, waits and attempts
	// included; Do's context ends then too. Required.
	Timeout time.Duration
	// Attempts is how often Do may fail; 0 means 1. Between attempts the
	// engine waits 1 s, 2 s, 4 s, … 30 s at most.
	Attempts int
}

// A Definition is a named table of steps. OnEnd, if set, adds effects to the
// transaction in which a run ends, however it ends.
type Definition[T any] struct {
	Kind  string
	Steps []Step[T]
	OnEnd func(ctx context.Context, tx T, run Run) error
	// OnMove, if set, adds effects to every transaction that saves a run: the
	// agent reports step records by it.
	OnMove func(ctx context.Context, tx T, before, after Run) error
}
