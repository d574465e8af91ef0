package server

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/api"
	"sprout/audit"
	"sprout/store"
)

func (s *Server) machineCreate(ctx context.Context, in *api.CreateMachine) (sprout.Machine, error) {
	made, err := s.register(ctx, api.MachineCreate.Name, "", []api.NewMachine{in.Body}, false)
	if err != nil {
		return sprout.Machine{}, err
	}
	return made[0], nil
}

func (s *Server) machineImport(ctx context.Context, in *api.ImportMachines) ([]sprout.Machine, error) {
	return s.register(ctx, api.MachineImport.Name, "machines", in.Body.Machines, in.Body.Plan)
}

// errPlanned undoes what was only to be planned.
var errPlanned = errors.New("only planned")

// register makes machines, all or none; a plan finds what is wrong, and makes none. list names the field that holds them,
// for errors; empty where there is just one.
func (s *Server) register(ctx context.Context, action, list string, machines []api.NewMachine, plan bool) ([]sprout.Machine, error) {
	var made []sprout.Machine
	at := func(i int) string {
		if list == "" {
			return ""
		}
		return fmt.Sprintf("%s[%d]", list, i)
	}
	ready := make([]sprout.Machine, len(machines))
	for i, m := range machines {
		site, err := s.findSite(ctx, m.Site)
		if err != nil {
			return nil, sprout.Within(at(i), err)
		}
		ready[i] = machineOf(site, m)
		if m.VirtualMedia {
			if err := ready[i].MayBootMedia(); err != nil {
				return nil, sprout.Within(at(i), err)
			}
		}
	}
	err := s.store.Tx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		for i, m := range ready {
			m, err := s.store.CreateMachine(ctx, tx, m, actor(ctx))
			if err != nil {
				return sprout.Within(at(i), err)
			}
			record := s.record(ctx, action)
			about(&record, m.Site, m.ID, m.Name)
			record.Changes = append(passwordGiven(ready[i].BMC), audit.Diff(nil, m)...)
			if err := s.store.Audit(ctx, tx, record); err != nil {
				return err
			}
			made = append(made, m)
		}
		if plan {
			return errPlanned
		}
		return nil
	})
	if errors.Is(err, errPlanned) {
		return made, nil
	}
	return made, err
}

func machineOf(site sprout.Site, m api.NewMachine) sprout.Machine {
	out := sprout.Machine{
		Site: site.ID, Name: m.Name, State: sprout.Registered, Architecture: m.Architecture, BootMode: m.BootMode,
		BMC: m.BMC, Tags: filled(m.Tags), Labels: m.Labels, Pool: m.Pool, Zone: m.Zone, SecureBoot: m.SecureBoot,
		VirtualMedia: m.VirtualMedia, RecordConsole: m.RecordConsole,
	}
	for i, mac := range m.MACs {
		out.Interfaces = append(out.Interfaces, sprout.Interface{MAC: mac, Boot: i == 0})
	}
	return out
}

func (s *Server) machineList(ctx context.Context, in *api.ListMachines) (out api.Page[sprout.Machine], err error) {
	f, err := s.machineFilter(ctx, in.MachineMatch)
	if err != nil {
		return out, err
	}
	f.Page = sorted(in.Paging, in.Sort)
	return paged(s.store.Machines(ctx, f))
}

// machineFilter reads what machines are chosen by.
func (s *Server) machineFilter(ctx context.Context, m api.MachineMatch) (f store.MachineFilter, err error) {
	f = store.MachineFilter{
		States: m.State, Name: m.Name, Tag: m.Tag, Pool: m.Pool, Zone: m.Zone, Owner: m.Owner,
		Architecture: m.Architecture, BootMode: m.BootMode, Power: m.Power, Problem: m.Problem,
	}
	f.NotRetired = len(m.State) == 0
	if f.Labels, err = sprout.ParseSelector(m.Labels); err != nil {
		return f, err
	}
	f.Sites, err = s.sitesOf(ctx, m.Site)
	return f, err
}

