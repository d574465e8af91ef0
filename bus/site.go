package bus

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sprout"
)

// A SiteConfig says how an agent reaches the bus.
type SiteConfig struct {
	URL   string // one or more, with commas
	Site  sprout.SiteID
	Agent sprout.AgentID
	JWT   string // of Keys.UserJWT
	Seed  []byte // of the user key; it never leaves the agent
	TLS   *tls.Config
	Log   *slog.Logger
}

// A Site is an agent's side of the bus.
type Site struct {
	conn   *nats.Conn
	site   sprout.SiteID
	agent  sprout.AgentID
	log    *slog.Logger
	status chan nats.Status
}

// ConnectSite connects an agent. It returns also while the bus is away, and
// then goes on trying for ever.
func ConnectSite(c SiteConfig) (*Site, error) {
	if err := errors.Join(checkSite(c.Site), checkAgent(c.Agent)); err != nil {
		return nil, err
	}
	opts := connectOptions(c.Log, "sprout-agent "+string(c.Agent), c.TLS)
	opts = append(opts,
		nats.UserJWTAndSeed(c.JWT, string(c.Seed)),
		nats.CustomInboxPrefix(inboxPrefix(c.Site)))
	conn, err := nats.Connect(c.URL, opts...)
	if err != nil {
		return nil, sprout.Errorf(sprout.Unavailable, "cannot connect to the bus: %w", err)
	}
	s := &Site{conn: conn, site: c.Site, agent: c.Agent, log: c.Log}
	s.status = conn.StatusChanged(nats.CONNECTED)
	return s, nil
}

// Close leaves the bus.
func (s *Site) Close() { s.conn.Close() }

// Connected tells whether the bus is there now.
func (s *Site) Connected() bool { return s.conn.IsConnected() }

// PublishFacts sends facts in their order and returns how many of the first
// ones the hub has stored: all of them, or fewer and the reason. Facts that
// are sent again, after an answer was lost, are stored once.
func (s *Site) PublishFacts(ctx context.Context, facts ...sprout.Fact) (int, error) {
	reconnects := s.conn.Stats().Reconnects
	inbox := s.conn.NewInbox()
	answers := make(chan *nats.Msg, len(facts))
	sub, err := s.conn.ChanSubscribe(inbox+".*", answers)
	if err != nil {
		return 0, sprout.Errorf(sprout.Unavailable, "cannot publish facts: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }() // the connection may be closed already
	sent := 0
	for i, fact := range facts {
		if err = s.sendFact(fact, inbox+"."+strconv.Itoa(i)); err != nil {
			break
		}
		sent++
	}
	stored, awaitErr := s.awaitStored(ctx, answers, len(inbox)+1, sent, reconnects)
	if awaitErr != nil {
		return stored, awaitErr
	}
	return stored, err
}

// maxNote is longer than what stands in place of a body that is too large.
const maxNote = 200

func (s *Site) sendFact(fact sprout.Fact, reply string) error {
	m, err := message(factSubject(s.site, s.agent), fact)
	if err != nil {
		return err
	}
	m.Reply = reply
	m.Header.Set(nats.MsgIdHdr, fmt.Sprintf("%s/%d", s.agent, fact.Seq))
	err = s.conn.PublishMsg(m)
	if tooLarge(err) && len(fact.Body) > maxNote {
		// Else the facts behind it would wait for ever. The centre cannot read it, and says so.
		s.log.Error("fact sent without its body: it is larger than a message may be", "seq", fact.Seq, "kind", fact.Kind, "bytes", len(fact.Body))
		note, _ := json.Marshal(fmt.Sprintf("left out: its %d bytes are more than a message may have", len(fact.Body))) // a string always can
		fact.Body = note
		return s.sendFact(fact, reply)
	}
	if err != nil {
		return sprout.Errorf(sprout.Unavailable, "cannot publish fact %d: %w", fact.Seq, err)
	}
	return nil
}

// awaitStored collects the hub's answers and counts the facts that are stored
// without a gap from the first. Answers do not outlive the connection.
func (s *Site) awaitStored(ctx context.Context, answers <-chan *nats.Msg, prefix, sent int, reconnects uint64) (int, error) {
	stored := make([]bool, sent)
	count := func() int {
		for i, ok := range stored {
			if !ok {
				return i
			}
		}
		return sent
	}
	limit, look := time.NewTimer(10*time.Second), time.NewTicker(100*time.Millisecond)
	defer limit.Stop()
	defer look.Stop()
	var refused error
	for got := 0; got < sent; {
		select {
		case <-look.C:
			if !s.Connected() || s.conn.Stats().Reconnects != reconnects {
				return count(), sprout.Errorf(sprout.Unavailable, "cannot publish facts: the connection was lost")
			}
		case <-ctx.Done():
			return count(), ctx.Err()
		case <-limit.C:
			return count(), sprout.Errorf(sprout.Unavailable, "cannot publish facts: the hub did not answer within 10 s")
		case m := <-answers:
			got++
			i, err := strconv.Atoi(m.Subject[prefix:])
			if err != nil || i < 0 || i >= sent {
				continue
			}
			if err := storedAnswer(m); err != nil {
				refused = err
				continue
			}
			stored[i] = true
		}
	}
	return count(), refused
}

// ErrFull says that the hub has no room for facts: its stream is at its limit, or
// its disk is full. It takes them once there is room.
var ErrFull = errors.New("the hub has no room")

// fullCodes are JetStream's codes for want of room (JSInsufficientResourcesErr,
// JSStorageResourcesExceededErr, JSStreamStoreFailedF).
var fullCodes = []jetstream.ErrorCode{10023, 10047, 10077}

// storedAnswer reads JetStream's answer to a publication (ADR-28 of NATS calls
// it PubAck).
func storedAnswer(m *nats.Msg) error {
	if m.Header.Get("Status") == "503" {
		return sprout.Errorf(sprout.Unavailable, "cannot publish facts: the hub has no stream for them now")
	}
	var answer struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return sprout.Errorf(sprout.Unavailable, "cannot publish facts: the hub's answer cannot be read: %w", err)
	}
	if answer.Error != nil && slices.Contains(fullCodes, answer.Error.ErrorCode) {
		return sprout.Errorf(sprout.Unavailable, "cannot publish facts: %w: %s", ErrFull, answer.Error.Description)
	}
	if answer.Error != nil {
		return sprout.Errorf(sprout.Unavailable, "cannot publish facts: the hub refused: %s", answer.Error.Description)
	}
	return nil
}

// PublishLive sends what work looks like now to whoever watches. Losing it
// costs nothing, so an error is only that the bus is away.
func (s *Site) PublishLive(l sprout.Live) error { return s.say(liveSubject, l) }

// PublishBeat says that the agent lives.
func (s *Site) PublishBeat(h sprout.Heartbeat) error { return s.say(beatSubject, h) }

func (s *Site) say(kind string, v any) error {
	m, err := message(subject(kind, s.site), v)
	if err != nil {
		return err
	}
	if err := s.conn.PublishMsg(m); err != nil {
		return sprout.Errorf(sprout.Unavailable, "cannot publish on %s: %w", m.Subject, err)
	}
	return nil
}
