package server

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/alloc"
	"sprout/api"
	"sprout/store"
)

// machineAllocate gives the machine that fits best to an owner. Machines that
// others take meanwhile are passed over.
func (s *Server) machineAllocate(ctx context.Context, in *api.AllocateMachine) (sprout.Machine, error) {
	b := in.Body
	sites, want, err := s.wanted(ctx, b.Constraints)
	if err != nil {
		return sprout.Machine{}, err
	}
	owner := b.Owner
	if owner == "" {
		owner = actor(ctx)
	}
	return s.allocate(ctx, sites, want, owner)
}

// allocate looks among the machines that an index finds for the request, and
// only where none of them fits at all others: to say why.
func (s *Server) allocate(ctx context.Context, sites sprout.Sites, want alloc.Request, owner string) (sprout.Machine, error) {
	near := store.MachineFilter{
		Sites: sites, States: []sprout.State{sprout.Ready}, Name: want.Name, Labels: want.Labels,
		Pool: want.Pool, Zone: want.Zone, Architecture: want.Architecture, BootMode: want.BootMode,
	}
	var of int
	var removed []alloc.Removal
	for _, filter := range []store.MachineFilter{near, {Sites: sites}} {
		machines, err := all(func(p store.Page) ([]sprout.Machine, string, error) {
			filter.Page = p
			return s.store.Machines(ctx, filter)
		})
		if err != nil {
			return sprout.Machine{}, err
		}
		var fit []sprout.Machine
		fit, removed = s.providers.Alloc.Choose(want, machines)
		of = len(machines)
		for _, m := range fit {
			got, err := s.give(ctx, m, owner)
			if sprout.KindOf(err) != sprout.Conflict || err == nil {
				return got, err
			}
		}
	}
	return sprout.Machine{}, noneFits(of, removed)
}

func (s *Server) give(ctx context.Context, m sprout.Machine, owner string) (sprout.Machine, error) {
	return s.changeMachine(ctx, api.MachineAllocate.Name, string(m.ID), func(ctx context.Context, tx pgx.Tx, m sprout.Machine, r *sprout.AuditRecord) error {
		if m.Locked || m.Activity != nil {
			return sprout.Errorf(sprout.Conflict, "cannot allocate machine %s: it is busy", m.Name)
		}
		r.Detail = "to " + owner
		if _, err := s.store.MoveMachine(ctx, tx, m.ID, sprout.Allocate, actor(ctx), "to "+owner); err != nil {
			return err
		}
		return s.store.UpdateMachine(ctx, tx, m.ID, store.MachineChange{Owner: &owner})
	})
}

// noneFits says which constraint removed how many machines, and which were near.
func noneFits(of int, removed []alloc.Removal) error {
	var why []string
	for _, r := range removed {
		if r.Removed == 0 {
			continue
		}
		line := fmt.Sprintf("%q removed %d", r.Constraint, r.Removed)
		if len(r.Nearest) > 0 {
			line += " (nearest: " + strings.Join(r.Nearest, ", ") + ")"
		}
		why = append(why, line)
	}
	if of == 0 {
		why = append(why, "there are none at all")
	}
	return sprout.Errorf(sprout.Conflict, "cannot allocate: none of %d machines fits: %s", of, strings.Join(why, "; ")).WithRemedy("sprout machine list -o wide")
}