func (s *Server) machineShow(ctx context.Context, in *api.MachineRef) (sprout.Machine, error) {
	return s.findMachine(ctx, in.Machine)
}

// changeMachine finds a machine and runs do on it, audited under action.
func (s *Server) changeMachine(ctx context.Context, action, ref string, do func(context.Context, pgx.Tx, sprout.Machine, *sprout.AuditRecord) error) (sprout.Machine, error) {
	m, err := s.findRow(ctx, ref)
	if err != nil {
		return m, err
	}
	var after sprout.Machine
	err = s.change(ctx, action, func(ctx context.Context, tx pgx.Tx, r *sprout.AuditRecord) error {
		m, err := s.store.LockMachine(ctx, tx, m.ID)
		if err != nil {
			return err
		}
		about(r, m.Site, m.ID, m.Name)
		if err := do(ctx, tx, m, r); err != nil {
			return err
		}
		after, err = s.store.In(tx).Machine(ctx, m.ID)
		r.Changes = append(r.Changes, audit.Diff(m, after)...)
		return err
	})
	return after, err
}

func (s *Server) machineUpdate(ctx context.Context, in *api.UpdateMachine) (sprout.Machine, error) {
	b := in.Body
	return s.changeMachine(ctx, api.MachineUpdate.Name, in.Machine, func(ctx context.Context, tx pgx.Tx, m sprout.Machine, r *sprout.AuditRecord) error {
		change := store.MachineChange{Name: b.Name, Tags: b.Tags, Pool: b.Pool, Zone: b.Zone, Protected: b.Protected, SecureBoot: b.SecureBoot, VirtualMedia: b.VirtualMedia, RecordConsole: b.RecordConsole}
		if b.VirtualMedia != nil && *b.VirtualMedia {
			if err := m.MayBootMedia(); err != nil {
				return err
			}
		}
		if len(b.Labels) > 0 {
			change.Labels = new(b.Labels.Over(m.Labels))
		}
		err := s.store.UpdateMachine(ctx, tx, m.ID, change)
		if err != nil || b.BMC == nil {
			return err
		}
		r.Changes = passwordGiven(b.BMC)
		if err := s.store.SetBMC(ctx, tx, m.ID, *b.BMC); err != nil {
			return err
		}
		return s.tellBMC(ctx, tx, m.ID)
	})
}

// passwordGiven is the change by a request that has a password, which no machine
// of the store shows.
func passwordGiven(b *sprout.BMC) []sprout.FieldChange {
	if b == nil {
		return nil
	}
	return audit.Diff(nil, map[string]string{"bmc.password": b.Password})
}

// machineDelete removes a machine that nobody uses. One that is given to an
// owner must be released first.
func (s *Server) machineDelete(ctx context.Context, in *api.MachineRef) (api.None, error) {
	m, err := s.findRow(ctx, in.Machine)
	if err != nil {
		return api.None{}, err
	}
	return api.None{}, s.change(ctx, api.MachineDelete.Name, func(ctx context.Context, tx pgx.Tx, r *sprout.AuditRecord) error {
		m, err := s.store.LockMachine(ctx, tx, m.ID)
		if err != nil {
			return err
		}
		about(r, m.Site, m.ID, m.Name)
		r.Changes = audit.Diff(m, nil)
		if err := mayDelete(m); err != nil {
			return err
		}
		return s.store.DeleteMachine(ctx, tx, m.ID)
	})
}

func mayDelete(m sprout.Machine) error {
	switch {
	case m.State == sprout.Allocated || m.State == sprout.Deployed || m.State == sprout.Rescued:
		return sprout.Errorf(sprout.Conflict, "cannot delete a machine that is %s", m.State).WithRemedy("sprout machine release %s", m.Name)
	case m.Locked:
		return sprout.Errorf(sprout.Conflict, "cannot delete machine %s: it is locked", m.Name).WithRemedy("sprout machine unlock %s", m.Name)
	case m.Protected:
		return protected("delete", m)
	}
	return nil
}

func protected(verb string, m sprout.Machine) error {
	return sprout.Errorf(sprout.Conflict, "cannot %s machine %s: it is protected", verb, m.Name).WithRemedy("sprout machine update %s --protected=false", m.Name)
}

