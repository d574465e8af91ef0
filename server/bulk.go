package server

import (
	"context"
	"fmt"
	"reflect"
	"runtime/debug"

	"golang.org/x/sync/errgroup"

	"sprout"
	"sprout/api"
	"sprout/store"
)

// bulkWorkers is how many machines of one request are changed at once: fewer
// than the database has connections, so that others get theirs.
const bulkWorkers = 6

// A bulk is one request for one thing to be done to many machines.
type bulk struct {
	*Server
	in     *api.BulkMachines
	around *surroundings
	action bulkAction
	items  []api.BulkItem
	found  []*sprout.Machine // beside items; nil where there is none
}

// machineBulk does one thing to many machines. Each is a transaction, an audit
// record and an item of the answer of its own; one that is refused stops no other.
func (s *Server) machineBulk(ctx context.Context, in *api.BulkMachines) (out api.BulkResult, err error) {
	b := &bulk{Server: s, in: in, around: s.look()}
	if err := b.check(ctx); err != nil {
		return out, err
	}
	if err := b.find(ctx); err != nil {
		return out, err
	}
	b.each(ctx, func(i int) error {
		if b.found[i] == nil {
			return nil
		}
		return b.act(ctx, i, *b.found[i])
	})
	if err := ctx.Err(); err != nil {
		return out, err
	}
	out = api.BulkResult{Action: in.Body.Action, Items: b.items}
	for _, item := range b.items {
		if item.Outcome == api.BulkRefused {
			out.Refused++
		}
	}
	if in.Body.Plan {
		out.Cost = b.cost(ctx)
	}
	return out, nil
}

// check refuses a request that is wrong for every machine alike.
func (b *bulk) check(ctx context.Context) error {
	in := b.in.Body
	b.action = b.actions()[in.Action]
	given := map[string]bool{
		"commission": in.Commission != nil, "deploy": in.Deploy != nil, "release": in.Release != nil, "mark": in.Mark != nil, "update": in.Update != nil,
	}
	for name, is := range given {
		if is && name != b.action.takes {
			return sprout.InvalidField(name, "the action %s does not take it", in.Action)
		}
	}
	switch {
	case b.action.needs && !given[b.action.takes]:
		return sprout.InvalidField(b.action.takes, "is required for the action %s", in.Action)
	case in.Select == nil && len(in.Machines) == 0:
		return sprout.InvalidField("machines", "name the machines, or select them")
	case in.Select != nil && len(in.Machines) > 0:
		return sprout.InvalidField("select", "machines are named already: give one of the two")
	case in.Select != nil && reflect.ValueOf(*in.Select).IsZero():
		return sprout.InvalidField("select", "selects nothing: restrict it, or set all")
	case in.Deploy != nil && len(in.Machines) != 1: // of one machine it is the item's own fault
		_, err := b.around.image(ctx, in.Deploy.Image)
		return sprout.Within("deploy", err)
	}
	return nil
}

// find makes an item for each machine, with its fault where there is none.
func (b *bulk) find(ctx context.Context) error {
	if err := b.choose(ctx); err != nil {
		return err
	}
	seen := map[sprout.MachineID]string{}
	var ids []sprout.MachineID
	for i, m := range b.found {
		if m == nil {
			continue
		}
		if before, twice := seen[m.ID]; twice {
			b.found[i] = nil
			b.refused(ctx, i, sprout.Errorf(sprout.Conflict, "machine %s is named twice, before as %s", m.Name, before))
			continue
		}
		seen[m.ID] = b.items[i].Name
		b.items[i].Machine, b.items[i].Name, b.items[i].Site, b.items[i].State = m.ID, m.Name, m.SiteName, m.State
		ids = append(ids, m.ID)
	}
	if !b.in.Body.Plan || len(ids) == 0 {
		return nil
	}
	var err error
	b.around.erased, err = b.store.ErasedMachines(ctx, ids)
	return err
}

