package server

import (
	"context"
	"slices"

	"sprout"
	"sprout/api"
	"sprout/provision"
)

// A bulkAction does one thing to one machine by the code of the operation that
// does it to one alone, and says before what it would do.
type bulkAction struct {
	op    string // the operation's name, for the audit
	takes string // the field of its parameters, if any
	needs bool   // they must be given
	plan  func(context.Context, sprout.Machine) (api.Plan, error)
	do    func(context.Context, sprout.Machine) (sprout.Machine, *sprout.Workflow, error)
}

// actions is what can be done to many machines.
func (b *bulk) actions() map[string]bulkAction {
	in := b.in.Body
	commission, deploy, release, mark, update := value(in.Commission), value(in.Deploy), value(in.Release), value(in.Mark), value(in.Update)
	return map[string]bulkAction{
		"accept": b.moving(api.MachineAccept.Name, "", sprout.Accept, ""),
		"commission": {op: api.MachineCommission.Name, takes: "commission",
			plan: func(ctx context.Context, m sprout.Machine) (p api.Plan, err error) {
				if err := first(mayCommission(m), idle("commission", m)); err != nil {
					return p, err
				}
				p.Becomes = sprout.Ready
				p.Usual, err = b.around.usualRun(ctx, provision.Commission, m)
				return p, err
			},
			do: started(func(ctx context.Context, m sprout.Machine) (sprout.Workflow, error) {
				return b.commission(ctx, m, commission)
			}),
		},
		"deploy": {op: api.MachineDeploy.Name, takes: "deploy", needs: true,
			plan: func(ctx context.Context, m sprout.Machine) (api.Plan, error) {
				return b.deploy(ctx, b.around, m, deploy, true)
			},
			do: planned(func(ctx context.Context, m sprout.Machine) (api.Plan, error) {
				return b.deploy(ctx, b.around, m, deploy, false)
			}),
		},
		"release": {op: api.MachineRelease.Name, takes: "release",
			plan: func(ctx context.Context, m sprout.Machine) (api.Plan, error) {
				return b.release(ctx, b.around, m, release, true)
			},
			do: planned(func(ctx context.Context, m sprout.Machine) (api.Plan, error) {
				return b.release(ctx, b.around, m, release, false)
			}),
		},
		"mark-broken": b.moving(api.MachineMarkBroken.Name, "mark", sprout.MarkBroken, mark.Reason),
		"mark-fixed":  b.moving(api.MachineMarkFixed.Name, "mark", sprout.MarkFixed, mark.Reason),
		"retire": {op: api.MachineRetire.Name, takes: "mark",
			plan: func(_ context.Context, m sprout.Machine) (p api.Plan, err error) {
				p.Becomes = sprout.Retired
				return p, mayRetire(m)
			},
			do: func(ctx context.Context, m sprout.Machine) (sprout.Machine, *sprout.Workflow, error) {
				m, err := b.machineRetire(ctx, &api.MarkMachine{MachineRef: api.MachineRef{Machine: string(m.ID)}, Body: mark})
				return m, nil, err
			},
		},
		"lock":   b.locking(api.MachineLock.Name, true),
		"unlock": b.locking(api.MachineUnlock.Name, false),
		"update": {op: api.MachineUpdate.Name, takes: "update", needs: true, plan: nothingToPlan,
			do: func(ctx context.Context, m sprout.Machine) (sprout.Machine, *sprout.Workflow, error) {
				change := api.UpdateMachine{MachineRef: api.MachineRef{Machine: string(m.ID)}}
				change.Body.Labels = update.Labels
				change.Body.Tags, change.Body.Pool, change.Body.Zone = update.Tags, update.Pool, update.Zone
				change.Body.Protected, change.Body.SecureBoot, change.Body.VirtualMedia = update.Protected, update.SecureBoot, update.VirtualMedia
				change.Body.RecordConsole = update.RecordConsole
				m, err := b.machineUpdate(ctx, &change)
				return m, nil, err
			},
		},
		"delete": {op: api.MachineDelete.Name, plan: planDelete,
			do: func(ctx context.Context, m sprout.Machine) (sprout.Machine, *sprout.Workflow, error) {
				_, err := b.machineDelete(ctx, &api.MachineRef{Machine: string(m.ID)})
				return sprout.Machine{Name: m.Name}, nil, err
			},
		},
	}
}

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

func started(do func(context.Context, sprout.Machine) (sprout.Workflow, error)) func(context.Context, sprout.Machine) (sprout.Machine, *sprout.Workflow, error) {
	return func(ctx context.Context, m sprout.Machine) (sprout.Machine, *sprout.Workflow, error) {
		w, err := do(ctx, m)
		return m, &w, err
	}
}

func planned(do func(context.Context, sprout.Machine) (api.Plan, error)) func(context.Context, sprout.Machine) (sprout.Machine, *sprout.Workflow, error) {
	return func(ctx context.Context, m sprout.Machine) (sprout.Machine, *sprout.Workflow, error) {
		p, err := do(ctx, m)
		return m, p.Workflow, err
	}
}

func nothingToPlan(context.Context, sprout.Machine) (api.Plan, error) { return api.Plan{}, nil }

// moving is an action that moves a machine by a row of the lifecycle.
func (b *bulk) moving(op, takes string, event sprout.Event, reason string) bulkAction {
	return bulkAction{op: op, takes: takes,
		plan: func(_ context.Context, m sprout.Machine) (p api.Plan, err error) {
			if err := unmoved(m, event); err != nil {
				return p, err
			}
			p.Becomes, err = sprout.Next(m.State, event)
			return p, err
		},
		do: func(ctx context.Context, m sprout.Machine) (sprout.Machine, *sprout.Workflow, error) {
			m, err := b.move(ctx, op, string(m.ID), event, reason)
			return m, nil, err
		},
	}
}

func (b *bulk) locking(op string, locked bool) bulkAction {
	return bulkAction{op: op, plan: nothingToPlan, do: func(ctx context.Context, m sprout.Machine) (sprout.Machine, *sprout.Workflow, error) {
		m, err := b.setLock(ctx, op, string(m.ID), locked)
		return m, nil, err
	}}
}

// planDelete says what goes with a machine.
func planDelete(_ context.Context, m sprout.Machine) (p api.Plan, err error) {
	if err := first(mayDelete(m), idle("delete", m)); err != nil {
		return p, err
	}
	p.Destroys = []string{"its record: inventory, test results, history and boot timelines"}
	if m.BMC != nil {
		p.Destroys = append(p.Destroys, "the credentials of its BMC")
	}
	return p, nil
}

// idle refuses what a running workflow keeps from a machine.
func idle(verb string, m sprout.Machine) error {
	if m.Activity == nil {
		return nil
	}
	return sprout.Errorf(sprout.Conflict, "cannot %s machine %s: %s %s runs on it", verb, m.Name, m.Activity.Kind, m.Activity.Workflow).
		WithRemedy("wait for it, or: sprout workflow cancel %s", m.Activity.Workflow)
}

// first returns the first error there is.
func first(errs ...error) error {
	if i := slices.IndexFunc(errs, func(err error) bool { return err != nil }); i >= 0 {
		return errs[i]
	}
	return nil
}
