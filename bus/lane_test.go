package bus

import (
	"context"
	"fmt"
	"log/slog"
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
		l.run(ctx, func(_ context.Context, _ sprout.SiteID, f sprout.Fact) error {
			if f.Seq != last+1 {
				refused <- f.Seq
				return fmt.Errorf("a gap before %d", f.Seq)
			}
			last = f.Seq
			got <- f.Seq
			return nil
		})
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
