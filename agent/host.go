package agent

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"sprout"
	"sprout/health"
)

const (
	lookEvery = 2 * time.Second  // at the disk and the clock
	jumpOver  = 5 * time.Second  // what a clock may be off before it is trouble
	askAgain  = 30 * time.Second // the control plane, about a clock that it was asked about
	letGoEach = 10 * time.Second // the store's pages, which cost a page fault each to have again
)

// watchHost looks at what the agent stands on until ctx ends.
func (s *site) watchHost(ctx context.Context) error {
	look := func() {
		if err := s.troubles.Disk(s.config.DataDir, s.config.leastFree(), "no lease is given or renewed, and no work is begun, until there is room"); err != nil {
			s.log.Warn("disk not looked at", "error", err)
		}
		s.lookAtClock(ctx)
		s.lookAtCertificate(ctx)
	}
	look()
	return every(ctx, lookEvery, look)
}

// letGo keeps the store's file out of the agent's memory until ctx ends.
func (s *site) letGo(ctx context.Context) error {
	return every(ctx, letGoEach, func() {
		if err := s.store.LetGo(); err != nil {
			s.log.Warn("memory not given back", "error", err)
		}
	})
}

func (c Config) leastFree() uint64 {
	if c.LeastFree > 0 {
		return c.LeastFree
	}
	return health.LeastFree
}

// asked is when the control plane was asked for the time last, and what the host's
// clock was ahead then.
type asked struct {
	ahead time.Duration
	at    time.Time
}

// lookAtClock says when the host's clock was set while the agent ran. Leases and
// deadlines go on by the time that has passed, unless the control plane says that
// the clock is right now.
func (s *site) lookAtClock(ctx context.Context) {
	ahead := s.clock.Ahead().Round(time.Second)
	if ahead.Abs() <= jumpOver {
		s.troubles.Set(sprout.ClockWrong, "", "")
		return
	}
	if (ahead-s.asked.ahead).Abs() <= jumpOver && time.Since(s.asked.at) < askAgain {
		return
	}
	s.asked.ahead, s.asked.at = ahead, time.Now()
	evidence := "the control plane cannot be asked for the time"
	off, err := s.offCentre(ctx)
	switch {
	case err == nil && off.Abs() <= jumpOver:
		s.clock.Adopt()
		s.log.Warn("the host's clock was set right", "by", ahead)
		s.troubles.Set(sprout.ClockWrong, "", "")
		return
	case err == nil:
		evidence = fmt.Sprintf("it is %s off the control plane's", off)
	}
	s.troubles.Set(sprout.ClockWrong, fmt.Sprintf("the host's clock was set by %s while the agent ran", ahead), evidence)
}

// offCentre is how much the host's clock is ahead of the control plane's, to a
// second: by the Date of an answer (RFC 9110, section 6.6.1).
func (s *site) offCentre(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, lookEvery)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodHead, strings.TrimRight(s.config.Server, "/")+"/healthz", nil)
	if err != nil {
		return 0, err
	}
	answer, err := s.centre.Do(r)
	if err != nil {
		return 0, err
	}
	_ = answer.Body.Close() // HEAD has none
	at, err := http.ParseTime(answer.Header.Get("Date"))
	return s.clock.Wall().Sub(at).Round(time.Second), err
}
