package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
)

// AnyQueued tells whether anybody waits for machines.
func (s *Store) AnyQueued(ctx context.Context) (bool, error) {
	return one(ctx, s.db, pgx.RowTo[bool], `SELECT EXISTS (SELECT FROM allocation WHERE state = 'queued')`)
}

// Queue returns the allocations that wait, the oldest first: at most limit.
func (s *Store) Queue(ctx context.Context, limit int) ([]sprout.Allocation, error) {
	return allocationsOf(many(ctx, s.db, scanAllocation, allocationSelect+`WHERE a.state = 'queued' ORDER BY a.number LIMIT $1`, limit))
}

// dueBack are allocations whose time is over, or that were cancelled, while machines
// of them are still only allocated.
const dueBack = `
	(a.state = 'given' AND a.expires_at <= now()
	 OR a.state = 'cancelled' AND EXISTS (
		SELECT FROM allocation_machine h JOIN machine m ON m.site = h.site AND m.id = h.machine
		WHERE h.allocation = a.id AND h.left_at IS NULL AND m.state = 'allocated'))`

// AllocationsDue returns allocations whose machines must go back: at most limit.
func (s *Store) AllocationsDue(ctx context.Context, limit int) ([]sprout.AllocationID, error) {
	return many(ctx, s.db, pgx.RowTo[sprout.AllocationID], `SELECT a.id FROM allocation a WHERE `+dueBack+` ORDER BY a.expires_at LIMIT $1`, limit)
}

// AllocationDue tells whether the machines of an allocation must go back.
func (s *Store) AllocationDue(ctx context.Context, tx pgx.Tx, id sprout.AllocationID) (bool, error) {
	return one(ctx, tx, pgx.RowTo[bool], `SELECT EXISTS (SELECT FROM allocation a WHERE a.id = $1 AND `+dueBack+`)`, id)
}

// warnBefore is how long before its end people are told of that of a reservation: a
// tenth of its time, an hour at most.
const warnBefore = `make_interval(secs => least(a.seconds / 10.0, 3600))`

// WarnExpiring tells of reservations that end soon, of each once.
func (s *Store) WarnExpiring(ctx context.Context) error {
	return s.Tx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		list, err := many(ctx, tx, func(row pgx.CollectableRow) (a sprout.Allocation, err error) {
			err = row.Scan(&a.ID, &a.Owner, &a.Sites)
			return a, err
		}, `
			UPDATE allocation a SET warned = true
			WHERE a.state = 'given' AND a.expires_at - `+warnBefore+` <= now() AND NOT a.warned AND `+allocationHas+`
			RETURNING a.id, a.owner, a.sites`)
		for _, a := range list {
			if err := s.touch(ctx, tx, allocationEvent(a, sprout.WasChanged, sprout.AllocationExpiring)); err != nil {
				return err
			}
		}
		return err
	})
}

// NextExpiry returns how long it is until somebody must be warned, or a reservation
// ends; at most most.
func (s *Store) NextExpiry(ctx context.Context, most time.Duration) (time.Duration, error) {
	seconds, err := one(ctx, s.db, pgx.RowTo[*float64], `
		SELECT extract(epoch FROM min(CASE WHEN a.warned THEN a.expires_at ELSE a.expires_at - `+warnBefore+` END) - now())::float8
		FROM allocation a WHERE a.state = 'given' AND a.expires_at > now() AND `+allocationHas)
	if err != nil || seconds == nil {
		return most, err
	}
	return min(most, max(0, time.Duration(*seconds*float64(time.Second)))), nil
}

// BeginReturn notes that a machine of an allocation is on its way back; false if it
// was noted within the last while.
func (s *Store) BeginReturn(ctx context.Context, tx pgx.Tx, id sprout.AllocationID, machine sprout.MachineID, while time.Duration) (bool, error) {
	_, err := one(ctx, tx, pgx.RowTo[string], `
		UPDATE allocation_machine SET returned_at = now()
		WHERE allocation = $1 AND machine = $2 AND (returned_at IS NULL OR returned_at < now() - $3::interval) RETURNING machine`, id, machine, while)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// ForgetAllocations removes up to limit allocations that are over for long.
func (s *Store) ForgetAllocations(ctx context.Context, limit int) error {
	_, err := exec(ctx, s.db, `
		DELETE FROM allocation WHERE id IN (
			SELECT a.id FROM allocation a WHERE a.state IN ('given', 'expired', 'cancelled') AND coalesce(a.ended_at, a.given_at) < now() - $1::interval
			  AND NOT `+allocationHas+` LIMIT $2 FOR UPDATE SKIP LOCKED)`, keepAllocations, limit)
	return err
}

// Alone runs do unless somebody does what has this name already, at any replica; it
// returns whether it did. What do does is in no transaction of this.
func (s *Store) Alone(ctx context.Context, name string, do func(ctx context.Context) error) (did bool, err error) {
	err = s.Tx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if did, err = one(ctx, tx, pgx.RowTo[bool], `SELECT pg_try_advisory_xact_lock(hashtextextended($1, 11))`, name); err != nil || !did {
			return err
		}
		return do(ctx)
	})
	return did, err
}
