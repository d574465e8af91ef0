package governor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sprout"
)

// A breaker counts how often in a row the BMC did not answer. Closed: it is asked.
// Open: it rests, and whoever asks is told so at once. After its rest one operation
// goes through and tells whether it answers again.
type breaker struct {
	failures int
	rest     time.Duration // the last one; 0: closed
	until    time.Time     // the end of the rest
	last     string        // evidence of the last failure
}

func (b breaker) resting(now time.Time) bool { return b.rest > 0 && now.Before(b.until) }

// refuse fails while the BMC rests.
func (g *Governor) refuse() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.config.Now()
	if !g.silent.resting(now) {
		return nil
	}
	again := g.silent.until.Sub(now).Round(time.Second)
	return sprout.Fail(sprout.BMCUnreachable,
		fmt.Sprintf("cannot reach the BMC: it did not answer %d times in a row, and is asked again in %s", g.silent.failures, max(again, time.Second)), g.silent.last)
}

// learn opens the breaker when the BMC has been silent often enough, and closes it
// with the first answer, a refusal included. An operation that its caller ended
// says nothing of the BMC.
func (g *Governor) learn(ctx context.Context, err error) {
	f, silent := unreachable(err)
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case !silent:
		if g.silent.rest > 0 {
			g.log.Info("BMC answers again")
		}
		g.silent = breaker{}
	case ctx.Err() != nil && errors.Is(context.Cause(ctx), context.Canceled):
	default:
		g.silent.failures++
		g.silent.last = f.Evidence
		if g.silent.failures < g.config.Failures {
			return
		}
		g.silent.rest = min(max(2*g.silent.rest, g.config.Rest), g.config.MaxRest)
		g.silent.until = g.config.Now().Add(g.silent.rest)
		g.log.Warn("BMC does not answer and is left alone", "failures", g.silent.failures, "rest", g.silent.rest, "evidence", g.silent.last)
	}
}
