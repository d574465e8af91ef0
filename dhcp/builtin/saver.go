package builtin

import (
	"context"
	"sync"

	"sprout"
)

// A saver replies once leases are saved: an address that was acknowledged is
// never forgotten. What comes while it saves is saved together, next, and does
// not wait for what takes long. What gives an address up is decided here, in its
// turn: by what was given before, and before what is given next.
type saver struct {
	s    *Server
	news chan struct{} // waiting has some

	mu      sync.Mutex
	waiting []*outgoing
	endings bool // some of waiting give an address up

	turn  sync.Mutex   // held by who takes what waits
	order sync.RWMutex // held in whole by who has endings
}

const (
	// mostWaiting is how many answers may wait for their leases. Firmware asks
	// again after 4 s, so more would be those that nobody waits for any more.
	mostWaiting = 1 << 14
	// savers is how many may save at the same time. The ledger has them share
	// its commits.
	savers = 4
)

func newSaver(s *Server) *saver { return &saver{s: s, news: make(chan struct{}, 1)} }

// give queues answers, or returns how many are dropped: too many wait.
func (v *saver) give(all []*outgoing) (dropped int) {
	if len(all) == 0 {
		return 0
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.waiting) > mostWaiting {
		return len(all)
	}
	v.waiting = append(v.waiting, all...)
	for _, o := range all {
		v.endings = v.endings || o.ending.wire != nil
	}
	select {
	case v.news <- struct{}{}:
	default: // it has news already
	}
	return 0
}

// start saves until news is closed, and whatever waits then.
func (v *saver) start(ctx context.Context) *sync.WaitGroup {
	running := &sync.WaitGroup{}
	for range savers {
		running.Go(func() {
			w := &worker{saver: v, post: v.s.newPost()}
			for range v.news {
				w.work(ctx)
			}
			w.work(ctx)
		})
	}
	return running
}

// A worker is one goroutine of a saver, and what it uses again.
type worker struct {
	*saver
	post   *post
	taken  []*outgoing
	leases []sprout.Lease
}

// work saves what waits.
func (w *worker) work(ctx context.Context) {
	w.turn.Lock()
	w.mu.Lock()
	endings := w.endings
	w.taken, w.waiting, w.endings = w.waiting, w.taken[:0], false
	w.mu.Unlock()
	if endings {
		w.order.Lock()
		w.turn.Unlock()
		w.save(ctx)
		w.order.Unlock()
	} else {
		w.order.RLock()
		w.turn.Unlock()
		w.together(ctx, w.taken)
		w.order.RUnlock()
	}
}

// save saves what gives addresses up one by one, and others together.
func (w *worker) save(ctx context.Context) {
	all, begin := w.taken, 0
	for i, o := range all {
		if o.ending.wire == nil {
			continue
		}
		w.together(ctx, all[begin:i])
		begin = i + 1
		if decided := w.s.decideEnding(o.ending); decided == nil {
			continue
		} else if decided.lease == nil {
			w.s.finish(w.post, []*outgoing{decided})
		} else {
			all[i], begin = decided, i
		}
	}
	w.together(ctx, all[begin:])
}

// together saves by one commit, and replies.
func (w *worker) together(ctx context.Context, all []*outgoing) {
	if len(all) == 0 {
		return
	}
	w.leases = w.leases[:0]
	for _, o := range all {
		w.leases = append(w.leases, *o.lease)
	}
	if err := w.s.config.Ledger.SaveLeases(ctx, w.leases...); err != nil {
		w.s.config.Log.Error("cannot save leases, so they are not given", "leases", len(all), "client", all[0].key, "ip", w.leases[0].IP, "error", err)
		return
	}
	w.s.finish(w.post, all)
}
