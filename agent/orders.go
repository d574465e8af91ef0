package agent

import (
	"sync"

	"sprout"
)

// orders wakes the ramdisks that wait for an order. The orders themselves are
// in the store.
type orders struct {
	mu      sync.Mutex
	waiting map[sprout.AttemptID]*waiting
}

// waiting is how many wait for an attempt's order, and what wakes them.
type waiting struct {
	people int
	wake   chan struct{} // closed when an order is given
}

func newOrders() *orders { return &orders{waiting: map[sprout.AttemptID]*waiting{}} }

// await returns a channel that closes when the attempt is given an order. leave
// is to be called when nobody waits on it any more.
func (o *orders) await(attempt sprout.AttemptID) (wake <-chan struct{}, leave func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	w := o.waiting[attempt]
	if w == nil {
		w = &waiting{wake: make(chan struct{})}
		o.waiting[attempt] = w
	}
	w.people++
	return w.wake, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		w.people--
		if w.people == 0 && o.waiting[attempt] == w {
			delete(o.waiting, attempt)
		}
	}
}

// given wakes who waits for the attempt's order.
func (o *orders) given(attempt sprout.AttemptID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if w := o.waiting[attempt]; w != nil {
		close(w.wake)
		delete(o.waiting, attempt)
	}
}
