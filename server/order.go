package server

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/alloc"
	"sprout/store"
)

// An order is machines that somebody wants together: so many, or none.
type order struct {
	sites  sprout.Sites
	want   alloc.Request
	count  int
	spread bool // evenly over failure zones
	owner  string
	record sprout.AuditRecord
}

// A handing does what belongs to machines that are being given, in the same
// transaction.
type handing func(ctx context.Context, tx pgx.Tx, given []sprout.Machine) error

// pick takes what the order wants of machines that fit. zones are those that there
// are, where it is spread.
func (o order) pick(zones []string, fit []sprout.Machine) []sprout.Machine {
	if o.spread {
		some, _ := alloc.Spread(o.count, zones, fit)
		return some
	}
	if len(fit) < o.count {
		return nil
	}
	return fit[:o.count]
}

// fill gives an order all of its machines, and has within do what belongs to that in
// the same transaction. A Conflict says why there are too few.
//
// It ends as answerAll does: errTaken is always somebody else's progress. The rows
// are locked one after the other in one order, so of two who want the same machines
// one has them all.
func (d *desk) fill(ctx context.Context, o order, within handing) error {
	until := time.Now().Add(patience)
	for {
		err := d.tryFill(ctx, o, within)
		if !errors.Is(err, errTaken) {
			return err
		}
		if time.Now().After(until) {
			return takenAway()
		}
		if err := d.shelf.wait(ctx); err != nil {
			return err
		}
	}
}

func (d *desk) tryFill(ctx context.Context, o order, within handing) error {
	began := time.Now()
	var zones []string
	if o.spread {
		machines, err := d.everything(ctx, o.sites)
		if err != nil {
			return err
		}
		zones = d.zones(o.want, machines)
	}
	chosen, err := d.shelf.takeSome(ctx, d.store, o.sites, o.want, began, func(fit []sprout.Machine) []sprout.Machine { return o.pick(zones, fit) })
	if err != nil {
		return err
	}
	if len(chosen) == 0 {
		return d.lacks(ctx, o)
	}
	before := make(map[sprout.MachineID]sprout.Machine, len(chosen))
	for _, m := range chosen {
		before[m.ID] = m
	}
	defer d.shelf.settle(before)
	err = d.store.Tx(ctx, func(ctx context.Context, tx pgx.Tx) error { return d.hand(ctx, tx, o, chosen, within) })
	if errors.Is(err, errTaken) {
		d.shelf.forget()
	}
	return err
}

// hand gives an order the machines that were chosen for it, or fails: with errTaken
// where one of them is no longer what it was.
func (d *desk) hand(ctx context.Context, tx pgx.Tx, o order, chosen []sprout.Machine, within handing) error {
	quotas, err := d.store.LockQuotas(ctx, tx, []string{o.owner}, true)
	if err != nil {
		return err
	}
	if q, has := quotas[o.owner]; has && q.Room() < o.count {
		return q.Refuse(o.count)
	}
	var gifts []store.Gift
	before := map[sprout.MachineID]sprout.Machine{}
	for _, m := range chosen {
		before[m.ID] = m
		gifts = append(gifts, store.Gift{Machine: m.ID, Revision: m.Rev, Owner: o.owner, Actor: o.record.Actor, Reason: "to " + o.owner})
	}
	given, err := d.store.Give(ctx, tx, gifts, true)
	if errors.Is(err, store.ErrHeld) || err == nil && len(given) < len(gifts) {
		return errTaken
	}
	if err != nil {
		return err
	}
	for _, m := range given {
		if err := d.store.Audit(ctx, tx, gift(o.record, before[m.ID], m)); err != nil {
			return err
		}
	}
	return within(ctx, tx, given)
}

// lacks says why an order cannot be filled, by a reading of all machines; errTaken
// if it could be by then.
func (d *desk) lacks(ctx context.Context, o order) error {
	machines, err := d.everything(ctx, o.sites)
	if err != nil {
		return err
	}
	l := d.look(o, machines)
	if l.refusal == nil {
		return errTaken
	}
	return l.refusal.WithRemedy("ask for less, or wait for them: sprout allocation create --queue")
}

// A lack is what an order lacks.
type lack struct {
	fit, of int
	removed []alloc.Removal
	refusal *sprout.Error // nil: nothing
}

// look finds out what an order lacks of machines.
func (d *desk) look(o order, machines []sprout.Machine) (l lack) {
	var fit []sprout.Machine
	l.of = len(machines)
	fit, l.removed = d.shelf.provider.Choose(o.want, machines)
	l.fit = len(fit)
	if l.fit < o.count {
		l.refusal = tooFew(o.count, l.fit, l.of, l.removed)
		return l
	}
	if !o.spread {
		return l
	}
	zones := d.zones(o.want, machines)
	if some, short := alloc.Spread(o.count, zones, fit); len(some) == 0 {
		l.refusal = sprout.Errorf(sprout.Conflict, "cannot allocate %d machines evenly: %s", o.count, alloc.Explain(zones, short))
	}
	return l
}

// zones are the failure zones of the machines that a request could ever have, were
// they free.
func (d *desk) zones(want alloc.Request, machines []sprout.Machine) []string {
	free := slices.Clone(machines)
	for i := range free {
		m := &free[i]
		m.State, m.Locked, m.Activity, m.Problems = sprout.Ready, false, nil, nil
	}
	could, _ := d.shelf.provider.Choose(want, free)
	return alloc.Zones(could)
}
