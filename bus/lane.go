package bus

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"sprout"
)

// The pauses after a fact was not taken double from the first to the last.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 30 * time.Second
)

// Facts that come thick and fast share transactions: of one agent so many at
// most, gathered for so long at most. One that comes alone is taken at once.
const (
	batchFacts = 100
	batchBytes = 1 << 20
	gatherFor  = 50 * time.Millisecond
)

// A lane holds the facts of one agent that were received and not yet taken, and
// hands them on by their Seq: what is delivered again, or by another replica's
// end, may come after later ones.
type lane struct {
	site    sprout.SiteID
	log     *slog.Logger
	arrived chan struct{}

	mu      sync.Mutex
	pending map[int64]received // by Seq
	taken   int64              // the last Seq that was finished
}

// received is a fact and what answers for it.
type received struct {
	fact sprout.Fact
	answer
}

// An answer tells the hub what became of a message.
type answer interface {
	Ack() error
	Nak() error
	Term() error
	InProgress() error
}

func newLane(site sprout.SiteID, log *slog.Logger) *lane {
	return &lane{site: site, log: log, arrived: make(chan struct{}, 1), pending: map[int64]received{}}
}

// push adds a fact. Of one that is delivered again the newest message counts.
func (l *lane) push(f sprout.Fact, a answer) {
	l.mu.Lock()
	l.pending[f.Seq] = received{f, a}
	l.mu.Unlock()
	select {
	case l.arrived <- struct{}{}:
	default: // it has one to receive already
	}
}

// first returns the fact that follows the last one, else that with the lowest
// Seq.
func (l *lane) first() (first received, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if first, ok = l.pending[l.taken+1]; ok { // as it should be: no need to look at all
		return first, ok
	}
	for seq, r := range l.pending {
		if !ok || seq < first.fact.Seq {
			first, ok = r, true
		}
	}
	return first, ok
}

// batch returns the first fact and those that follow it without a gap.
func (l *lane) batch() (batch []sprout.Fact) {
	first, ok := l.first()
	l.mu.Lock()
	defer l.mu.Unlock()
	for size := 0; ok && len(batch) < batchFacts && size < batchBytes; first, ok = l.pending[first.fact.Seq+1] {
		batch = append(batch, first.fact)
		size += len(first.fact.Body)
	}
	return batch
}

// gather waits while facts come so fast that they are better taken together.
func (l *lane) gather(ctx context.Context, since time.Time) {
	over := time.NewTimer(gatherFor - time.Since(since))
	defer over.Stop()
	for {
		l.mu.Lock()
		waiting := len(l.pending)
		l.mu.Unlock()
		if waiting >= batchFacts {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-over.C:
			return
		case <-l.arrived:
		}
	}
}

// run hands the facts to take until ctx ends; what is left then goes back to the
// hub at once, for another replica.
func (l *lane) run(ctx context.Context, take Take) {
	defer l.giveBack()
	wait := firstPause
	var last time.Time
	for ctx.Err() == nil {
		if _, ok := l.first(); !ok {
			select {
			case <-ctx.Done():
			case <-l.arrived:
			}
			continue
		}
		l.gather(ctx, last)
		batch := l.batch()
		taken, err := take(ctx, l.site, batch)
		for _, f := range batch[:taken] {
			l.finish(f.Seq, nil)
		}
		if last = time.Now(); taken > 0 {
			wait = firstPause
		}
		switch {
		case taken == len(batch):
		case sprout.KindOf(err) == sprout.Invalid:
			l.finish(batch[taken].Seq, err)
			wait = firstPause
		case ctx.Err() != nil:
			return
		case err != nil:
			wait = l.again(ctx, batch[taken].Seq, wait, err)
		}
	}
}

// again holds a fact that was not taken, and returns how long the next time.
func (l *lane) again(ctx context.Context, seq int64, wait time.Duration, err error) time.Duration {
	l.mu.Lock()
	r := l.pending[seq]
	l.mu.Unlock()
	l.log.Warn("fact not taken; again after a pause", "site", l.site, "seq", seq, "kind", r.fact.Kind, "pause", wait, "error", err)
	if l.hold(ctx, r, wait) {
		return min(2*wait, lastPause)
	}
	return firstPause
}

// finish answers for a fact that was taken, or that never will be.
func (l *lane) finish(seq int64, err error) {
	l.mu.Lock()
	r := l.pending[seq]
	delete(l.pending, seq)
	l.taken = seq
	l.mu.Unlock()
	if err == nil {
		settle(l.log, r.Ack())
		return
	}
	l.log.Error("fact dropped", "site", l.site, "seq", seq, "kind", r.fact.Kind, "error", err)
	settle(l.log, r.Term())
}

// hold waits, keeping the message from being delivered again. False: an earlier
// fact came meanwhile, and goes first.
func (l *lane) hold(ctx context.Context, r received, wait time.Duration) bool {
	settle(l.log, r.InProgress())
	over := time.NewTimer(wait)
	defer over.Stop()
	still := time.NewTicker(ackWait / 3)
	defer still.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-over.C:
			return true
		case <-still.C:
			settle(l.log, r.InProgress())
		case <-l.arrived:
			if first, _ := l.first(); first.fact.Seq < r.fact.Seq {
				return false
			}
		}
	}
}

func (l *lane) giveBack() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.pending {
		settle(l.log, r.Nak())
	}
}

// settle logs an answer that could not be given: the message comes again.
func settle(log *slog.Logger, err error) {
	if err != nil {
		log.Debug("fact not answered for; it comes again", "error", err)
	}
}
