package agent

import (
	"context"
	"errors"
	"time"

	"sprout"
	"sprout/bus"
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
		s.sayFull(err)
		if stored > 0 {
			failed = 0
			// Where they cannot be dropped now, they are sent again: the hub knows them.
			err = errors.Join(err, s.store.DropFacts(context.WithoutCancel(ctx), facts[stored-1].Seq))
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

// sayFull tells whether the hub refused facts for want of room, as the answer to
// the last of them says; that it is away says nothing of it.
func (s *site) sayFull(err error) {
	switch {
	case err == nil:
		s.troubles.Set(sprout.BusFull, "", "")
	case errors.Is(err, bus.ErrFull):
		s.troubles.Set(sprout.BusFull, "the bus takes no more news of the site", err.Error())
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
		troubles, _ := s.troubles.List()
		loading, waiting := s.turns.count()
		if err := s.bus.PublishBeat(sprout.Heartbeat{
			Agent: s.enrol.Agent.ID, Version: sprout.Version, Protocol: sprout.Protocol, Address: s.config.own()[0].String(),
			Applied: applied, Facts: facts, At: s.clock.Wall().UTC(), Troubles: troubles,
			Downloading: loading, Waiting: waiting,
		}); err != nil {
			s.log.Debug("heartbeat not sent", "error", err)
		}
	}
	tick := time.NewTicker(sprout.HeartbeatEvery)
	defer tick.Stop()
	for {
		_, news := s.troubles.List() // before they are said
		say()
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-news:
		}
	}
}
