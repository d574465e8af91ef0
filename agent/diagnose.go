package agent

import (
	"context"
	"time"

	"sprout"
	"sprout/diagnose"
)

// askPower is how long a BMC may take to say whether the machine is on before
// the diagnosis does without.
const askPower = 5 * time.Second

// Diagnose names why a boot attempt stopped, from what this agent has seen of it
// since it started: the centre may be away.
func (s *site) Diagnose(ctx context.Context, id sprout.MachineID, attempt sprout.AttemptID, step string) (sprout.Failure, bool) {
	d, ok := diagnose.Diagnose(diagnose.Evidence{Step: step, Power: s.powerNow(ctx, id), NoDHCP: sprout.NoDHCPIn(s.store.Subnets()), Events: s.boots.events(id, attempt)})
	return sprout.Failure{Code: d.Code, Reason: d.Reason, Evidence: d.Evidence}, ok
}

// powerNow is what the BMC says; unknown if it says nothing.
func (s *site) powerNow(ctx context.Context, id sprout.MachineID) sprout.PowerState {
	provider, err := s.Power(ctx, id)
	if err != nil {
		return sprout.PowerUnknown
	}
	ctx, cancel := context.WithTimeout(ctx, askPower)
	defer cancel()
	state, err := provider.Status(ctx)
	if err != nil {
		return sprout.PowerUnknown
	}
	return state
}
