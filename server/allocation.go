package server

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/api"
	"sprout/audit"
	"sprout/store"
)

// longestReservation is how long machines may be reserved: who wants more wants no end.
const longestReservation = 10 * 365 * 24 * time.Hour

// longestDetail is how many bytes of an audit record name the machines of an
// allocation: each has a record of its own.
const longestDetail = 1000

func (s *Server) allocationCreate(ctx context.Context, in *api.CreateAllocation) (out api.AllocationReport, err error) {
	a, err := asksFor(ctx, in)
	if err != nil {
		return out, err
	}
	o, err := s.orderOf(ctx, a)
	if err != nil {
		return out, err
	}
	a.Sites = o.sites
	wait := in.Body.Queue
	if wait {
		if wait, err = s.store.AnyQueued(ctx); err != nil {
			return out, err
		}
	}
	if !wait { // nobody was here before
		o.record = s.record(ctx, api.AllocationCreate.Name)
		err = s.desk.fill(ctx, o, func(ctx context.Context, tx pgx.Tx, given []sprout.Machine) error {
			if err := s.store.AddAllocation(ctx, tx, a, given); err != nil {
				return err
			}
			return s.store.Audit(ctx, tx, allocationRecord(o.record, a, given))
		})
		if err == nil {
			return s.reportAllocation(ctx, a.ID)
		}
		if !in.Body.Queue || sprout.KindOf(err) != sprout.Conflict {
			return out, err
		}
	}
	if err := s.enqueue(ctx, a); err != nil {
		return out, err
	}
	return s.reportAllocation(ctx, a.ID)
}

// asksFor reads what is asked for.
func asksFor(ctx context.Context, in *api.CreateAllocation) (a sprout.Allocation, err error) {
	b := in.Body
	a = sprout.Allocation{
		ID: sprout.NewID[sprout.AllocationID](sprout.PrefixAllocation), Owner: cmp.Or(b.Owner, actor(ctx)), Count: max(b.Count, 1),
		Spread: b.Spread, Seconds: b.For, AskedBy: actor(ctx),
	}
	if err := checkOwner(a.Owner); err != nil {
		return a, err
	}
	if err := checkReservation(b.For); err != nil {
		return a, err
	}
	a.Constraints, err = json.Marshal(b.Constraints)
	return a, err
}

func checkReservation(seconds int64) error {
	if most := int64(longestReservation / time.Second); seconds < 0 || seconds > most {
		return sprout.InvalidField("for", "%d s is not from 0 to %d", seconds, most)
	}
	return nil
}

// orderOf makes an order of an allocation, as its constraints read now and who asks
// may see.
func (s *Server) orderOf(ctx context.Context, a sprout.Allocation) (o order, err error) {
	var c api.Constraints
	if err := json.Unmarshal(a.Constraints, &c); err != nil {
		return o, fmt.Errorf("cannot read the constraints of allocation %s: %w", a.ID, err)
	}
	o = order{count: a.Count, spread: a.Spread == "zone", owner: a.Owner}
	o.sites, o.want, err = s.wanted(ctx, c)
	return o, err
}

// allocationRecord is the audit record of an allocation that was given, or waits.
func allocationRecord(r sprout.AuditRecord, a sprout.Allocation, given []sprout.Machine) sprout.AuditRecord {
	about(&r, a.Sites.Only(), a.ID, a.Owner)
	var names []string
	for _, m := range given {
		names = append(names, m.Name)
	}
	if r.Detail = fmt.Sprintf("%d machines to %s: %s", a.Count, a.Owner, strings.Join(names, ", ")); len(given) == 0 {
		r.Detail = fmt.Sprintf("%d machines to %s: waits", a.Count, a.Owner)
	}
	if len(r.Detail) > longestDetail {
		r.Detail = r.Detail[:longestDetail] + "…"
	}
	r.Changes = audit.Diff(nil, struct {
		sprout.Allocation
		Constraints json.RawMessage `json:"constraints"`
	}{a, a.Constraints})
	return r
}

// enqueue has an allocation wait.
func (s *Server) enqueue(ctx context.Context, a sprout.Allocation) error {
	err := s.store.Tx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if err := s.store.AddAllocation(ctx, tx, a, nil); err != nil {
			return err
		}
		return s.store.Audit(ctx, tx, allocationRecord(s.record(ctx, api.AllocationCreate.Name), a, nil))
	})
	if err != nil {
		return err
	}
	return s.wakeQueue(ctx)
}

