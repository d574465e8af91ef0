package sitestore

import (
	"time"

	"go.etcd.io/bbolt"

	"sprout"
)

// Rest has the ramdisk of an attempt wait: the machine boots its disk from now on,
// and of the attempt's tokens only the ramdisk's stays good, as long as it waits.
func (s *Store) Rest(tx *bbolt.Tx, machine sprout.MachineID, rest sprout.Rest) error {
	a, ok, err := attemptTable.get(tx, string(rest.Attempt))
	if err != nil || !ok {
		return orGone(err, rest.Attempt)
	}
	kept, err := prolong(tx, a, rest.Until)
	if err != nil {
		return err
	}
	a.Tokens, a.ExpiresAt, a.Rest = kept, rest.Until, &rest
	if err := attemptTable.put(tx, string(a.ID), a); err != nil {
		return err
	}
	return intentTable.delete(tx, string(machine))
}

// Resting returns the attempt whose ramdisk waits on the machine; false: none does,
// or it has switched itself off by now.
func (s *Store) Resting(machine sprout.MachineID) (rest sprout.Rest, ok bool, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		for _, id := range attemptsOf(tx, string(machine)) {
			a, _, err := attemptTable.get(tx, id)
			if err != nil {
				return err
			}
			if a.Rest != nil && s.now().Before(a.Rest.Until) {
				rest, ok = *a.Rest, true
			}
		}
		return nil
	})
	return rest, ok, err
}

// takeUp returns the tokens of the ramdisk that waits in the very attempt that is to
// go on: they are good as long as it. Nil: none does.
func takeUp(tx *bbolt.Tx, a Attempt) ([][]byte, error) {
	resting, ok, err := attemptTable.get(tx, string(a.ID))
	if err != nil || !ok || resting.Rest == nil {
		return nil, err
	}
	return prolong(tx, resting, a.ExpiresAt)
}

// prolong ends the tokens of an attempt, but makes those of its ramdisk good until a
// time, and returns them.
func prolong(tx *bbolt.Tx, a Attempt, until time.Time) (kept [][]byte, err error) {
	for _, key := range a.Tokens {
		t, ok, err := tokenTable.get(tx, string(key))
		switch {
		case err != nil:
			return nil, err
		case !ok:
		case t.Use == RamdiskUse:
			t.ExpiresAt = until
			err = tokenTable.put(tx, string(key), t)
			kept = append(kept, key)
		default:
			err = tokenTable.delete(tx, string(key))
		}
		if err != nil {
			return nil, err
		}
	}
	return kept, nil
}

func orGone(err error, attempt sprout.AttemptID) error {
	if err != nil {
		return err
	}
	return sprout.Errorf(sprout.NotFound, "cannot find boot attempt %s: it is over", attempt)
}
