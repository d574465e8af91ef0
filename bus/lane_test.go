package bus

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"sprout"
)

// answers counts what a lane said of its messages.
type answers struct{ acked, given, dropped, held atomic.Int64 }

func (a *answers) Ack() error        { a.acked.Add(1); return nil }
func (a *answers) Nak() error        { a.given.Add(1); return nil }
func (a *answers) Term() error       { a.dropped.Add(1); return nil }
func (a *answers) InProgress() error { a.held.Add(1); return nil }

// oneByOne takes facts one after the other.
func oneByOne(take func(context.Context, sprout.SiteID, sprout.Fact) error) Take {
	return func(ctx context.Context, site sprout.SiteID, facts []sprout.Fact) (int, error) {
		for i, f := range facts {
			if err := take(ctx, site, f); err != nil {
				return i, err
			}
		}
		return len(facts), nil
	}
}

// Facts that wait are taken together, those behind a gap are not, and one that
// is refused in the middle holds up none before it.
func TestLaneTakesTogetherWhatWaits(t *testing.T) {
	l := newLane("sit_1", slog.New(slog.DiscardHandler))
	var said answers
	for seq := int64(1); seq <= batchFacts+20; seq++ {
		l.push(fact(seq), &said)
	}
	l.push(fact(batchFacts+30), &said)
	var batches [][2]int64
	refused := false
	ctx, stop := context.WithCancel(t.Context())
	l.run(ctx, func(_ context.Context, _ sprout.SiteID, facts []sprout.Fact) (int, error) {
		first, last := facts[0].Seq, facts[len(facts)-1].Seq
		batches = append(batches, [2]int64{first, last})
		switch {
		case first == 1 && !refused:
			refused = true
			return 10, sprout.Errorf(sprout.Unavailable, "cannot take fact 11 now")
		case first == batchFacts+30:
			stop()
			return 0, ctx.Err()
		}
		return len(facts), nil
	})
	want := [][2]int64{{1, batchFacts}, {11, batchFacts + 10}, {batchFacts + 11, batchFacts + 20}, {batchFacts + 30, batchFacts + 30}}
	if !slices.Equal(batches, want) || said.acked.Load() != batchFacts+20 || said.given.Load() != 1 {
		t.Errorf("batches %v, want %v; acked %d, given back %d", batches, want, said.acked.Load(), said.given.Load())
	}
}

// A fact whose predecessor is delivered after it must not stand in its way.
func TestLanePutsFactsInOrder(t *testing.T) {
	l := newLane("sit_1", slog.New(slog.DiscardHandler))
	var said answers
	got := make(chan int64, 10)
	refused := make(chan int64, 100)
	last := int64(0)
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		l.run(ctx, oneByOne(func(_ context.Context, _ sprout.SiteID, f sprout.Fact) error {
			if f.Seq != last+1 {
				refused <- f.Seq
				return fmt.Errorf("a gap before %d", f.Seq)
			}
			last = f.Seq
			got <- f.Seq
			return nil
		}))
	})
	l.push(fact(3), &said)
	l.push(fact(2), &said)
	next(t, refused, "refusal")
	l.push(fact(1), &said)
	for want := int64(1); want <= 3; want++ {
		if seq := next(t, got, "fact"); seq != want {
			t.Fatalf("got fact %d, want %d", seq, want)
		}
	}
	l.push(fact(9), &said)
	for next(t, refused, "refusal") != 9 {
	}
	stop()
	running.Wait()
	if said.acked.Load() != 3 || said.given.Load() != 1 || said.dropped.Load() != 0 || said.held.Load() == 0 {
		t.Errorf("acked %d, given back %d, dropped %d, held %d", said.acked.Load(), said.given.Load(), said.dropped.Load(), said.held.Load())
	}
}
