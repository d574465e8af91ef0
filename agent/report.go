package agent

import (
	"context"
	"time"

	"sprout"
)

// forwardBatch is how many facts are on their way to the hub at once.
const forwardBatch = 256

// forwardFacts sends the outbox to the hub in order, and drops what the hub has
// acknowledged. A fact that was sent and not dropped is sent again: the hub
// knows it by its number.
func (s *site) forwardFacts(ctx context.Context) error {
	for failed := 0; ; {
		facts, err := s.store.Facts(forwardBatch)
		if err != nil {
			return err
		}
		if len(facts) == 0 {
			select {
			case <-ctx.Done():
				return nil
			case <-s.store.Outgoing():
			}
			continue
		}
		stored, err := s.bus.PublishFacts(ctx, facts...)
		if stored > 0 {
			failed = 0
			if err := s.store.DropFacts(context.WithoutCancel(ctx), facts[stored-1].Seq); err != nil {
				return err
			}
		}
		if err == nil {
			continue
		}
		if failed == 0 && ctx.Err() == nil {
			s.log.Warn("facts wait for the hub", "error", err)
		}
		failed++
		if sprout.Pause(ctx, min(100*time.Millisecond<<min(failed, 6), 3*time.Second)) != nil {
			return nil
		}
	}
}

// beat says that the agent lives and how far it is: the centre repairs by it.
func (s *site) beat(ctx context.Context) error {
	say := func() {
		applied, err := s.store.Applied()
		if err != nil {
			s.log.Error("heartbeat not sent", "error", err)
			return
		}
		_, facts, err := s.store.Outbox()
		if err != nil {
			s.log.Error("heartbeat not sent", "error", err)
			return
		}
		if err := s.bus.PublishBeat(sprout.Heartbeat{
			Agent: s.enrol.Agent.ID, Version: sprout.Version, Protocol: sprout.Protocol, Address: s.config.Address.Addr().String(),
			Applied: applied, Facts: facts, At: time.Now().UTC(),
		}); err != nil {
			s.log.Debug("heartbeat not sent", "error", err)
		}
	}
	say()
	return every(ctx, sprout.HeartbeatEvery, say)
}
