package bus

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"sprout"
)

// A pull asks for pullBatch messages and stands for pullFor; the hub shows
// every pullIdle that it still does (ADR-13 and ADR-37 of NATS).
const (
	pullBatch = 256
	pullFor   = 30 * time.Second
	pullIdle  = 5 * time.Second
)

func nextSubject(site sprout.SiteID) string {
	return "$JS.API.CONSUMER.MSG.NEXT." + downStream + "." + string(site)
}

// An Apply takes changes in and returns how many of the first ones it has taken:
// all of them, or fewer and the reason.
type Apply func(ctx context.Context, changes []sprout.Change) (int, error)

// OneByOne is an Apply of what takes one change.
func OneByOne(apply func(context.Context, sprout.Change) error) Apply {
	return func(ctx context.Context, changes []sprout.Change) (int, error) {
		for i, c := range changes {
			if err := apply(ctx, c); err != nil {
				return i, err
			}
		}
		return len(changes), nil
	}
}

// Changes hands the changes of the site's state to apply until ctx ends, those
// together that have come together, and acknowledges what apply has taken. They
// come in the order in which they were published; what apply refused comes again
// after a pause that grows from 200 ms to 10 s, behind later ones, and any may
// come twice: apply compares Seq, and refuses what it cannot apply yet.
func (s *Site) Changes(ctx context.Context, apply Apply) error {
	inbox := s.conn.NewInbox()
	received := make(chan *nats.Msg, 2*pullBatch)
	sub, err := s.conn.ChanSubscribe(inbox, received)
	if err != nil {
		return sprout.Errorf(sprout.Unavailable, "cannot subscribe to changes: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }() // the connection may be closed already
	s.log.Info("changes consumer started", "site", s.site)
	defer s.log.Info("changes consumer stopped", "site", s.site)
	for failed := 0; ; {
		if err := s.pull(inbox); err == nil {
			err = s.takePull(ctx, received, apply)
			if err == nil {
				failed = 0
				continue
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		failed++
		if failed == 3 {
			s.log.Warn("changes cannot be received; trying again for ever", "connected", s.Connected())
		}
		if !s.awaitHub(ctx, reconnectDelay(failed)) {
			return nil
		}
	}
}

func (s *Site) pull(inbox string) error {
	request, err := json.Marshal(map[string]any{
		"batch": pullBatch, "expires": pullFor, "idle_heartbeat": pullIdle,
	})
	if err != nil {
		return fmt.Errorf("cannot encode a pull: %w", err)
	}
	return s.conn.PublishRequest(nextSubject(s.site), inbox, request)
}

// takePull takes the messages of one pull. nil: it is used up, as it should be.
func (s *Site) takePull(ctx context.Context, received <-chan *nats.Msg, apply Apply) error {
	silence := time.NewTimer(2*pullIdle + time.Second)
	defer silence.Stop()
	for got := 0; got < pullBatch; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.status: // a new connection knows nothing of the pull
			return nil
		case <-silence.C:
			return sprout.Errorf(sprout.Unavailable, "cannot hear the hub")
		case m := <-received:
			silence.Reset(2*pullIdle + time.Second)
			together, over, err := cameWith(m, received)
			got += len(together)
			s.takeTogether(ctx, together, apply)
			if over || err != nil {
				return err
			}
		}
	}
	return nil
}

// cameWith returns the changes among m and what is there already behind it, up to
// the word that the pull is over, or cannot be.
func cameWith(m *nats.Msg, received <-chan *nats.Msg) (changes []*nats.Msg, over bool, err error) {
	for {
		switch status := m.Header.Get("Status"); {
		case status == "100":
		case status == "408":
			return changes, true, nil
		case status != "" && m.Reply == "":
			return changes, true, sprout.Errorf(sprout.Unavailable, "cannot pull: %s %s", status, m.Header.Get("Description"))
		default:
			changes = append(changes, m)
		}
		if len(changes) == pullBatch {
			return changes, false, nil
		}
		select {
		case m = <-received:
		default:
			return changes, false, nil
		}
	}
}

// An arrival is a change and the message that brought it.
type arrival struct {
	message *nats.Msg
	change  sprout.Change
}

// takeTogether applies messages and answers each.
func (s *Site) takeTogether(ctx context.Context, messages []*nats.Msg, apply Apply) {
	var came []arrival
	for _, m := range messages {
		c := arrival{message: m}
		if err := decode(subject(downStream, s.site), m.Header, m.Data, &c.change); err != nil {
			s.log.Error("change dropped", "error", err)
			s.answered(m.Term())
			continue
		}
		came = append(came, c)
	}
	if len(came) == 0 {
		return
	}
	slices.SortStableFunc(came, func(a, b arrival) int { return cmp.Compare(a.change.Seq, b.change.Seq) }) // what came again may be late
	changes := make([]sprout.Change, len(came))
	for i, c := range came {
		changes[i] = c.change
	}
	taken, err := apply(ctx, changes)
	for i, c := range came {
		if i < taken {
			s.answered(c.message.Ack())
			continue
		}
		wait := redeliverAfter(c.message)
		s.log.Warn("change not applied; it comes again", "seq", c.change.Seq, "kind", c.change.Kind, "pause", wait, "error", err)
		s.answered(c.message.NakWithDelay(wait))
	}
}

// answered notes an answer that could not be given.
func (s *Site) answered(err error) {
	if err != nil {
		s.log.Debug("change not acknowledged; it comes again", "error", err)
	}
}

func redeliverAfter(m *nats.Msg) time.Duration {
	delivered := uint64(1)
	if meta, err := m.Metadata(); err == nil {
		delivered = meta.NumDelivered
	}
	return min(100*time.Millisecond<<min(delivered, 10), 10*time.Second)
}

// awaitHub waits until the connection is there again, d at most.
func (s *Site) awaitHub(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-s.status:
	case <-timer.C:
	}
	return true
}
