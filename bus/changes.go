package bus

import (
	"context"
	"encoding/json"
	"fmt"
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

// Changes hands the changes of the site's state to apply until ctx ends, and
// acknowledges each after apply returned nil. They come in the order in which
// they were published; one that apply refused comes again after a pause that
// grows from 200 ms to 10 s, behind later ones, and any may come twice: apply
// compares Seq, and refuses what it cannot apply yet.
func (s *Site) Changes(ctx context.Context, apply func(context.Context, sprout.Change) error) error {
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
func (s *Site) takePull(ctx context.Context, received <-chan *nats.Msg, apply func(context.Context, sprout.Change) error) error {
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
			switch status := m.Header.Get("Status"); {
			case status == "100":
			case status == "408":
				return nil
			case status != "" && m.Reply == "":
				return sprout.Errorf(sprout.Unavailable, "cannot pull: %s %s", status, m.Header.Get("Description"))
			default:
				got++
				s.takeChange(ctx, m, apply)
			}
		}
	}
	return nil
}

// takeChange applies one message and answers it.
func (s *Site) takeChange(ctx context.Context, m *nats.Msg, apply func(context.Context, sprout.Change) error) {
	var change sprout.Change
	answer := m.Ack
	if err := decode(subject(downStream, s.site), m.Header, m.Data, &change); err != nil {
		s.log.Error("change dropped", "error", err)
		answer = func(opts ...nats.AckOpt) error { return m.Term(opts...) }
	} else if err := apply(ctx, change); err != nil {
		wait := redeliverAfter(m)
		s.log.Warn("change not applied; it comes again", "seq", change.Seq, "kind", change.Kind, "pause", wait, "error", err)
		answer = func(opts ...nats.AckOpt) error { return m.NakWithDelay(wait, opts...) }
	}
	if err := answer(); err != nil {
		s.log.Debug("change not acknowledged; it comes again", "seq", change.Seq, "error", err)
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
