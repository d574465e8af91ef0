package server

import (
	"context"

	"sprout"
	"sprout/api"
	"sprout/provision"
)

func mayRescue(m sprout.Machine) error {
	if err := allowed("rescue", m, sprout.Rescue); err != nil {
		return err
	}
	return drivable("rescue", m)
}

func mayUnrescue(m sprout.Machine) error {
	return allowed("unrescue", m, sprout.Unrescue)
}

func (s *Server) machineRescue(ctx context.Context, in *api.RescueMachine) (sprout.Workflow, error) {
	m, err := s.findMachine(ctx, in.Machine)
	if err != nil {
		return sprout.Workflow{}, err
	}
	if err := first(mayRescue(m), checkKeys(in.Body.SSHKeys)); err != nil {
		return sprout.Workflow{}, err
	}
	input := provision.RescueInput{Machine: m.ID, SSHKeys: in.Body.SSHKeys}
	return s.start(ctx, api.MachineRescue.Name, provision.Rescue, m, input, s.locked(m.ID, mayRescue))
}

func (s *Server) machineUnrescue(ctx context.Context, in *api.MachineRef) (sprout.Workflow, error) {
	m, err := s.findMachine(ctx, in.Machine)
	if err != nil {
		return sprout.Workflow{}, err
	}
	if err := mayUnrescue(m); err != nil {
		return sprout.Workflow{}, err
	}
	return s.start(ctx, api.MachineUnrescue.Name, provision.Unrescue, m, provision.UnrescueInput{Machine: m.ID}, s.locked(m.ID, mayUnrescue))
}
