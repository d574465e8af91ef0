package server

import (
	"context"
	"time"

	"sprout"
	"sprout/bus"
	"sprout/provision"
)

// HoldExports leaves no room for an export until release is called.
func (s *Server) HoldExports() (release func()) {
	for range mostExports {
		s.exports <- struct{}{}
	}
	return func() {
		for range mostExports {
			<-s.exports
		}
	}
}

// TakeFacts is how the server takes facts, without the bus; a gap is a problem
// after missing.
func (s *Server) TakeFacts(missing time.Duration) bus.Take {
	in := s.newIntake()
	in.missing = missing
	return in.take
}

// LookForLost does at once what the driver does by the clock.
func (s *Server) LookForLost(ctx context.Context) {
	s.driver.catchLost(ctx, time.Now())
	s.driver.recognise(ctx)
}

// Begin starts a workflow on a machine as its operation does once all is checked.
func (s *Server) Begin(ctx context.Context, kind string, m sprout.Machine, subnet sprout.SubnetID) (sprout.Workflow, error) {
	inputs := map[string]any{
		provision.Commission: provision.CommissionInput{Machine: m.ID},
		provision.Deploy:     provision.DeployInput{Machine: m.ID, Subnet: subnet, Image: sprout.Image{Name: "debian-12"}},
		provision.Release:    provision.ReleaseInput{Machine: m.ID},
	}
	return s.start(ctx, "machine "+kind, kind, m, inputs[kind])
}

// ProbeConflicts is one look of the sweep at addresses that somebody else used.
func (s *Server) ProbeConflicts(ctx context.Context) (more bool, err error) {
	return s.probeConflicts(ctx)
}

// Quarantine is what a deploy does with an address that its site found taken.
func (s *Server) Quarantine(ctx context.Context, c sprout.AddressConflict) error {
	return s.providers.IPAM.Quarantine(ctx, c)
}
