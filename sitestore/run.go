package sitestore

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"sprout"
	"sprout/workflow"
)

var _ workflow.Store[*bbolt.Tx] = (*Store)(nil)

// Get returns a run; NotFound if there is none.
func (s *Store) Get(ctx context.Context, id string) (run workflow.Run, err error) {
	if err := ctx.Err(); err != nil {
		return run, err
	}
	err = s.db.View(func(tx *bbolt.Tx) error {
		var ok bool
		if run, ok, err = runOf(tx, id); err == nil && !ok {
			err = sprout.Errorf(sprout.NotFound, "cannot find run %s", id)
		}
		return err
	})
	return run, err
}

// Create keeps a new run; see workflow.Store.
func (s *Store) Create(ctx context.Context, run workflow.Run, effects ...workflow.Effect[*bbolt.Tx]) error {
	return s.Update(ctx, func(tx *bbolt.Tx) error {
		if _, exists, err := runOf(tx, run.ID); err != nil {
			return err
		} else if exists {
			return sprout.Errorf(sprout.Conflict, "cannot create run %s: it exists", run.ID)
		}
		run.Version = 1
		return s.putRun(ctx, tx, workflow.Run{}, run, effects)
	})
}

// Save replaces a run that nobody saved since it was read; see workflow.Store.
func (s *Store) Save(ctx context.Context, run workflow.Run, effects ...workflow.Effect[*bbolt.Tx]) error {
	return s.Update(ctx, func(tx *bbolt.Tx) error {
		stored, ok, err := runOf(tx, run.ID)
		switch {
		case err != nil:
			return err
		case !ok:
			return sprout.Errorf(sprout.NotFound, "cannot save run %s: there is none", run.ID)
		case stored.Version != run.Version:
			return sprout.Errorf(sprout.Conflict, "cannot save version %d of run %s: it is at %d", run.Version, run.ID, stored.Version)
		}
		next := run
		next.Version++
		return s.putRun(ctx, tx, stored, next, effects)
	})
}

// putRun writes a run, its place in the due index and in the list of live runs.
func (s *Store) putRun(ctx context.Context, tx *bbolt.Tx, old, run workflow.Run, effects []workflow.Effect[*bbolt.Tx]) error {
	due, live := tx.Bucket([]byte(dueBucket)), tx.Bucket([]byte(liveBucket))
	var errs []error
	if !old.NextAt.IsZero() {
		errs = append(errs, due.Delete(dueKey(old)))
	}
	if !run.NextAt.IsZero() {
		errs = append(errs, due.Put(dueKey(run), nil))
	}
	if key, ok := liveKey(run); !ok {
		errs = append(errs, nil)
	} else if run.State.Ended() {
		errs = append(errs, live.Delete(key))
	} else {
		errs = append(errs, live.Put(key, nil))
	}
	errs = append(errs, keepRun(tx, run))
	if err := errors.Join(errs...); err != nil {
		return err
	}
	nudge(tx, s.wake)
	for _, effect := range effects {
		if err := effect(ctx, tx); err != nil {
			return err
		}
	}
	return nil
}

// keepRun keeps a run while it goes on, and then no more than that it has ended
// and how: what it was given and did has been told as facts. What remains has
// pages of its own: those that it grew in would stay as large as it was.
func keepRun(tx *bbolt.Tx, run workflow.Run) error {
	if !run.State.Ended() {
		return errors.Join(runTable.put(tx, run.ID, run), endedTable.delete(tx, run.ID))
	}
	run.Input, run.Data, run.Signals, run.Steps = nil, nil, nil, nil
	return errors.Join(runTable.delete(tx, run.ID), endedTable.put(tx, run.ID, run))
}

// settleRuns moves the runs that ended while an older version kept them whole.
func settleRuns(tx *bbolt.Tx) error {
	var ended []workflow.Run
	err := runTable.each(tx, func(_ string, run workflow.Run) error {
		if run.State.Ended() {
			ended = append(ended, run)
		}
		return nil
	})
	for _, run := range ended {
		err = errors.Join(err, keepRun(tx, run))
	}
	return err
}

// runOf returns a run, whether it goes on or what remains of it.
func runOf(tx *bbolt.Tx, id string) (run workflow.Run, ok bool, err error) {
	if run, ok, err = runTable.get(tx, id); err != nil || ok {
		return run, ok, err
	}
	return endedTable.get(tx, id)
}

func dueKey(run workflow.Run) []byte {
	return []byte(number(uint64(run.NextAt.UnixNano())) + run.ID)
}

// liveKey is the run's place among those of its machine; false if its input
// names none.
func liveKey(run workflow.Run) ([]byte, bool) {
	var of struct {
		Machine sprout.MachineID `json:"machine"`
	}
	if err := json.Unmarshal(run.Input, &of); err != nil || of.Machine == "" {
		return nil, false
	}
	return []byte(string(of.Machine) + "\x00" + run.ID), true
}

// Due lists up to limit runs whose time has come, and when the next one's will
// (zero: none waits for a time).
func (s *Store) Due(now time.Time, limit int) (ids []string, next time.Time, err error) {
	until := uint64(now.UnixNano())
	err = s.db.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket([]byte(dueBucket)).Cursor()
		for k, _ := c.First(); k != nil; k, _ = c.Next() {
			if numberOf(k) > until {
				next = time.Unix(0, int64(numberOf(k)))
				return nil
			}
			if len(ids) == limit {
				next = now
				return nil
			}
			ids = append(ids, string(k[8:]))
		}
		return nil
	})
	return ids, next, err
}

// LiveRuns lists the ids of the machine's runs that have not ended, the oldest
// id first. Empty: of every machine.
func (s *Store) LiveRuns(machine sprout.MachineID) (ids []string, err error) {
	prefix := ""
	if machine != "" {
		prefix = string(machine) + "\x00"
	}
	err = s.db.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket([]byte(liveBucket)).Cursor()
		for k, _ := c.Seek([]byte(prefix)); k != nil && strings.HasPrefix(string(k), prefix); k, _ = c.Next() {
			_, id, _ := strings.Cut(string(k), "\x00")
			ids = append(ids, id)
		}
		return nil
	})
	return ids, err
}

// RaiseGeneration notes in tx that work of the generation has come for the
// machine. False: work of a newer one came before.
func (s *Store) RaiseGeneration(tx *bbolt.Tx, machine sprout.MachineID, generation int64) (bool, error) {
	b := tx.Bucket([]byte(machineRunBucket))
	if int64(numberOf(b.Get([]byte(machine)))) > generation {
		return false, nil
	}
	return true, b.Put([]byte(machine), []byte(number(uint64(generation))))
}

// DropRuns removes runs that ended before the time and returns how many; work
// of their generation is still refused.
func (s *Store) DropRuns(ctx context.Context, before time.Time) (dropped int, err error) {
	var old []string
	err = s.db.View(func(tx *bbolt.Tx) error {
		return endedTable.each(tx, func(id string, run workflow.Run) error {
			if run.EndedAt.Before(before) {
				old = append(old, id)
			}
			return nil
		})
	})
	if err != nil || len(old) == 0 {
		return 0, err
	}
	err = s.Update(ctx, func(tx *bbolt.Tx) error {
		for _, id := range old {
			if err := endedTable.delete(tx, id); err != nil {
				return err
			}
		}
		return nil
	})
	return len(old), err
}
