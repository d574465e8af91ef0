package agent

import (
	"context"
	"strings"
	"sync/atomic"

	"go.etcd.io/bbolt"

	"sprout"
	"sprout/sitestore"
)

// boots writes what boots were seen to do into the outbox, without holding up
// who saw it.
type boots struct {
	site *site
	seen chan sprout.BootEvent
	lost atomic.Int64
}

func newBoots(s *site) *boots { return &boots{site: s, seen: make(chan sprout.BootEvent, 4096)} }

// tell notes an event; one too many is counted and lost.
func (b *boots) tell(e sprout.BootEvent) {
	select {
	case b.seen <- e:
	default:
		b.lost.Add(1)
	}
}

func (b *boots) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-b.seen:
			if err := b.write(ctx, e); err != nil {
				return err
			}
		}
	}
}

// write appends the event and all that wait behind it in one commit.
func (b *boots) write(ctx context.Context, first sprout.BootEvent) error {
	events := []sprout.BootEvent{first}
	for len(b.seen) > 0 && len(events) < 256 {
		events = append(events, <-b.seen)
	}
	facts := make([]sprout.Fact, 0, len(events))
	for _, e := range events {
		fact, err := sitestore.NewFact(sprout.FactBoot, e)
		if err != nil {
			return err
		}
		if m, ok := b.site.store.MachineByMAC(strings.ToLower(e.MAC)); ok {
			fact.Machine = m.ID
			if in, ok := b.site.store.Intent(m.ID); ok {
				fact.Attempt = in.Attempt
			}
		}
		facts = append(facts, fact)
	}
	if lost := b.lost.Swap(0); lost > 0 {
		b.site.log.Warn("boot events lost: too many at once", "events", lost)
	}
	return b.site.store.Update(context.WithoutCancel(ctx), func(tx *bbolt.Tx) error {
		for _, f := range facts {
			if err := b.site.store.AppendFact(tx, f); err != nil {
				return err
			}
		}
		return nil
	})
}
