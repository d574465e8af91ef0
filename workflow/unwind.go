package workflow

import (
	"fmt"
	"slices"
	"time"

	"sprout"
)

// unwind turns the run back. The step that it is at is undone first, if it was
// ever begun.
func (e *Engine[T]) unwind(run *Run, failure *sprout.Failure, now time.Time) {
	e.closeRecord(run, "failed", failure.Reason, now)
	wasBegun := begun(*run)
	run.State, run.Failure = sprout.Unwinding, failure
	run.rest(now)
	if !wasBegun {
		e.previous(run)
	}
}

// rest forgets what the run waited for and how far its step was: it is due now.
func (r *Run) rest(now time.Time) {
	r.Wait, r.WaitSignal, r.NextAt, r.Unknown = nil, "", now, false
	r.Attempt, r.StepStarted, r.StepDeadline = 1, time.Time{}, time.Time{}
}

// undone notes that the step is undone, and goes to the one before it.
func (e *Engine[T]) undone(run *Run, outcome, detail string, now time.Time) {
	if e.record(run) == nil {
		e.addRecord(run, "running", "", now)
	}
	e.closeRecord(run, outcome, detail, now)
	run.rest(now)
	e.previous(run)
}

// undoFailed has the Undo tried again after a backoff, or gives it up.
func (e *Engine[T]) undoFailed(run *Run, err error, now time.Time) {
	if run.Attempt >= UndoAttempts {
		e.giveUp(run, "undo failed: "+err.Error(), now)
		return
	}
	e.closeRecord(run, "failed", "undo failed: "+err.Error(), now)
	next, attempt := now.Add(backoff(run.Attempt)), run.Attempt+1
	run.rest(now)
	run.Attempt, run.NextAt = attempt, next
	run.Wait = &sprout.Wait{
		For:   fmt.Sprintf("attempt %d of %d to undo %s, as the last one failed: %v", attempt, UndoAttempts, run.StepName, err),
		Since: now, Until: next,
	}
}

// giveUp leaves the step as it is, says so in the failure, and goes on with the
// one before it.
func (e *Engine[T]) giveUp(run *Run, why string, now time.Time) {
	run.addEvidence(run.StepName + ": " + why)
	e.undone(run, "failed", why, now)
}

func (r *Run) addEvidence(line string) {
	if r.Failure == nil {
		r.Failure = sprout.Fail(sprout.InternalFailure, line, "")
		return
	}
	if r.Failure.Evidence != "" {
		r.Failure.Evidence += "\n"
	}
	r.Failure.Evidence += line
}

// previous goes to the step to undo next: the last one done and not yet undone,
// by the record and not by the definition, which may have changed. StepName is
// empty when there is none.
func (e *Engine[T]) previous(run *Run) {
	def, known := e.defs[run.Kind]
	passed := map[string]bool{run.StepName: true}
	run.Step, run.StepName = run.Step-1, ""
	for _, r := range slices.Backward(run.Steps) {
		if known && r.At != def.At || passed[r.Name] {
			continue
		}
		if r.Outcome == "done" {
			run.StepName = r.Name
			return
		}
		passed[r.Name] = true
	}
}

// endIfUnwound ends an unwinding run that has nothing left to undo.
func endIfUnwound(run *Run, now time.Time) {
	if run.State != sprout.Unwinding || run.StepName != "" {
		return
	}
	run.State = sprout.FailedRun
	if run.Failure != nil && run.Failure.Code == sprout.CancelledByUser {
		run.State = sprout.Cancelled
	}
	run.Wait, run.NextAt, run.EndedAt, run.Unknown = nil, time.Time{}, now, false
	if run.Failure != nil {
		run.StepName = run.Failure.Step
	}
}

// endLater puts off the end of a run, as OnEnd refused it.
func endLater(run *Run, err error, now time.Time) {
	run.State, run.StepName, run.EndedAt = sprout.Unwinding, "", time.Time{}
	run.NextAt = now.Add(backoff(run.Attempt))
	run.Attempt++
	wait := sprout.Wait{For: "its end to be accepted: " + err.Error(), Since: now, Until: run.NextAt}
	run.Wait = &wait
}

// parkUnknown stops a run at a step that this version does not know.
func (e *Engine[T]) parkUnknown(run *Run, now time.Time) {
	reason := fmt.Sprintf("this version has no step %s at place %d of workflow %s", run.StepName, run.Step, run.Kind)
	if run.State == sprout.Running {
		run.Failure = sprout.Fail(sprout.UnknownStep, reason, "")
		run.Failure.Step = run.StepName
	} else {
		run.addEvidence(string(sprout.UnknownStep) + ": " + reason)
	}
	run.Wait = &sprout.Wait{For: "a version that knows its step, or a cancel: " + reason, Since: now}
	run.WaitSignal, run.NextAt, run.Unknown = "", time.Time{}, true
}

func cancelled(run Run) *sprout.Failure {
	failure := sprout.Fail(sprout.CancelledByUser, "cancelled by "+run.CancelBy, "")
	failure.Step = run.StepName
	if run.Failure != nil {
		failure.Evidence = run.Failure.Error()
	}
	return failure
}

// record is the open record of the run's step, or nil.
func (e *Engine[T]) record(run *Run) *sprout.StepRecord {
	def, known := e.defs[run.Kind]
	for i := range slices.Backward(run.Steps) {
		r := &run.Steps[i]
		if r.Name == run.StepName && r.Outcome == "running" && (!known || r.At == def.At) {
			return r
		}
	}
	return nil
}

func (e *Engine[T]) addRecord(run *Run, outcome, detail string, now time.Time) {
	run.Steps = append(run.Steps, sprout.StepRecord{
		Name: run.StepName, At: e.defs[run.Kind].At, Attempt: run.Attempt, Outcome: outcome, Detail: detail, StartedAt: now,
	})
}

// closeRecord ends the open record of the run's step, if there is one. An empty
// detail leaves what it says.
func (e *Engine[T]) closeRecord(run *Run, outcome, detail string, now time.Time) {
	open := e.record(run)
	if open == nil {
		return
	}
	open.Outcome, open.EndedAt = outcome, new(now)
	if detail != "" {
		open.Detail = detail
	}
}
