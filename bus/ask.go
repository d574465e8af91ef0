package bus

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"

	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"

	"sprout"
)

// Ask asks the site's agent something that changes nothing, and returns its
// answer. Nothing is kept: where the agent is away, ctx ends and the error is
// Unavailable.
func (c *Centre) Ask(ctx context.Context, site sprout.SiteID, kind string, body, answer any) error {
	if err := checkSite(site); err != nil {
		return err
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	q := sprout.Question{ID: rand.Text(), Kind: kind, Body: raw}
	answers, err := c.conn.SubscribeSync(subject(liveSubject, site))
	if err != nil {
		return sprout.Errorf(sprout.Unavailable, "cannot ask the agent of site %s: %w", site, err)
	}
	defer func() { _ = answers.Unsubscribe() }() // the connection may be closed already
	m, err := message(inboxPrefix(site)+"."+askSubject, q)
	if err != nil {
		return err
	}
	m.Subject = askSubject + "." + inboxPrefix(site) // what the sites' account makes that inbox of
	if err := c.conn.PublishMsg(m); err != nil {
		return sprout.Errorf(sprout.Unavailable, "cannot ask the agent of site %s: %w", site, err)
	}
	for {
		m, err := answers.NextMsgWithContext(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			return sprout.Errorf(sprout.Unavailable, "cannot ask the agent of site %s: no answer in time; is it of this version? sprout agent list", site)
		}
		if err != nil {
			return sprout.Errorf(sprout.Unavailable, "cannot ask the agent of site %s: %w", site, err)
		}
		var live sprout.Live
		if decode(m.Subject, m.Header, m.Data, &live) != nil || live.Answer == nil || live.Answer.ID != q.ID {
			continue // progress, and what others asked
		}
		if live.Answer.Error != "" {
			return sprout.Errorf(live.Answer.Kind, "%s", live.Answer.Error)
		}
		return json.Unmarshal(live.Answer.Body, answer)
	}
}

// mostAnswers is how many questions are answered at once.
const mostAnswers = 8

// Questions has answer answer what the centre asks, several at once, until ctx
// ends.
func (s *Site) Questions(ctx context.Context, answer func(context.Context, sprout.Question) (any, error)) error {
	subj := inboxPrefix(s.site) + "." + askSubject
	asked := make(chan *nats.Msg, 64)
	sub, err := s.conn.ChanSubscribe(subj, asked)
	if err != nil {
		return sprout.Errorf(sprout.Unavailable, "cannot hear what the centre asks: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }() // the connection may be closed already
	var answering errgroup.Group
	answering.SetLimit(mostAnswers)
	defer func() { _ = answering.Wait() }() // none fails
	for {
		select {
		case <-ctx.Done():
			return nil
		case m := <-asked:
			var q sprout.Question
			if err := decode(subj, m.Header, m.Data, &q); err != nil {
				s.log.Warn("question dropped", "error", err)
				continue
			}
			answering.Go(func() error {
				if err := s.PublishLive(sprout.Live{Answer: answered(ctx, q, answer)}); err != nil {
					s.log.Debug("question not answered", "kind", q.Kind, "error", err)
				}
				return nil
			})
		}
	}
}

func answered(ctx context.Context, q sprout.Question, answer func(context.Context, sprout.Question) (any, error)) *sprout.Answer {
	a := &sprout.Answer{ID: q.ID}
	v, err := answer(ctx, q)
	if err == nil {
		a.Body, err = json.Marshal(v)
	}
	if err != nil {
		a.Kind, a.Error = sprout.KindOf(err), err.Error()
	}
	return a
}
