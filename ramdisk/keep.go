package ramdisk

import (
	"context"
	"sync"
	"time"

	"sprout"
)

// keepEvery is how often, at most, the agent is told what is done of an order to
// test: a test of seconds costs it nothing, and a restart no more than that.
const keepEvery = 5 * time.Second

// A keeper tells the site's agent what is done of an order to test, so that it is not
// done again after a restart.
type keeper struct {
	mu   sync.Mutex
	news sprout.TestsDone
	stop func() // ends it, and waits for it; what it has not told is in the order's report
}

// keepTests tells the agent what the keeper hears, until it is stopped.
func (a *Agent) keepTests(ctx context.Context, order string) *keeper {
	ctx, cancel := context.WithCancel(ctx)
	k := &keeper{}
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(keepEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if now := k.take(); len(now.Results)+len(now.Marks) > 0 {
					_ = a.Client.Report(ctx, sprout.Report{Order: order, Outcome: "progress", Tests: now.Results, Marks: now.Marks}) // it fails only when the order has ended
				}
			}
		}
	})
	k.stop = func() { cancel(); wg.Wait() }
	return k
}

func (k *keeper) take() sprout.TestsDone {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.news
	k.news = sprout.TestsDone{}
	return now
}

func (k *keeper) result(r sprout.TestResult) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.news.Add([]sprout.TestResult{r}, nil)
}

func (k *keeper) mark(m sprout.TestMark) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.news.Add(nil, []sprout.TestMark{m})
}
