package server

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/api"
	"sprout/audit"
	"sprout/provision"
	"sprout/store"
)

// returnAgain is after how long a release that failed is tried again.
const returnAgain = time.Hour

// endReservations has machines go back of reservations whose time is over, tells of
// those that are about to, and returns when to look again.
func (s *Server) endReservations(ctx context.Context) (time.Duration, error) {
	if err := s.store.WarnExpiring(ctx); err != nil {
		return queueEvery, err
	}
	due, err := s.store.AllocationsDue(ctx, 1000)
	if err != nil {
		return queueEvery, err
	}
	for _, id := range due {
		if err := s.bringBack(ctx, id); err != nil && ctx.Err() == nil {
			s.log.Warn("cannot take back the machines of an allocation; trying again", "allocation", id, "error", err)
		}
	}
	return s.store.NextExpiry(ctx, queueEvery)
}

// bringBack has those machines of an allocation that is over go back which are still
// only allocated. One that nothing was done with is ready at once; another is
// released by a workflow. What is locked, protected or being worked on stays until it
// is not. It may be repeated, and another replica may do it at the same time.
func (s *Server) bringBack(ctx context.Context, id sprout.AllocationID) error {
	var used []sprout.Machine
	err := s.store.Tx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		used = nil
		a, err := s.store.LockAllocation(ctx, tx, id, true)
		if sprout.KindOf(err) == sprout.NotFound {
			return nil // another replica does it
		}
		if err != nil {
			return err
		}
		if due, err := s.store.AllocationDue(ctx, tx, id); err != nil || !due {
			return err // it was extended
		}
		left := 0
		for _, was := range a.Machines {
			if was.LeftAt != nil {
				continue
			}
			m, err := s.store.LockMachine(ctx, tx, was.ID)
			if sprout.KindOf(err) == sprout.NotFound || err == nil && (m.State != sprout.Allocated || m.Owner != a.Owner) {
				continue // it is deployed, and stays
			}
			if err != nil {
				return err
			}
			switch {
			case mayRelease(api.Releasing{})(m) != nil || m.Activity != nil:
				left++
			case m.Generation == was.Generation && len(m.Addresses) == 0:
				if err := s.putBack(ctx, tx, a, m); err != nil {
					return err
				}
			default:
				left++
				now, err := s.store.BeginReturn(ctx, tx, a.ID, m.ID, returnAgain)
				if err != nil {
					return err
				}
				if now {
					used = append(used, m)
				}
			}
		}
		if left > 0 || a.State == sprout.AllocationCancelled {
			return nil
		}
		if err := s.store.EndAllocation(ctx, tx, a, sprout.AllocationExpired); err != nil {
			return err
		}
		r := s.ownRecord(ctx, "allocation expire")
		about(&r, a.Sites.Only(), a.ID, a.Owner)
		return s.store.Audit(ctx, tx, r)
	})
	if err != nil {
		return err
	}
	for _, m := range used {
		if _, err := s.start(ctx, api.MachineRelease.Name, provision.Release, m, provision.ReleaseInput{Machine: m.ID}, s.locked(m.ID, mayBringBack)); err != nil {
			return fmt.Errorf("cannot release machine %s: %w", m.Name, err)
		}
	}
	return nil
}

// mayBringBack is mayRelease of a machine that is not deployed meanwhile.
func mayBringBack(m sprout.Machine) error {
	if m.State != sprout.Allocated {
		return sprout.Errorf(sprout.Conflict, "cannot take machine %s back: it is %s", m.Name, m.State)
	}
	return mayRelease(api.Releasing{})(m)
}

// putBack has a machine that nothing was done with be ready again: its site knows
// nothing of it that a release would have to undo.
func (s *Server) putBack(ctx context.Context, tx pgx.Tx, a sprout.Allocation, m sprout.Machine) error {
	if _, err := s.store.MoveMachine(ctx, tx, m.ID, sprout.Released, actor(ctx), fmt.Sprintf("allocation %s is over", a.ID)); err != nil {
		return err
	}
	if err := s.store.UpdateMachine(ctx, tx, m.ID, store.MachineChange{Owner: new(""), Image: &sprout.Image{}}); err != nil {
		return err
	}
	r := s.ownRecord(ctx, "machine released")
	about(&r, m.Site, m.ID, m.Name)
	r.Detail = "of allocation " + string(a.ID)
	r.Changes = audit.Diff(moved{m.State, m.Owner}, moved{sprout.Ready, ""})
	return s.store.Audit(ctx, tx, r)
}

// ownRecord is record, also where nobody asks but Sprout itself.
func (s *Server) ownRecord(ctx context.Context, action string) sprout.AuditRecord {
	r := s.record(ctx, action)
	if bearer(ctx).ID == "" {
		r.Kind = sprout.AuditSystem
	}
	return r
}
