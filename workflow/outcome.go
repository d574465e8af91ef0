package workflow

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"sprout"
)

// outcome is the run as it shall be after a call of Do or Undo returned err, and
// the effects that go with it.
func (e *Engine[T]) outcome(run Run, step Step[T], call *Call[T], err error, now time.Time) (Run, []Effect[T]) {
	after := run.clone()
	after.Claim, after.Data = nil, call.data
	late := call.late || !now.Before(run.StepDeadline)
	undoing := run.State == sprout.Unwinding
	switch {
	case !undoing && run.CancelBy != "":
		e.unwind(&after, cancelled(run), now)
		return after, nil
	case err != nil && isWait(err) && !late:
		consume(&after, call)
		if !call.until.IsZero() {
			after.StepDeadline = call.until
		}
		e.wait(&after, call.Run.Signals, call.detail, err, now)
		return after, call.effects
	case err == nil && undoing:
		consume(&after, call)
		e.undone(&after, "undone", call.detail, now)
		endIfUnwound(&after, now)
		return after, call.effects
	case err == nil:
		consume(&after, call)
		e.done(&after, call.detail, now)
		return after, call.effects
	}
	var said *sprout.Failure
	if errors.As(err, &said) {
		consume(&after, call)
	}
	if undoing {
		e.undoFailed(&after, err, now)
		endIfUnwound(&after, now)
	} else {
		e.failed(&after, step, failureOf(run, err, late), late, now)
	}
	return after, nil
}

// consume removes the signals that the call took, but not one of the same name
// that came since.
func consume[T any](run *Run, call *Call[T]) {
	for _, name := range call.taken {
		if bytes.Equal(run.Signals[name], call.Run.Signals[name]) {
			delete(run.Signals, name)
		}
	}
}

// done moves the run to its next step, or to its end.
func (e *Engine[T]) done(run *Run, detail string, now time.Time) {
	e.closeRecord(run, "done", detail, now)
	run.Wait, run.WaitSignal, run.NextAt = nil, "", now
	run.StepStarted, run.StepDeadline = time.Time{}, time.Time{}
	steps := e.defs[run.Kind].Steps
	if run.Step == len(steps)-1 {
		run.State, run.NextAt, run.EndedAt = sprout.Succeeded, time.Time{}, now
		return
	}
	run.Step++
	run.StepName, run.Attempt = steps[run.Step].Name, 1
}

// wait notes what the step waits for and when it is to be called again. seen
// are the signals that the call knew.
func (e *Engine[T]) wait(run *Run, seen map[string]json.RawMessage, detail string, err error, now time.Time) {
	wait := sprout.Wait{Since: now}
	run.WaitSignal = ""
	switch w := err.(type) { //nolint:errorlint // isWait has looked at it
	case *again:
		wait.For, wait.Until = w.waitsFor, run.StepDeadline
		run.NextAt = earlier(now.Add(max(w.after, 0)), run.StepDeadline)
		for name, payload := range run.Signals {
			if !bytes.Equal(seen[name], payload) {
				run.NextAt = now
			}
		}
	case *waitFor:
		run.WaitSignal = w.signal
		run.NextAt = earlier(now.Add(max(w.within, 0)), run.StepDeadline)
		wait.For, wait.Until = w.waitsFor, run.NextAt
		if _, arrived := run.Signals[w.signal]; arrived {
			run.NextAt = now
		}
	case *park:
		wait.For, run.NextAt = w.reason, time.Time{}
	}
	if run.Wait != nil && subject(run.Wait.For) == subject(wait.For) {
		wait.Since = run.Wait.Since
	}
	run.Wait = &wait
	if open := e.record(run); open != nil && detail != "" {
		open.Detail = detail
	}
}

// subject is what is waited for, without how far that is.
func subject(waitsFor string) string {
	subject, _, _ := strings.Cut(waitsFor, ": ")
	return subject
}

// failed has the step tried again after a backoff, or the run unwound.
func (e *Engine[T]) failed(run *Run, step Step[T], failure *sprout.Failure, late bool, now time.Time) {
	next := now.Add(backoff(run.Attempt))
	if late || run.Attempt >= max(step.Attempts, 1) || !next.Before(run.StepDeadline) {
		e.unwind(run, failure, now)
		return
	}
	e.closeRecord(run, "failed", failure.Reason, now)
	run.Attempt++
	run.Wait = &sprout.Wait{
		For:   fmt.Sprintf("attempt %d of %d, as the last one failed: %s", run.Attempt, step.Attempts, failure.Reason),
		Since: now, Until: next,
	}
	run.WaitSignal, run.NextAt = "", next
}

// failureOf is the failure that err stands for. When the step's time is over,
// that is the failure, unless the step itself said better.
func failureOf(run Run, err error, late bool) *sprout.Failure {
	var said *sprout.Failure
	switch {
	case errors.As(err, &said):
		said = new(*said)
	case late:
		said = timeout(run)
		if !isWait(err) {
			said.Evidence = err.Error()
		}
	default:
		said = sprout.Fail(sprout.InternalFailure, err.Error(), "")
		var remedied *sprout.Error
		if errors.As(err, &remedied) {
			said.Remedy = remedied.Remedy
		}
	}
	if said.Step == "" { // else it says itself where it failed: delegated work does
		said.Step = run.StepName
	}
	return said
}

// overdue is the failure of a running run whose time, or whose step's time, is
// over; else nil.
func overdue(run Run, now time.Time) *sprout.Failure {
	if !run.Deadline.IsZero() && !now.Before(run.Deadline) || begun(run) && !now.Before(run.StepDeadline) {
		return timeout(run)
	}
	return nil
}

func timeout(run Run) *sprout.Failure {
	doing := "it was never begun"
	switch {
	case run.Wait != nil:
		doing = fmt.Sprintf("it waited for %s since %s", run.Wait.For, run.Wait.Since.Format(time.RFC3339))
	case begun(run):
		doing = fmt.Sprintf("it was at work since %s", run.StepStarted.Format(time.RFC3339))
	}
	limit := fmt.Sprintf("within %s", run.StepDeadline.Sub(run.StepStarted))
	if !run.Deadline.IsZero() && (!begun(run) || !run.Deadline.After(run.StepDeadline)) {
		limit = "by the workflow's deadline " + run.Deadline.Format(time.RFC3339)
	}
	failure := sprout.Fail(sprout.StepTimeout, fmt.Sprintf("cannot finish step %s %s: %s", run.StepName, limit, doing), "")
	failure.Step = run.StepName
	return failure
}

// begun tells whether the step's Do, or in an unwinding run its Undo, was ever
// called.
func begun(run Run) bool { return !run.StepStarted.IsZero() }

// backoff is the wait after the nth attempt: 1 s, 2 s, 4 s, … MaxBackoff.
func backoff(attempt int) time.Duration {
	return min(time.Second<<min(max(attempt-1, 0), 10), MaxBackoff)
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
