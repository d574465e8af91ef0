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

// run hands the facts to take, one after the other, until ctx ends; what is left
// then goes back to the hub at once, for another replica.
func (l *lane) run(ctx context.Context, take func(context.Context, sprout.SiteID, sprout.Fact) error) {
	defer l.giveBack()
	wait := firstPause
	for ctx.Err() == nil {
		r, ok := l.first()
		if !ok {
			select {
			case <-ctx.Done():
			case <-l.arrived:
			}
			continue
		}
		err := take(ctx, l.site, r.fact)
		if err == nil || sprout.KindOf(err) == sprout.Invalid {
			l.finish(r.fact.Seq, err)
			wait = firstPause
			continue
		}
		if ctx.Err() != nil {
			return
		}
		l.log.Warn("fact not taken; again after a pause", "site", l.site, "seq", r.fact.Seq, "kind", r.fact.Kind, "pause", wait, "error", err)
		if l.hold(ctx, r, wait) {
			wait = min(2*wait, lastPause)
		} else {
			wait = firstPause
		}
	}
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
