package builtin

import (
	"context"
	"sync"

	"sprout"
)

// A saver replies once leases are saved: an address that was acknowledged is
// never forgotten. What comes while it saves is saved together, next. What
// gives an address up is decided here, in its turn, by what was given before.
type saver struct {
	s       *Server
	mu      sync.Mutex
	waiting []outgoing
	news    chan struct{} // waiting has some
}

// mostWaiting is how many answers may wait for their leases. Firmware asks again
// after 4 s, so more would be those that nobody waits for any more.
const mostWaiting = 1 << 14

func newSaver(s *Server) *saver { return &saver{s: s, news: make(chan struct{}, 1)} }

// give queues answers, or returns how many are dropped: too many wait.
func (v *saver) give(all []outgoing) (dropped int) {
	if len(all) == 0 {
		return 0
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.waiting) > mostWaiting {
		return len(all)
	}
	v.waiting = append(v.waiting, all...)
	select {
	case v.news <- struct{}{}:
	default: // it has news already
	}
	return 0
}

// run saves until news is closed.
func (v *saver) run(ctx context.Context) {
	for range v.news {
		v.mu.Lock()
		all := v.waiting
		v.waiting = nil
		v.mu.Unlock()
		v.save(ctx, all)
	}
}

func (v *saver) save(ctx context.Context, all []outgoing) {
	begin := 0
	for i := range all {
		if !all[i].gives() {
			continue
		}
		v.together(ctx, all[begin:i])
		var ok bool
		if all[i], ok = v.s.decide(all[i].Request); !ok || all[i].Lease == nil {
			v.s.finish(all[i : i+1])
			begin = i + 1
			continue
		}
		begin = i
	}
	v.together(ctx, all[begin:])
}

// together saves by one commit, and replies.
func (v *saver) together(ctx context.Context, all []outgoing) {
	if len(all) == 0 {
		return
	}
	leases := make([]sprout.Lease, len(all))
	for i := range all {
		leases[i] = *all[i].Lease
	}
	if err := v.s.config.Ledger.SaveLeases(ctx, leases...); err != nil {
		v.s.config.Log.Error("cannot save leases, so they are not given", "leases", len(leases), "client", all[0].Key, "ip", leases[0].IP, "error", err)
		return
	}
	v.s.finish(all)
}
