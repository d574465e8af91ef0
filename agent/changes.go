package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"sprout"
	"sprout/provision"
	"sprout/sitestore"
	"sprout/workflow"
)

// takeChanges applies what the centre sends. A gap is not an error of the
// agent's: the change comes again, and heartbeats say how far the site is.
func (s *site) takeChanges(ctx context.Context) error {
	return s.bus.Changes(ctx, s.apply)
}

// apply takes changes in, each together with its number: once, whatever happens.
// Those that are only kept and lie side by side share a transaction.
func (s *site) apply(ctx context.Context, changes []sprout.Change) (taken int, err error) {
	for taken < len(changes) {
		more := slices.IndexFunc(changes[taken:], isOrder)
		if more < 0 {
			more = len(changes) - taken
		}
		switch c := changes[taken]; {
		case more > 0:
			err = s.store.Apply(ctx, changes[taken:taken+more]...)
			s.sayRefused()
		case c.Kind == sprout.ChangeWork:
			more, err = 1, s.applyOnce(ctx, c, s.startWork)
		default:
			more, err = 1, s.applyOnce(ctx, c, s.cancelWork)
		}
		if err != nil {
			return taken, err
		}
		taken += more
	}
	return taken, nil
}

// isOrder tells a change that makes the site do something from one that it keeps.
func isOrder(c sprout.Change) bool {
	return c.Kind == sprout.ChangeWork || c.Kind == sprout.ChangeCancel
}

// errApplied ends a transaction whose change was applied before.
var errApplied = errors.New("the change is applied already")

// errOlder ends the transaction of work that newer work has overtaken.
var errOlder = errors.New("the machine has newer work")

// applyOnce gives take an effect that marks the change as applied. Where take's
// refusal is final the mark is made alone.
func (s *site) applyOnce(ctx context.Context, c sprout.Change, take func(context.Context, sprout.Change, workflow.Effect[*bbolt.Tx]) error) error {
	mark := func(_ context.Context, tx *bbolt.Tx) error {
		fresh, err := s.store.MarkApplied(tx, c.Seq)
		if err == nil && !fresh {
			err = errApplied
		}
		return err
	}
	err := take(ctx, c, mark)
	switch {
	case err == nil || errors.Is(err, errApplied):
		return nil
	case errors.Is(err, sitestore.ErrGap):
		return err
	}
	switch sprout.KindOf(err) {
	case sprout.Conflict, sprout.NotFound: // it is there, or over: nothing is left to do
		s.log.Info("change needs nothing done", "seq", c.Seq, "kind", c.Kind, "key", c.Key, "why", err)
	case sprout.Invalid:
		s.log.Error("change cannot be used", "seq", c.Seq, "kind", c.Kind, "key", c.Key, "error", err)
	case sprout.Denied, sprout.Unavailable, sprout.Internal:
		return err
	}
	err = s.store.Update(ctx, func(tx *bbolt.Tx) error { return mark(ctx, tx) })
	if errors.Is(err, errApplied) {
		return nil
	}
	return err
}

// startWork starts a run with the work's id. Work that is too late, or that
// newer work overtook, is refused by a fact.
func (s *site) startWork(ctx context.Context, c sprout.Change, mark workflow.Effect[*bbolt.Tx]) error {
	if c.Deleted {
		return sprout.Errorf(sprout.NotFound, "cannot start work %s: it was taken back", c.Key)
	}
	var work sprout.Work
	if err := json.Unmarshal(c.Body, &work); err != nil {
		return sprout.Errorf(sprout.Invalid, "cannot read work %s: %w", c.Key, err)
	}
	if !work.Deadline.IsZero() && s.clock.Now().After(work.Deadline) {
		return s.refuse(ctx, work, mark, sprout.Fail(sprout.StepTimeout, "the work reached the site after its deadline", "deadline "+work.Deadline.Format(time.RFC3339)))
	}
	fence := func(_ context.Context, tx *bbolt.Tx) error {
		newest, err := s.store.RaiseGeneration(tx, work.Machine, work.Generation)
		if err == nil && !newest {
			err = errOlder
		}
		return err
	}
	_, err := s.engine.Start(ctx, work.ID, work.Kind, provision.SiteInput{Machine: work.Machine, Work: work},
		workflow.StartOptions{Deadline: work.Deadline}, mark, fence)
	switch {
	case errors.Is(err, errOlder):
		return s.refuse(ctx, work, mark, sprout.Fail(sprout.CancelledByUser, "newer work for this machine has reached the site", fmt.Sprintf("generation %d", work.Generation)))
	case sprout.KindOf(err) == sprout.Invalid:
		return s.refuse(ctx, work, mark, sprout.Fail(sprout.UnknownStep, "the site's agent does not know work of kind "+work.Kind, "agent version "+sprout.Version))
	}
	return err
}

// refuse reports that the work ended before it began.
func (s *site) refuse(ctx context.Context, work sprout.Work, mark workflow.Effect[*bbolt.Tx], why *sprout.Failure) error {
	fact, err := sitestore.NewFact(sprout.FactWorkEnded, sprout.WorkResult{State: sprout.FailedRun, Failure: why})
	if err != nil {
		return err
	}
	fact.Work, fact.Machine = work.ID, work.Machine
	s.log.Warn("work refused", "work", work.ID, "machine", work.Machine, "why", why)
	return s.store.Update(ctx, func(tx *bbolt.Tx) error {
		if err := mark(ctx, tx); err != nil {
			return err
		}
		return s.store.AppendFact(tx, fact)
	})
}

func (s *site) cancelWork(ctx context.Context, c sprout.Change, mark workflow.Effect[*bbolt.Tx]) error {
	return s.engine.Cancel(ctx, c.Key, "the control plane", mark)
}
