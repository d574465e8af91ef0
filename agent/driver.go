package agent

import (
	"context"
	"errors"
	"sync"
	"time"

	"sprout"
)

// workers is how many runs are worked on at once. Most of them wait for a BMC
// or a download, so there are more than processors.
const workers = 128

// keepRuns is how long a run that ended is kept for people to look at.
const keepRuns = 7 * 24 * time.Hour

// keepSeen is how long a ramdisk's last word is remembered: longer than any
// silence that is waited out.
const keepSeen = time.Hour

// A driver calls Advance for every run that is due: one call at a time a run.
type driver struct {
	site    *site
	mu      sync.Mutex
	flight  map[string]bool // by run id
	done    chan struct{}   // a call has returned
	running sync.WaitGroup
}

// drive runs the engine until ctx ends and waits for the calls in flight.
func (s *site) drive(ctx context.Context) error {
	d := &driver{site: s, flight: map[string]bool{}, done: make(chan struct{}, 1)}
	defer d.running.Wait()
	clean := time.NewTicker(time.Hour)
	defer clean.Stop()
	for {
		wait, err := d.startDue(ctx)
		if err != nil {
			return err
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		case <-d.done:
		case <-s.store.Wake():
		case <-clean.C:
			s.clean(ctx)
		}
		timer.Stop()
	}
}

// clean drops what is over and no longer of interest.
func (s *site) clean(ctx context.Context) {
	now := s.clock.Now()
	runs, err := s.store.DropRuns(ctx, now.Add(-keepRuns))
	attempts, attemptsErr := s.store.DropAttempts(ctx, now)
	s.seen.forget(now.Add(-keepSeen))
	if err = errors.Join(err, attemptsErr); err != nil && ctx.Err() == nil {
		s.log.Error("old runs and attempts not dropped", "error", err)
		return
	}
	s.log.Debug("old runs and attempts dropped", "runs", runs, "attempts", attempts)
}

// startDue starts the calls that are due and free workers allow. It returns
// when to look again if nothing happens before.
func (d *driver) startDue(ctx context.Context) (time.Duration, error) {
	now := d.site.clock.Now()
	ids, next, err := d.site.store.Due(now, 2*workers)
	if err != nil {
		return 0, err
	}
	for _, id := range ids {
		if !d.take(id) {
			continue
		}
		d.running.Go(func() { d.advance(ctx, id) })
	}
	if next.IsZero() || !next.After(now) { // the rest of a long list: when a call returns
		return time.Minute, nil
	}
	return min(next.Sub(now), time.Minute), nil
}

func (d *driver) take(id string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.flight[id] || len(d.flight) >= workers {
		return false
	}
	d.flight[id] = true
	return true
}

// advance calls Advance once. Trouble of the store is logged, and tried again
// after a second.
func (d *driver) advance(ctx context.Context, id string) {
	if _, _, err := d.site.engine.Advance(ctx, id); err != nil && ctx.Err() == nil {
		d.site.log.Error("run not advanced; again in a second", "run", id, "error", err)
		_ = sprout.Pause(ctx, time.Second)
	}
	d.mu.Lock()
	delete(d.flight, id)
	d.mu.Unlock()
	select {
	case d.done <- struct{}{}:
	default: // it has one to receive already
	}
}
