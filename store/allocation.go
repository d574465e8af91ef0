package store

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
)

const (
	// mostQueued bounds how many allocations wait.
	mostQueued = 10_000
	// keepAllocations is how long those are kept that are over.
	keepAllocations = 90 * 24 * time.Hour
)

const allocationHas = `EXISTS (SELECT FROM allocation_machine h WHERE h.allocation = a.id AND h.left_at IS NULL)`

// allocationState is that of the row, but that nobody has to note that the last
// machine has left.
const allocationState = `CASE WHEN a.state = 'given' AND NOT ` + allocationHas + ` THEN 'over' ELSE a.state END`

const allocationSelect = `
	SELECT a.id, ` + allocationState + `, a.sites, a.owner, a.machines, a.spread, a.seconds, a.constraints, a.asked_by,
	       a.created_at, a.given_at, a.expires_at, a.ended_at, a.revision,
	       CASE WHEN a.state = 'queued' THEN (SELECT count(*) FROM allocation q WHERE q.state = 'queued' AND q.number <= a.number) ELSE 0 END,
	       a.number, (SELECT coalesce(jsonb_agg(jsonb_build_object('id', m.id, 'name', m.name, 'site', m.site, 'siteName', s.name, 'zone', m.zone,
	           'state', m.state, 'leftAt', h.left_at, 'generation', h.generation) ORDER BY m.name, m.id), '[]')
	        FROM allocation_machine h JOIN machine m ON m.site = h.site AND m.id = h.machine JOIN site s ON s.id = m.site WHERE h.allocation = a.id)
	FROM allocation a `

// A numbered allocation is one with its number in the order of asking.
type numbered struct {
	sprout.Allocation
	number int64
}

func scanAllocation(row pgx.CollectableRow) (n numbered, err error) {
	a := &n.Allocation
	var machines []struct {
		sprout.AllocatedMachine
		Generation int64
	}
	err = row.Scan(&a.ID, &a.State, &a.Sites, &a.Owner, &a.Count, &a.Spread, &a.Seconds, &a.Constraints, &a.AskedBy,
		&a.CreatedAt, &a.GivenAt, &a.ExpiresAt, &a.EndedAt, &a.Rev, &a.Place, &n.number, &machines)
	a.Machines = []sprout.AllocatedMachine{}
	for _, m := range machines {
		m.AllocatedMachine.Generation = m.Generation
		a.Machines = append(a.Machines, m.AllocatedMachine)
	}
	return n, err
}

func allocationsOf(list []numbered, err error) ([]sprout.Allocation, error) {
	var all []sprout.Allocation
	for _, n := range list {
		all = append(all, n.Allocation)
	}
	return all, err
}

// An AllocationFilter restricts a list of allocations; zero fields do not.
type AllocationFilter struct {
	Sites  sprout.Sites // only those that can be of no other
	Owner  string
	States []sprout.AllocationState
	Page
}

var allocationListing = listing[numbered]{"allocation", "-number", map[string]order[numbered]{
	"number": {[]key{number("a.number")}, func(n numbered) []string { return []string{strconv.FormatInt(n.number, 10)} }},
}}

// Allocations lists allocations, the newest first.
func (s *Store) Allocations(ctx context.Context, f AllocationFilter) ([]sprout.Allocation, string, error) {
	var q selection
	within(&q, f.Sites)
	equal(&q, "a.owner", f.Owner)
	if len(f.States) > 0 {
		q.where(allocationState+" = ANY (%s)", f.States)
	}
	list, next, err := page(allocationListing, f.Page, q, func(tail string, args ...any) ([]numbered, error) {
		return many(ctx, s.db, scanAllocation, allocationSelect+tail, args...)
	})
	all, err := allocationsOf(list, err)
	return all, next, err
}

func within(q *selection, sites sprout.Sites) {
	if !sites.Every() {
		q.where("a.sites <@ %s::text[]", sites)
	}
}

// FindAllocations returns allocations of the sites whose id begins as ref does: some
// of them, and more than one if there are several.
func (s *Store) FindAllocations(ctx context.Context, sites sprout.Sites, ref string) ([]sprout.Allocation, error) {
	var q selection
	within(&q, sites)
	q.where("a.id BETWEEN %s AND %s", ref, ref+strings.Repeat("z", len(idPattern)))
	return allocationsOf(many(ctx, s.db, scanAllocation, allocationSelect+"WHERE "+strings.Join(q.conditions, " AND ")+" ORDER BY a.id LIMIT 6", q.args...))
}

// Allocation returns one.
func (s *Store) Allocation(ctx context.Context, id sprout.AllocationID) (sprout.Allocation, error) {
	n, err := one(ctx, s.db, scanAllocation, allocationSelect+`WHERE a.id = $1`, id)
	return n.Allocation, orNotFound(err, "allocation", string(id))
}

// LockAllocation returns an allocation that nobody else changes until tx ends; with
// skip, NotFound if somebody does now.
func (s *Store) LockAllocation(ctx context.Context, tx pgx.Tx, id sprout.AllocationID, skip bool) (sprout.Allocation, error) {
	lock := `SELECT id FROM allocation WHERE id = $1 FOR UPDATE`
	if skip {
		lock += ` SKIP LOCKED`
	}
	if _, err := one(ctx, tx, pgx.RowTo[string], lock, id); err != nil {
		return sprout.Allocation{}, orNotFound(err, "allocation", string(id))
	}
	return s.In(tx).Allocation(ctx, id)
}