func (s *Server) machineAccept(ctx context.Context, in *api.MachineRef) (sprout.Machine, error) {
	return s.move(ctx, api.MachineAccept.Name, in.Machine, sprout.Accept, "")
}

func (s *Server) machineMarkBroken(ctx context.Context, in *api.MarkMachine) (sprout.Machine, error) {
	return s.move(ctx, api.MachineMarkBroken.Name, in.Machine, sprout.MarkBroken, in.Body.Reason)
}

func (s *Server) machineMarkFixed(ctx context.Context, in *api.MarkMachine) (sprout.Machine, error) {
	return s.move(ctx, api.MachineMarkFixed.Name, in.Machine, sprout.MarkFixed, in.Body.Reason)
}

// machineRetire takes a machine out of service: nothing on its disks is touched, its
// addresses and names are free again, and its site forgets it.
func (s *Server) machineRetire(ctx context.Context, in *api.MarkMachine) (sprout.Machine, error) {
	return s.changeMachine(ctx, api.MachineRetire.Name, in.Machine, func(ctx context.Context, tx pgx.Tx, m sprout.Machine, r *sprout.AuditRecord) error {
		if err := mayRetire(m); err != nil {
			return err
		}
		r.Detail = in.Body.Reason
		return s.store.RetireMachine(ctx, tx, m, actor(ctx), in.Body.Reason)
	})
}

func mayRetire(m sprout.Machine) error {
	if m.Protected {
		return protected("retire", m)
	}
	return first(allowed("retire", m, sprout.Retire), unmoved(m, sprout.Retire))
}

// move moves a machine by a row of the lifecycle. What runs on the machine
// moves it at its end, so nobody else may meanwhile.
func (s *Server) move(ctx context.Context, action, ref string, event sprout.Event, reason string) (sprout.Machine, error) {
	return s.changeMachine(ctx, action, ref, func(ctx context.Context, tx pgx.Tx, m sprout.Machine, r *sprout.AuditRecord) error {
		if err := unmoved(m, event); err != nil {
			return err
		}
		r.Detail = reason
		_, err := s.store.MoveMachine(ctx, tx, m.ID, event, actor(ctx), reason)
		return err
	})
}

func unmoved(m sprout.Machine, event sprout.Event) error {
	if m.Activity == nil {
		return nil
	}
	return sprout.Errorf(sprout.Conflict, "cannot %s machine %s while it runs %s %s", event, m.Name, m.Activity.Kind, m.Activity.Workflow).
		WithRemedy("sprout workflow cancel %s", m.Activity.Workflow)
}

func (s *Server) machineLock(ctx context.Context, in *api.MachineRef) (sprout.Machine, error) {
	return s.setLock(ctx, api.MachineLock.Name, in.Machine, true)
}

func (s *Server) machineUnlock(ctx context.Context, in *api.MachineRef) (sprout.Machine, error) {
	return s.setLock(ctx, api.MachineUnlock.Name, in.Machine, false)
}

func (s *Server) setLock(ctx context.Context, action, ref string, locked bool) (sprout.Machine, error) {
	return s.changeMachine(ctx, action, ref, func(ctx context.Context, tx pgx.Tx, m sprout.Machine, _ *sprout.AuditRecord) error {
		return s.store.UpdateMachine(ctx, tx, m.ID, store.MachineChange{Locked: &locked})
	})
}

func (s *Server) machineHistory(ctx context.Context, in *api.ListOfMachine) (out api.Page[api.HistoryEntry], err error) {
	m, err := s.findMachine(ctx, in.Machine)
	if err != nil {
		return out, err
	}
	moves, next, err := s.store.MachineHistory(ctx, m, page(in.Paging))
	var list []api.HistoryEntry
	for _, h := range moves {
		list = append(list, api.HistoryEntry{At: h.At, From: h.From, To: h.To, Event: string(h.Event), Actor: h.Actor, Detail: h.Reason})
	}
	return paged(list, next, err)
}
