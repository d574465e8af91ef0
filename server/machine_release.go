package server

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5"

	"sprout"
	"sprout/api"
	"sprout/audit"
	"sprout/provision"
)

// mayRelease refuses what is not to be released: of machines that nobody has only
// the disks can be erased.
func mayRelease(r api.Releasing) func(m sprout.Machine) error {
	return func(m sprout.Machine) error {
		if m.Protected {
			return protected("release", m)
		}
		event := sprout.Released
		if r.Force != "" {
			event = sprout.LeftBehind
		}
		if _, err := sprout.Next(m.State, sprout.Emptied); err == nil && r.Erase && r.Force == "" {
			event = sprout.Emptied
		}
		return allowed("release", m, event)
	}
}

// release starts a release, or only says what it would do.
func (s *Server) release(ctx context.Context, around *surroundings, m sprout.Machine, r api.Releasing, only bool) (plan api.Plan, err error) {
	r.Force = strings.TrimSpace(r.Force)
	may := mayRelease(r)
	if err := first(may(m), erasable(m, r)); err != nil {
		return plan, err
	}
	running := r.Force != "" && m.Activity != nil && m.Activity.Kind == provision.Release
	if only {
		if err := idle("release", m); err != nil && !running {
			return plan, err
		}
		return around.planRelease(ctx, m, r)
	}
	if running {
		w, err := s.forceRelease(ctx, m, r.Force)
		plan.Workflow = &w
		return plan, err
	}
	input := provision.ReleaseInput{Machine: m.ID, Erase: r.Erase, Method: r.EraseMethod, Force: r.Force}
	if r.Erase && r.Force == "" {
		if input.Subnet, err = s.mediaSubnet(ctx, around, m); err != nil {
			return plan, err
		}
	}
	if input.Disks, err = around.toErase(ctx, m, r); err != nil {
		return plan, err
	}
	w, err := s.start(ctx, api.MachineRelease.Name, provision.Release, m, input, s.locked(m.ID, may))
	plan.Workflow = &w
	return plan, err
}

// forceRelease has the release that runs wait for the site no more.
func (s *Server) forceRelease(ctx context.Context, m sprout.Machine, reason string) (sprout.Workflow, error) {
	id, forced := m.Activity.Workflow, provision.WorkEnded{Force: reason}
	err := s.engine.Signal(ctx, string(id), provision.SignalWorkEnded, forced, func(ctx context.Context, tx pgx.Tx) error {
		record := s.record(ctx, api.MachineRelease.Name)
		about(&record, m.Site, m.ID, m.Name)
		record.Detail, record.Changes = "forced "+string(id), audit.Diff(nil, forced)
		return s.store.Audit(ctx, tx, record)
	})
	if err != nil {
		return sprout.Workflow{}, err
	}
	return s.store.Workflow(ctx, id)
}

func (s *Server) machineRelease(ctx context.Context, in *api.ReleaseMachine) (plan api.Plan, err error) {
	m, err := s.findMachine(ctx, in.Machine)
	if err != nil {
		return plan, err
	}
	return s.release(ctx, s.look(), m, in.Body.Releasing, in.Body.Plan)
}
