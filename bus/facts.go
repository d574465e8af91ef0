package bus

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sprout"
)

// factsConsumer is shared by every replica of the control plane. It is pinned
// to one of them at a time, because facts are ordered; when that one is gone
// another takes over within pinnedFor.
const (
	factsConsumer = "centre"
	factsGroup    = "centre"
	pinnedFor     = 10 * time.Second
)

// A Take takes facts of one agent, whose numbers follow each other: as many as
// it can of the first, in one transaction or several. It returns how many it
// took, and an error where the next was refused; else it is called again with the
// rest. A fact may come twice: Take must know (Agent, Seq) again; Agent is who sent it, which NATS has
// checked. An error of kind Invalid means that the fact never will be taken: it
// is logged and dropped.
type Take func(ctx context.Context, site sprout.SiteID, facts []sprout.Fact) (taken int, err error)

// ConsumeFacts hands the facts of every site to take until ctx ends, and
// acknowledges each that was taken: take's transaction comes first. The facts of
// one agent come in the order of their Seq, up to batchFacts at once and at most
// every gatherFor while fewer wait; those of different agents side by side. When
// take fails, the fact comes again after a pause that grows from 100 ms to 30 s,
// and the later facts of its agent wait behind it.
func (c *Centre) ConsumeFacts(ctx context.Context, take Take) error {
	if c.alone {
		// What a process before this one had taken and not answered for would
		// come again only after ackWait: nobody else can have it, so it comes now.
		if err := c.js.DeleteConsumer(ctx, upStream, factsConsumer); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
			return sprout.Errorf(sprout.Unavailable, "cannot make the consumer of facts anew: %w", err)
		}
	}
	consumer, err := c.js.CreateOrUpdateConsumer(ctx, upStream, jetstream.ConsumerConfig{
		Durable: factsConsumer, FilterSubject: upStream + ".*.*",
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: ackWait, MaxDeliver: -1, MaxAckPending: 65536,
		PriorityPolicy: jetstream.PriorityPolicyPinned, PriorityGroups: []string{factsGroup}, PinnedTTL: pinnedFor,
	})
	if err != nil {
		return sprout.Errorf(sprout.Unavailable, "cannot make the consumer of facts: %w", err)
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessages(256), jetstream.PullExpiry(5*time.Second),
		jetstream.PullPriorityGroup(factsGroup))
	if err != nil {
		return sprout.Errorf(sprout.Unavailable, "cannot consume facts: %w", err)
	}
	stop := context.AfterFunc(ctx, messages.Stop)
	defer stop()
	c.log.Info("facts consumer started")
	defer c.log.Info("facts consumer stopped")

	lanes := map[string]*lane{} // by subject: one of each agent
	var running sync.WaitGroup
	defer running.Wait()
	for {
		m, err := messages.Next()
		switch {
		case errors.Is(err, jetstream.ErrMsgIteratorClosed) || ctx.Err() != nil:
			return nil
		case err != nil:
			c.log.Warn("facts consumer interrupted", "error", err)
			if sprout.Pause(ctx, time.Second) != nil {
				return nil
			}
			continue
		}
		var fact sprout.Fact
		if err := decode(m.Subject(), m.Headers(), m.Data(), &fact); err != nil {
			c.log.Error("fact dropped", "error", err)
			settle(c.log, m.Term())
			continue
		}
		fact.Agent = agentOf(m.Subject())
		l, ok := lanes[m.Subject()]
		if !ok {
			l = newLane(siteOf(m.Subject()), c.log)
			lanes[m.Subject()] = l
			running.Go(func() { l.run(ctx, take) })
		}
		l.push(fact, m)
	}
}

// ConsumeLive hands what sites send live to see, until ctx ends. Every replica
// receives all of it.
func (c *Centre) ConsumeLive(ctx context.Context, see func(sprout.SiteID, sprout.Live)) error {
	return consume(ctx, c, liveSubject, "", see, func() {})
}

// ConsumeBeats hands heartbeats to see, until ctx ends: of those that came while
// it saw others the newest of each agent. Each goes to one of the replicas.
func (c *Centre) ConsumeBeats(ctx context.Context, see func([]sprout.Beat)) error {
	newest := map[[2]string]sprout.Beat{}
	return consume(ctx, c, beatSubject, "centre", func(site sprout.SiteID, h sprout.Heartbeat) {
		b := sprout.Beat{Site: site, Heartbeat: h}
		newest[b.From()] = b
	}, func() {
		see(slices.Collect(maps.Values(newest)))
		clear(newest)
	})
}

// consume hands messages of a kind to see, and calls rest when no other is there.
func consume[M any](ctx context.Context, c *Centre, kind, queue string, see func(sprout.SiteID, M), rest func()) error {
	received := make(chan *nats.Msg, 1024)
	sub, err := c.conn.ChanQueueSubscribe(kind+".*", queue, received)
	if err != nil {
		return sprout.Errorf(sprout.Unavailable, "cannot subscribe to %s: %w", kind, err)
	}
	defer func() { _ = sub.Unsubscribe() }() // the connection may be closed already
	c.log.Info("bus consumer started", "of", kind)
	defer c.log.Info("bus consumer stopped", "of", kind)
	for {
		select {
		case <-ctx.Done():
			return nil
		case m := <-received:
			var v M
			if err := decode(m.Subject, m.Header, m.Data, &v); err != nil {
				c.log.Warn("message dropped", "error", err)
			} else {
				see(siteOf(m.Subject), v)
			}
			if len(received) == 0 {
				rest()
			}
		}
	}
}
