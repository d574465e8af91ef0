package workflow

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// A Call is what a step's Do and Undo see of their run.
type Call[T any] struct {
	Run     Run       // a copy; change Data by Keep only
	Now     time.Time // by the engine's clock
	effects []Effect[T]
	taken   []string
	data    json.RawMessage
	detail  string
	until   time.Time // when the step's time ends, where it says so itself
	late    bool      // the step's time ended during the call
}

// Input decodes the run's input into v.
func (c *Call[T]) Input(v any) error { return json.Unmarshal(c.Run.Input, v) }

// Data decodes what earlier steps (and earlier tries of this one) kept.
func (c *Call[T]) Data(v any) error {
	if len(c.data) == 0 {
		return nil
	}
	return json.Unmarshal(c.data, v)
}

// Keep replaces the run's data; it is saved also when the step waits or fails.
func (c *Call[T]) Keep(v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("cannot keep data of %s: %w", c.Run.ID, err)
	}
	c.data = raw
	return nil
}

// Commit adds an effect to the transaction that saves the outcome of this
// call, whether the step is done or waits. It is dropped when the step fails.
// If it returns an error then the step has failed with that error.
func (c *Call[T]) Commit(effect Effect[T]) {
	c.effects = append(c.effects, effect)
}

// Within gives the step a time of its own, from its first start, in place of that
// of its definition. It counts once this call waits.
func (c *Call[T]) Within(d time.Duration) {
	c.until = c.Run.StepStarted.Add(d)
	if !c.Run.Deadline.IsZero() {
		c.until = earlier(c.until, c.Run.Deadline)
	}
}

// Take returns the payload of a signal that has arrived, and consumes it: for
// good when the step is done, waits, or fails by a *sprout.Failure. Any other
// error leaves the signal to the next attempt.
func (c *Call[T]) Take(signal string) (json.RawMessage, bool) {
	payload, ok := c.Run.Signals[signal]
	if ok {
		c.taken = append(c.taken, signal)
	}
	return payload, ok
}

// Expired tells that the step is called because its last WaitFor ran out and
// the signal has not come.
func (c *Call[T]) Expired() bool {
	signal := c.Run.WaitSignal
	_, arrived := c.Run.Signals[signal]
	return signal != "" && !arrived && c.Run.Wait != nil && !c.Now.Before(c.Run.Wait.Until)
}

// Detail sets the words that the step's record shows.
func (c *Call[T]) Detail(format string, args ...any) { c.detail = fmt.Sprintf(format, args...) }

// AgainAfter says that the step is not done: call it again after d, or
// as soon as any signal arrives. For is what it waits for, in words that follow
// "waiting for"; after a colon they may say how far that is, and change.
func AgainAfter(d time.Duration, waitsFor string) error { return &again{d, waitsFor} }

// WaitFor says that the step is not done before the named signal arrives. If
// none arrives within d the step is called again without it and decides.
func WaitFor(signal string, d time.Duration, waitsFor string) error {
	return &waitFor{signal, d, waitsFor}
}

// Slow is what Do of a quick step returns where, this time, it is to do what quick
// steps may not: reach out, or take long. What the call has done is forgotten, and
// Do is called again as that of other steps is, with a claim (Call.Claimed).
func Slow() error { return errSlow }

var errSlow = errors.New("a quick step is to be called with a claim")

// Claimed tells whether nobody else calls the step now.
func (c *Call[T]) Claimed() bool { return c.Run.Claim != nil }

// Park says that the run cannot go on before somebody acts (retry or cancel).
func Park(reason string) error { return &park{reason} }

type again struct {
	after    time.Duration
	waitsFor string
}

type waitFor struct {
	signal   string
	within   time.Duration
	waitsFor string
}

type park struct{ reason string }

// isWait tells whether err says "not yet" and is no failure.
func isWait(err error) bool {
	switch err.(type) { //nolint:errorlint // a wrapped wait is a mistake, and must not pass for one
	case *again, *waitFor, *park:
		return true
	}
	return false
}

func (e *again) Error() string   { return "not yet: waits for " + e.waitsFor }
func (e *waitFor) Error() string { return "not yet: waits for " + e.waitsFor }
func (e *park) Error() string    { return "parked: " + e.reason }