// wakeQueue has the queue looked at once what was changed has committed.
func (s *Server) wakeQueue(ctx context.Context) error {
	return s.store.After(ctx, func(context.Context) error {
		s.queue.news()
		return nil
	})
}

func (s *Server) allocationList(ctx context.Context, in *api.ListAllocations) (api.Page[sprout.Allocation], error) {
	return paged(s.store.Allocations(ctx, store.AllocationFilter{Sites: scope(ctx), Owner: in.Owner, States: in.State, Page: page(in.Paging)}))
}

func (s *Server) allocationShow(ctx context.Context, in *api.AllocationRef) (api.AllocationReport, error) {
	a, err := s.findAllocation(ctx, in.Allocation)
	if err != nil {
		return api.AllocationReport{}, err
	}
	return s.reportOf(ctx, a)
}

func (s *Server) findAllocation(ctx context.Context, ref string) (a sprout.Allocation, err error) {
	defer func() { seen(ctx, err, a.Sites.Only(), a.ID, a.Owner) }()
	found, err := s.store.FindAllocations(ctx, scope(ctx), ref)
	if err != nil {
		return a, err
	}
	return match("allocation", ref, found, func(a sprout.Allocation) []string { return []string{string(a.ID)} })
}

func (s *Server) reportAllocation(ctx context.Context, id sprout.AllocationID) (api.AllocationReport, error) {
	a, err := s.store.Allocation(ctx, id)
	if err != nil {
		return api.AllocationReport{}, err
	}
	return s.reportOf(ctx, a)
}

// reportOf is an allocation with what was asked for, and why it waits.
func (s *Server) reportOf(ctx context.Context, a sprout.Allocation) (r api.AllocationReport, err error) {
	r.Allocation = a
	if err := json.Unmarshal(a.Constraints, &r.Constraints); err != nil || a.State != sprout.AllocationQueued {
		return r, err
	}
	w, err := s.whyWaiting(ctx, a)
	r.Wait = &w
	return r, err
}

func (s *Server) allocationExtend(ctx context.Context, in *api.ExtendAllocation) (out api.AllocationReport, err error) {
	if err := checkReservation(in.Body.For); err != nil {
		return out, err
	}
	a, err := s.findAllocation(ctx, in.Allocation)
	if err != nil {
		return out, err
	}
	err = s.change(ctx, api.AllocationExtend.Name, func(ctx context.Context, tx pgx.Tx, r *sprout.AuditRecord) error {
		before, err := s.store.LockAllocation(ctx, tx, a.ID, false)
		if err != nil {
			return err
		}
		if err := goesOn("extend", before); err != nil {
			return err
		}
		if err := s.store.ExtendAllocation(ctx, tx, before, in.Body.For); err != nil {
			return err
		}
		after, err := s.store.In(tx).Allocation(ctx, a.ID)
		about(r, a.Sites.Only(), a.ID, a.Owner)
		r.Changes = audit.Diff(before, after)
		return err
	})
	if err != nil {
		return out, err
	}
	if err := s.wakeQueue(ctx); err != nil { // it knows when the next one ends
		return out, err
	}
	return s.reportAllocation(ctx, a.ID)
}

// goesOn refuses what cannot be done to an allocation that has ended.
func goesOn(verb string, a sprout.Allocation) error {
	if a.State == sprout.AllocationQueued || a.State == sprout.AllocationGiven {
		return nil
	}
	return sprout.Errorf(sprout.Conflict, "cannot %s allocation %s: it is %s", verb, a.ID, a.State).WithRemedy("sprout allocation list --state queued,given")
}

// allocationCancel ends an allocation; what it has goes back once that has committed,
// and if the server ends before, when one is there again.
func (s *Server) allocationCancel(ctx context.Context, in *api.AllocationRef) (api.None, error) {
	a, err := s.findAllocation(ctx, in.Allocation)
	if err != nil {
		return api.None{}, err
	}
	err = s.change(ctx, api.AllocationCancel.Name, func(ctx context.Context, tx pgx.Tx, r *sprout.AuditRecord) error {
		before, err := s.store.LockAllocation(ctx, tx, a.ID, false)
		if err != nil {
			return err
		}
		if err := goesOn("cancel", before); err != nil {
			return err
		}
		about(r, a.Sites.Only(), a.ID, a.Owner)
		r.Detail = "was " + string(before.State)
		return s.store.EndAllocation(ctx, tx, before, sprout.AllocationCancelled)
	})
	if err != nil {
		return api.None{}, err
	}
	return api.None{}, s.store.After(ctx, func(ctx context.Context) error {
		s.queue.news()
		return s.bringBack(ctx, a.ID)
	})
}
