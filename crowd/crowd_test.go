package crowd_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"sprout/crowd"
)

// Each ask is answered once, whoever answers it; no more than two answer at a
// time, and who waits is answered with others.
func TestEachAskIsAnsweredOnce(t *testing.T) {
	const asks = 2000
	var c crowd.Crowd[int, *int]
	var answering, most, calls atomic.Int64
	answer := func(_ context.Context, all []*int) {
		calls.Add(1)
		now := answering.Add(1)
		for before := most.Load(); now > before && !most.CompareAndSwap(before, now); before = most.Load() {
		}
		for _, a := range all {
			*a++
		}
		answering.Add(-1)
	}
	answers := make([]int, asks)
	var all sync.WaitGroup
	for i := range asks {
		all.Go(func() {
			if err := c.Ask(t.Context(), 0, &answers[i], answer); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for i, n := range answers {
		if n != 1 {
			t.Fatalf("ask %d was answered %d times", i, n)
		}
	}
	if most.Load() > 2 || calls.Load() > asks {
		t.Errorf("%d answered at a time, in %d calls", most.Load(), calls.Load())
	}
}

// Who waits is answered together; who goes away meanwhile is not answered, and is
// told so; other kinds do not wait.
func TestWhoWaitsMayGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c crowd.Crowd[string, string]
		hold := make(chan struct{})
		var mu sync.Mutex
		var together [][]string
		answer := func(ctx context.Context, all []string) {
			if all[0] == "first" {
				<-hold
			}
			if ctx.Err() != nil {
				t.Error("what others wait for ends with who asked first")
			}
			mu.Lock()
			together = append(together, all)
			mu.Unlock()
		}
		var running sync.WaitGroup
		first, gone := context.WithCancel(t.Context())
		for range 2 {
			running.Go(func() { _ = c.Ask(first, "a", "first", answer) })
		}
		synctest.Wait() // both lanes are taken
		leaving, leave := context.WithCancel(t.Context())
		errs := make(chan error, 1)
		running.Go(func() { errs <- c.Ask(leaving, "a", "leaves", answer) })
		synctest.Wait()
		for range 3 {
			running.Go(func() { _ = c.Ask(t.Context(), "a", "waits", answer) })
		}
		synctest.Wait()
		if err := c.Ask(t.Context(), "b", "other", answer); err != nil {
			t.Error(err)
		}
		leave()
		if err := <-errs; err == nil {
			t.Error("who went was answered")
		}
		gone()
		close(hold)
		running.Wait()
		waited := 0
		for _, all := range together {
			for _, a := range all {
				if a == "leaves" {
					t.Error("who went was answered")
				}
				if a == "waits" {
					waited++
				}
			}
		}
		if waited != 3 {
			t.Errorf("%d of 3 who waited were answered: %v", waited, together)
		}
	})
}
