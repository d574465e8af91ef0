package server

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"sprout"
	"sprout/alloc"
	"sprout/store"
)

const (
	// oldest is how old a reading may be that machines are chosen from: a smaller
	// machine that was free for less may be passed over.
	oldest = 5 * time.Second
	// mostWants is how many different requests of one reading are remembered.
	mostWants = 128
)

// A shelf is the machines that may be free, as they were read not long ago, and
// for each request those that fit it, in order. Whoever takes one takes it from
// everybody. It only ever proposes: what it has may have gone, or changed.
type shelf struct {
	provider alloc.Provider

	mu       sync.Mutex
	stock    store.Stock
	read     time.Time // when the reading began; zero: nothing is known
	machines []sprout.Machine
	at       map[sprout.MachineID]int
	named    map[string][]int          // by name, of which each site may have one
	taken    []bool                    // beside machines
	fits     map[string][]int          // by request: places in machines
	out      map[sprout.MachineID]bool // proposed, and it is not known yet whether they were given
	settled  chan struct{}             // closed when some of out are; nil: nobody waits
}

// take proposes a machine, of a reading that is not old; that there is none
// is said of one that began after began.
func (h *shelf) take(ctx context.Context, s *store.Store, sites sprout.Sites, want alloc.Request, began time.Time) (m sprout.Machine, found bool, err error) {
	key, err := keyOfWant(sites, want)
	if err != nil {
		return m, false, err
	}
	err = h.propose(ctx, s, began, func() bool {
		m, found = h.next(key, sites, want)
		return found
	})
	return m, found, err
}

// takeSome proposes those machines that pick takes of all that fit, in their order.
func (h *shelf) takeSome(ctx context.Context, s *store.Store, sites sprout.Sites, want alloc.Request, began time.Time, pick func(fit []sprout.Machine) []sprout.Machine) (some []sprout.Machine, err error) {
	key, err := keyOfWant(sites, want)
	if err != nil {
		return nil, err
	}
	err = h.propose(ctx, s, began, func() bool {
		var fit []sprout.Machine
		for _, place := range h.places(key, sites, want) {
			if !h.taken[place] {
				fit = append(fit, h.machines[place])
			}
		}
		some = pick(fit)
		for _, m := range some {
			h.takeOut(h.at[m.ID])
		}
		return len(some) > 0
	})
	return some, err
}

func keyOfWant(sites sprout.Sites, want alloc.Request) (string, error) {
	key, err := json.Marshal(struct {
		Sites sprout.Sites
		Want  alloc.Request
	}{sites, want})
	return string(key), err
}

// propose runs try on a reading that is not old, and where nothing is found there,
// on one that began after began. Both have the machines to themselves.
func (h *shelf) propose(ctx context.Context, s *store.Store, began time.Time, try func() bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if time.Since(h.read) < oldest && (try() || h.read.After(began)) {
		return nil
	}
	if err := h.look(ctx, s); err != nil {
		return err
	}
	try()
	return nil
}

// settle says that what was proposed was given, or was not: another reading will
// tell.
func (h *shelf) settle(proposed map[sprout.MachineID]sprout.Machine) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id := range proposed {
		delete(h.out, id)
	}
	if h.settled != nil && len(proposed) > 0 {
		close(h.settled)
		h.settled = nil
	}
}

// wait returns once something that was proposed is settled; at once if nothing is
// proposed to anybody. Who waits must have settled what it was proposed itself.
func (h *shelf) wait(ctx context.Context) error {
	h.mu.Lock()
	if len(h.out) == 0 {
		h.mu.Unlock()
		return nil
	}
	if h.settled == nil {
		h.settled = make(chan struct{})
	}
	settled := h.settled
	h.mu.Unlock()
	select {
	case <-settled:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// forget has the next ask look anew.
func (h *shelf) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.read = time.Time{}
}

// look reads what is free. The caller holds h.mu.
func (h *shelf) look(ctx context.Context, s *store.Store) (err error) {
	now := time.Now()
	if h.machines, err = s.ReadStock(ctx, &h.stock); err != nil {
		h.read = time.Time{}
		return err
	}
	h.read, h.taken, h.fits = now, make([]bool, len(h.machines)), map[string][]int{}
	h.at, h.named = make(map[sprout.MachineID]int, len(h.machines)), make(map[string][]int, len(h.machines))
	for i := range h.machines {
		m := &h.machines[i]
		h.at[m.ID], h.taken[i] = i, h.out[m.ID]
		h.named[m.Name] = append(h.named[m.Name], i)
	}
	return nil
}

// next takes the best machine that is left for a request. The caller holds h.mu.
func (h *shelf) next(key string, sites sprout.Sites, want alloc.Request) (sprout.Machine, bool) {
	places := h.places(key, sites, want)
	for i, place := range places {
		if !h.taken[place] {
			h.fits[key] = places[i+1:]
			return h.takeOut(place), true
		}
	}
	h.fits[key] = nil
	return sprout.Machine{}, false
}

// places are where the machines are that fit a request; some may be taken. The
// caller holds h.mu.
func (h *shelf) places(key string, sites sprout.Sites, want alloc.Request) []int {
	places, known := h.fits[key]
	if !known {
		places = h.choose(sites, want)
		if len(h.fits) == mostWants {
			clear(h.fits)
		}
		h.fits[key] = places
	}
	return places
}

// takeOut proposes a machine. The caller holds h.mu.
func (h *shelf) takeOut(place int) sprout.Machine {
	m := h.machines[place]
	if h.out == nil {
		h.out = map[sprout.MachineID]bool{}
	}
	h.taken[place], h.out[m.ID] = true, true
	return m
}

// choose has the provider choose; of one that is named it is shown no other.
func (h *shelf) choose(sites sprout.Sites, want alloc.Request) []int {
	machines := h.machines
	if want.Name != "" {
		machines = nil
		for _, place := range h.named[want.Name] {
			machines = append(machines, h.machines[place])
		}
	}
	if !sites.Every() {
		all := machines
		machines = nil
		for i := range all {
			if sites.Has(all[i].Site) {
				machines = append(machines, all[i])
			}
		}
	}
	fit, _ := h.provider.Choose(want, machines)
	places := make([]int, len(fit))
	for i, m := range fit {
		places[i] = h.at[m.ID]
	}
	return places
}
