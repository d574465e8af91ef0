package server

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"sprout"
)

// sayAgain is how often the problems of an agent are brought up to date although
// its heartbeats say the same: another replica may have taken the one that differed.
const sayAgain = 30 * time.Second

// troubled remembers what each agent last said to be wrong with it, at this
// replica.
type troubled struct {
	mu   sync.Mutex
	said map[sprout.AgentID][]sprout.Trouble
	at   map[sprout.AgentID]time.Time
}

// news tells whether an agent says anything new, or it is time to look again.
func (t *troubled) news(agent sprout.AgentID, list []sprout.Trouble, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.said == nil {
		t.said, t.at = map[sprout.AgentID][]sprout.Trouble{}, map[sprout.AgentID]time.Time{}
	}
	if old, known := t.said[agent]; known && slices.Equal(old, list) && now.Sub(t.at[agent]) < sayAgain {
		return false
	}
	t.said[agent], t.at[agent] = list, now
	return true
}

// forget has the next heartbeat looked at whatever it says.
func (t *troubled) forget(agent sprout.AgentID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.said, agent)
}

// takeTroubles opens the problems that an agent says it has, and closes those
// that it no longer has.
func (s *Server) takeTroubles(ctx context.Context, t *troubled, a sprout.Agent, beat sprout.Heartbeat) error {
	now := time.Now()
	list := believed(beat, now)
	if !t.news(a.ID, list, now) {
		return nil
	}
	var problems []sprout.Problem
	for _, trouble := range list {
		p := problemOf(trouble, string(a.ID), a.SiteName)
		p.Site = a.Site
		problems = append(problems, p)
	}
	err := s.store.Tx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		return keepProblems(ctx, s.store, tx, string(a.ID), sprout.OwnCodes, problems)
	})
	if err != nil {
		t.forget(a.ID)
	}
	return err
}

// believed is what is taken of an agent's troubles: known codes, once each, of
// bounded length. A clock that is off is trouble whatever the agent says.
func believed(beat sprout.Heartbeat, now time.Time) (list []sprout.Trouble) {
	seen := map[sprout.Code]bool{}
	for _, t := range beat.Troubles[:min(len(beat.Troubles), sprout.MostTroubles)] {
		if !seen[t.Code] && t.Reason != "" && slices.Contains(sprout.OwnCodes, t.Code) {
			seen[t.Code] = true
			t.Reason, t.Evidence = words(t.Reason), words(t.Evidence)
			list = append(list, t)
		}
	}
	if off := beat.At.Sub(now); !beat.At.IsZero() && off.Abs() > agentOff && !seen[sprout.ClockWrong] {
		off = off.Round(time.Minute) // by steps, or every heartbeat would be news
		list = append(list, sprout.Trouble{
			Code: sprout.ClockWrong, Reason: fmt.Sprintf("the clock of the agent's host is off the control plane's by more than %s", agentOff),
			Evidence: fmt.Sprintf("by about %s", off), Since: now.Truncate(time.Hour),
		})
	}
	return list
}