func (b *bulk) choose(ctx context.Context) error {
	if b.in.Body.Select == nil {
		b.items, b.found = make([]api.BulkItem, len(b.in.Body.Machines)), make([]*sprout.Machine, len(b.in.Body.Machines))
		b.each(ctx, func(i int) error {
			b.items[i].Name = b.in.Body.Machines[i]
			m, err := b.findMachine(ctx, b.items[i].Name)
			if err == nil {
				b.found[i] = &m
			}
			return err
		})
		return ctx.Err()
	}
	machines, err := b.selected(ctx, *b.in.Body.Select)
	if err != nil {
		return sprout.Within("select", err)
	}
	if len(machines) > api.MostInBulk {
		return sprout.InvalidField("select", "%d machines meet it, and one request may be about %d: restrict it further", len(machines), api.MostInBulk)
	}
	b.items, b.found = make([]api.BulkItem, len(machines)), make([]*sprout.Machine, len(machines))
	for i := range machines {
		b.found[i], b.items[i].Name = &machines[i], machines[i].Name
	}
	return nil
}

// selected lists the machines that a selector chooses.
func (s *Server) selected(ctx context.Context, sel api.MachineSelector) ([]sprout.Machine, error) {
	f, err := s.machineFilter(ctx, sel.MachineMatch)
	if err != nil {
		return nil, err
	}
	return all(func(p store.Page) ([]sprout.Machine, string, error) {
		f.Page = p
		return s.store.Machines(ctx, f)
	})
}

// each calls do for every item, several at once. An error, a panic too, is the
// item's fault and nobody else's.
func (b *bulk) each(ctx context.Context, do func(i int) error) {
	var workers errgroup.Group
	workers.SetLimit(bulkWorkers)
	for i := range b.items {
		if ctx.Err() != nil {
			break
		}
		workers.Go(func() error {
			if err := b.guarded(i, do); err != nil && ctx.Err() == nil {
				b.refused(ctx, i, err)
			}
			return nil
		})
	}
	_ = workers.Wait() // none returns an error
}

func (b *bulk) guarded(i int, do func(i int) error) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("panic: %v\n%s", cause, debug.Stack())
		}
	}()
	return do(i)
}

// refused makes an item of an error, and a record of it where something was to
// be done.
func (b *bulk) refused(ctx context.Context, i int, err error) {
	item := &b.items[i]
	item.Outcome, item.Fault = api.BulkRefused, api.FaultOf(ctx, err)
	b.logInternal(ctx, b.action.op, err)
	if b.in.Body.Plan {
		return
	}
	record := b.record(ctx, b.action.op)
	record.Outcome, record.Detail = outcomeOf(item.Fault), words(reasonOf(item.Fault))
	if m := b.found[i]; m != nil {
		about(&record, m.Site, m.ID, m.Name)
	} else {
		record.Site, record.Name = scope(ctx).Only(), words(item.Name)
	}
	b.refusals.note(record)
}

// act does the action, or plans it.
func (b *bulk) act(ctx context.Context, i int, m sprout.Machine) error {
	item := &b.items[i]
	if b.in.Body.Plan {
		plan, err := b.action.plan(ctx, m)
		if err != nil {
			return err
		}
		item.Outcome, item.Plan = api.BulkPlanned, &plan
		return nil
	}
	after, w, err := b.action.do(ctx, m)
	if err != nil {
		return err
	}
	item.Outcome, item.Workflow = api.BulkDone, w
	if w != nil {
		item.Outcome = api.BulkAccepted
	} else {
		item.Name, item.State = after.Name, after.State
	}
	return nil
}

// cost adds up what was planned.
func (b *bulk) cost(ctx context.Context) *api.Cost {
	c := &api.Cost{Sites: []api.SiteCost{}}
	var image int64
	if d := b.in.Body.Deploy; d != nil {
		if found, err := b.around.image(ctx, d.Image); err == nil { // check had it
			image = found.Bytes
		}
	}
	for i, item := range b.items {
		if item.Plan != nil {
			add(c, *b.found[i], *item.Plan, image)
		}
	}
	return c
}