// AddAllocation keeps an allocation: in the queue, with an empty list of machines, or
// given with them. Conflict if too many wait.
func (s *Store) AddAllocation(ctx context.Context, tx pgx.Tx, a sprout.Allocation, given []sprout.Machine) error {
	waiting, err := one(ctx, tx, pgx.RowTo[int], `SELECT count(*) FROM allocation WHERE state = 'queued'`)
	if err != nil {
		return err
	}
	if waiting >= mostQueued && len(given) == 0 {
		return sprout.Errorf(sprout.Conflict, "cannot wait: %d allocations do already", waiting).WithRemedy("sprout allocation cancel ALLOCATION")
	}
	if _, err := exec(ctx, tx, `
		INSERT INTO allocation (id, state, sites, owner, machines, spread, seconds, constraints, asked_by)
		VALUES ($1, 'queued', $2, $3, $4, $5, $6, $7, $8)`, a.ID, a.Sites, a.Owner, a.Count, a.Spread, a.Seconds, a.Constraints, a.AskedBy); err != nil {
		return err
	}
	if err := s.touch(ctx, tx, allocationEvent(a, sprout.WasCreated, sprout.AllocationQueued)); err != nil || len(given) == 0 {
		return err
	}
	return s.FillAllocation(ctx, tx, a, given)
}

// FillAllocation notes that a queued allocation was given its machines. Conflict if
// it is no longer queued.
func (s *Store) FillAllocation(ctx context.Context, tx pgx.Tx, a sprout.Allocation, given []sprout.Machine) error {
	n, err := exec(ctx, tx, `
		UPDATE allocation SET state = 'given', given_at = now(), revision = nextval('revision'),
		       expires_at = CASE WHEN seconds > 0 THEN now() + make_interval(secs => seconds) END
		WHERE id = $1 AND state = 'queued'`, a.ID)
	if err != nil {
		return err
	}
	if n == 0 {
		return sprout.Errorf(sprout.Conflict, "cannot give machines to allocation %s: it no longer waits", a.ID)
	}
	var sites, ids []string
	var generations []int64
	for _, m := range given {
		sites, ids, generations = append(sites, string(m.Site)), append(ids, string(m.ID)), append(generations, m.Generation)
	}
	// A server of the version before does not note that a machine has left.
	if _, err := exec(ctx, tx, `UPDATE allocation_machine SET left_at = now() WHERE machine = ANY ($1) AND left_at IS NULL`, ids); err != nil {
		return err
	}
	if _, err := exec(ctx, tx, `
		INSERT INTO allocation_machine (allocation, site, machine, generation)
		SELECT $1, * FROM unnest($2::text[], $3::text[], $4::bigint[])`, a.ID, sites, ids, generations); err != nil {
		return err
	}
	return s.touch(ctx, tx, allocationEvent(a, sprout.WasChanged, sprout.AllocationGiven))
}

// EndAllocation notes that an allocation is cancelled or has expired.
func (s *Store) EndAllocation(ctx context.Context, tx pgx.Tx, a sprout.Allocation, state sprout.AllocationState) error {
	if _, err := exec(ctx, tx, `UPDATE allocation SET state = $2, ended_at = now(), revision = nextval('revision') WHERE id = $1`, a.ID, state); err != nil {
		return err
	}
	return s.touch(ctx, tx, allocationEvent(a, sprout.WasChanged, state))
}

// ExtendAllocation has a reservation end so long from now, or never.
func (s *Store) ExtendAllocation(ctx context.Context, tx pgx.Tx, a sprout.Allocation, seconds int64) error {
	if _, err := exec(ctx, tx, `
		UPDATE allocation SET seconds = $2::bigint, warned = false, revision = nextval('revision'),
		       expires_at = CASE WHEN $2::bigint > 0 AND state = 'given' THEN now() + make_interval(secs => $2::bigint) END
		WHERE id = $1`, a.ID, seconds); err != nil {
		return err
	}
	return s.touch(ctx, tx, allocationEvent(a, sprout.WasChanged, a.State))
}

// allocationEvent tells of an allocation. It is of a site where its machines can be
// of that only.
func allocationEvent(a sprout.Allocation, what sprout.Happening, state sprout.AllocationState) sprout.WatchEvent {
	return sprout.WatchEvent{What: what, Subject: string(a.ID), Site: a.Sites.Only(), Name: a.Owner, State: string(state)}
}

// leaveAllocation notes that a machine has left its owner.
func (s *Store) leaveAllocation(ctx context.Context, tx pgx.Tx, id sprout.MachineID) error {
	left, err := many(ctx, tx, func(row pgx.CollectableRow) (a sprout.Allocation, err error) {
		err = row.Scan(&a.ID, &a.Owner, &a.Sites)
		return a, err
	}, `
		WITH gone AS (UPDATE allocation_machine SET left_at = now() WHERE machine = $1 AND left_at IS NULL RETURNING allocation)
		SELECT id, owner, sites FROM allocation JOIN gone ON id = allocation`, id)
	for _, a := range left {
		if err := s.touch(ctx, tx, allocationEvent(a, sprout.WasChanged, "")); err != nil {
			return err
		}
	}
	return err
}
