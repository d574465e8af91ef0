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
	taken    []bool                    // beside machines
	fits     map[string][]int          // by request: places in machines
	out      map[sprout.MachineID]bool // proposed, and it is not known yet whether they were given
}

// take proposes a machine, of a reading that is not old; that there is none
// is said of one that began after began.
func (h *shelf) take(ctx context.Context, s *store.Store, sites sprout.Sites, want alloc.Request, began time.Time) (m sprout.Machine, found bool, err error) {
	key, err := json.Marshal(struct {
		Sites sprout.Sites
		Want  alloc.Request
	}{sites, want})
	if err != nil {
		return m, false, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if time.Since(h.read) < oldest {
		if m, found = h.next(string(key), sites, want); found || h.read.After(began) {
			return m, found, nil
		}
	}
	if err := h.look(ctx, s); err != nil {
		return m, false, err
	}
	m, found = h.next(string(key), sites, want)
	return m, found, nil
}

// settle says that what was proposed was given, or was not: another reading will
// tell.
func (h *shelf) settle(proposed map[sprout.MachineID]sprout.Machine) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id := range proposed {
		delete(h.out, id)
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
	h.at = make(map[sprout.MachineID]int, len(h.machines))
	for i, m := range h.machines {
		h.at[m.ID], h.taken[i] = i, h.out[m.ID]
	}
	return nil
}

// next takes the best machine that is left for a request. The caller holds h.mu.
func (h *shelf) next(key string, sites sprout.Sites, want alloc.Request) (sprout.Machine, bool) {
	places, known := h.fits[key]
	if !known {
		places = h.choose(sites, want)
		if len(h.fits) == mostWants {
			clear(h.fits)
		}
	}
	for i, place := range places {
		if !h.taken[place] {
			m := h.machines[place]
			if h.out == nil {
				h.out = map[sprout.MachineID]bool{}
			}
			h.taken[place], h.fits[key], h.out[m.ID] = true, places[i+1:], true
			return m, true
		}
	}
	h.fits[key] = nil
	return sprout.Machine{}, false
}

func (h *shelf) choose(sites sprout.Sites, want alloc.Request) []int {
	machines := h.machines
	if !sites.Every() {
		machines = nil
		for _, m := range h.machines {
			if sites.Has(m.Site) {
				machines = append(machines, m)
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
